"""Puts a file's tensors into a generator, all of them or none: a partly loaded voice groans.

A generator of another kind is named by what the difference of its tensors means, since "768" and "256" tell a user
more than the names of eight tensors do.
"""

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from svc_core import checkpoint
from svc_core.config import HOP_SAMPLES, Config
from svc_core.errors import BadInput, ConfigError, from_os_error
from svc_core.model.generator import Generator

# The posterior encoder hears recordings in training only; slim releases leave it out.
_TRAINING_ONLY = "enc_q."
_SHOWN = 6


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The generator's tensors of a .safetensors file, or of a .pth with 4.1's keys. Raises BadInput if damaged."""
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except safetensors.SafetensorError as error:
            raise BadInput(f"{path} is damaged ({error}): copy it again, or publish it again") from None
        except OSError as error:
            raise from_os_error(error, path) from error
    tensors = checkpoint.read(path).get("model")
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise BadInput(f"{path} holds no generator (no tensors under 'model'): give a G_*.pth")
    return tensors


def slim(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What converting needs, in half the bytes: float16, without the posterior encoder.

    A tensor that float16 cannot hold stays float32.
    """
    return {name: _halved(value) for name, value in tensors.items() if not name.startswith(_TRAINING_ONLY)}


def _halved(value: Tensor) -> Tensor:
    half = value.to(torch.float16)
    return half if torch.isfinite(half).all() else value


def build_generator(tensors: Mapping[str, Tensor], config: Config, device: torch.device, where: Path) -> Generator:
    """The network with these weights, ready to convert. Raises ConfigError as `load_strictly` does."""
    generator = Generator(config.model, config.data, config.train.segment_size // HOP_SAMPLES)
    load_strictly(generator, tensors, where)
    generator.fold_weight_norm()
    return generator.eval().to(device)


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], where: Path) -> None:
    """Copies `tensors` into `network`, as float32. Raises ConfigError where a name or shape differs, and says why."""
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in tensors.items()}
    needed = {name for name in expected if not name.startswith(_TRAINING_ONLY)}
    slim = not any(name.startswith(_TRAINING_ONLY) for name in given)
    missing = sorted((needed if slim else set(expected)) - given.keys())
    extra = sorted(given.keys() - expected.keys())
    differing = sorted(name for name in given.keys() & expected.keys() if given[name] != expected[name])
    if missing or extra or differing:
        reason = _reason(expected, given)
        problems = [
            f"{_named(missing)} missing" if missing else "",
            f"{_named(extra)} not part of the configured network" if extra else "",
            f"{_shapes(differing, given, expected)}" if differing else "",
        ]
        text = ", ".join(problem for problem in problems if problem)
        raise ConfigError(f"{where} does not fit its config: {text}; {reason}")
    network.load_state_dict({name: value.float() for name, value in tensors.items()}, strict=not slim)


def _reason(expected: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]) -> str:
    """The likely cause, most telling difference first."""

    def size(tensors: Mapping[str, tuple[int, ...]], name: str, axis: int) -> int | None:
        return tensors[name][axis] if name in tensors else None

    content, wanted_content = size(given, "pre.weight", 1), size(expected, "pre.weight", 1)
    if content != wanted_content and content is not None:
        return (
            f"its content is {content} channels wide, the config says {wanted_content}: set model.speech_encoder, "
            f"model.ssl_dim and model.gin_channels to the encoder it was trained with "
            "(256 channels: vec256l9, as in 4.0; 768: vec768l12)"
        )
    if size(given, "emb_g.weight", 1) != size(expected, "emb_g.weight", 1) and "emb_g.weight" in given:
        return f"its speaker table is {size(given, 'emb_g.weight', 1)} channels wide: set model.gin_channels to that"
    if size(given, "emb_g.weight", 0) != size(expected, "emb_g.weight", 0) and "emb_g.weight" in given:
        return f"it has {size(given, 'emb_g.weight', 0)} speaker rows: set model.n_speakers to that"
    if ("emb_vol.weight" in given) != ("emb_vol.weight" in expected):
        heard = "hears" if "emb_vol.weight" in given else "does not hear"
        return f"it {heard} the volume envelope: set model.vol_embedding to {str('emb_vol.weight' in given).lower()}"
    if any(name.startswith("f0_decoder.") for name in given) != any(
        name.startswith("f0_decoder.") for name in expected
    ):
        return "only one of the two predicts pitch: set model.use_automatic_f0_prediction accordingly"
    return "give the config.json that was trained with it"


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more} {'is' if len(names) == 1 else 'are'}"


def _shapes(names: list[str], given: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> str:
    shown = [f"{name} is {list(given[name])} instead of {list(expected[name])}" for name in names[:_SHOWN]]
    more = [f"{len(names) - _SHOWN} more differ"] if len(names) > _SHOWN else []
    return ", ".join(shown + more)
