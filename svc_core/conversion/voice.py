"""A voice that can sing: the generator with its weights, the speakers it knows, and the tools that hear the source."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from svc_core import config as configs
from svc_core import files
from svc_core.config import Block, Config, DataBlock, ModelBlock
from svc_core.conversion.facts import FACTS_FILE, Facts
from svc_core.conversion.weights import build_generator, read_tensors
from svc_core.errors import ConfigError
from svc_core.features.extract import Tools, load_tools
from svc_core.model.generator import Generator

WEIGHTS_FILE = "model.safetensors"
SLIM_FILE = "model-slim.safetensors"
CONFIG_FILE = "config.json"
# What so-vits-svc 4.1 assumes at inference where its config is silent; in training, and with us, it is "nearest".
_ABSENT_UNIT_MODE = "left"
_WIDTH_OF_40 = 256


@dataclass(frozen=True)
class VoiceModel:
    generator: Generator
    config: Config
    tools: Tools
    device: torch.device
    weights_sha256: str
    median_f0_hz: Mapping[str, float]
    """Of the training data, by speaker name; what `auto` transposition aims at. Speakers may be absent."""

    @property
    def speakers(self) -> dict[str, int]:
        return self.config.spk

    def speaker_name(self, name_or_id: str) -> str:
        """The speaker meant by a name or an id. Raises ConfigError that lists the names."""
        if name_or_id in self.speakers:
            return name_or_id
        for name, number in self.speakers.items():
            if name_or_id == str(number):
                return name
        known = ", ".join(f"{name} ({number})" for name, number in self.speakers.items())
        raise ConfigError(f"the model has no speaker {name_or_id!r}: choose one of {known}")


def load_voice(model: Path, config: Path | None = None, *, device: torch.device) -> VoiceModel:
    """Loads a release folder, or a G_*.pth or .safetensors file with the config.json beside it (or given).

    Files of so-vits-svc 4.1 are taken too: where their config says nothing, what 4.1 assumes holds. No code of a file
    is run.

    Raises:
        ConfigError: the model or its config is missing, wrong, or of another network than the weights.
        BadInput: the weights are damaged.
    """
    weights = _weights_of(model)
    settings = read_config(config or weights.parent / CONFIG_FILE)
    facts = Facts.read(weights.parent / FACTS_FILE)
    speakers = facts.speakers if facts else {}
    return VoiceModel(
        generator=build_generator(read_tensors(weights), settings, device, weights),
        config=settings,
        tools=load_tools(settings, str(device)),
        device=device,
        weights_sha256=files.sha256_file(weights),
        median_f0_hz={name: one.median_f0_hz for name, one in speakers.items() if one.median_f0_hz},
    )


def read_config(path: Path) -> Config:
    """One of our configs, or one of so-vits-svc 4.1's. Raises ConfigError where it is absent or holds a mistake."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"{path} does not exist: give the config.json that belongs to the model") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path} is not JSON ({error}): give the config.json that belongs to the model") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): make it readable for this user") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a JSON object: give the config.json that belongs to the model")
    return configs.parse(values if "svc_jobs" in values else _from_41(values, path), str(path))


def _from_41(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """A foreign config in our terms: network, signal grid and speakers; how it was trained does not matter here."""
    model, data, speakers = (values.get(block) for block in ("model", "data", "spk"))
    if not (isinstance(model, dict) and isinstance(data, dict) and isinstance(speakers, dict) and speakers):
        raise ConfigError(f"{path} lacks the blocks model, data and spk: give the config.json of the model")
    if "speech_encoder" not in model and model.get("gin_channels") == _WIDTH_OF_40:
        raise ConfigError(
            f"{path} is a config of so-vits-svc 4.0 ({_WIDTH_OF_40} channels, no model.speech_encoder): add "
            f'"speech_encoder": "vec256l9" and "ssl_dim": {_WIDTH_OF_40} to its model block'
        )
    return {
        "model": _known(model, ModelBlock),
        "data": {"unit_interpolate_mode": _ABSENT_UNIT_MODE, **_known(data, DataBlock)},
        "spk": speakers,
        "svc_jobs": {"voice": next(iter(speakers))},
    }


def _known(values: dict[str, Any], block: type[Block]) -> dict[str, Any]:
    """Without what other versions and forks add; a null means absent there."""
    return {name: value for name, value in values.items() if name in block.model_fields and value is not None}


def _weights_of(model: Path) -> Path:
    if model.is_file():
        return model
    if not model.is_dir():
        raise ConfigError(f"{model} does not exist: give a release folder (models/<voice>) or a G_*.pth")
    for name in (WEIGHTS_FILE, SLIM_FILE):
        if (model / name).is_file():
            return model / name
    found = sorted(model.glob("G_*.pth"))
    if len(found) != 1:
        raise ConfigError(
            f"{model} holds no {WEIGHTS_FILE} and {len(found)} files G_*.pth: name the file that is meant"
        )
    return found[0]
