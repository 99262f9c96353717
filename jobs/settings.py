"""The settings that `prepare` and `run` take: one row per flag, written once into the config.

Help, unit, range and default are read from the config's own fields, so that they cannot differ from what is checked.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from svc_core.config import Config, SliceBlock
from svc_core.conversion.options import ConvertOptions
from svc_core.registry import ENCODERS, F0_PREDICTORS, encoder_of_config
from svc_core.settings import PRESETS


@dataclass(frozen=True)
class Setting:
    flag: str
    path: str
    kind: type
    panel: str
    help: str | None = None
    model: type[BaseModel] = Config
    default: str | None = None
    """In words, where what is chosen is not the config field's own."""

    @property
    def parameter(self) -> str:
        return self.flag.removeprefix("--").replace("-", "_")

    def field(self) -> FieldInfo:
        block: Any = self.model
        *blocks, name = self.path.split(".")
        for part in blocks:
            block = block.model_fields[part].annotation
        return block.model_fields[name]

    def describe(self) -> str:
        """`what it is, range, default`."""
        field = self.field()
        # Options of a conversion state their range in words already.
        bounds = [f"{sign} {value:g}" for sign, value in _bounds(field)] if self.model is Config else []
        value = encoder_of_config(field.default) if self.path == "model.speech_encoder" else field.default
        default = "" if field.is_required() else f"default {self.default or _plain(value)}"
        return "; ".join(part for part in (self.help or field.description or "", ", ".join(bounds), default) if part)


def _bounds(field: FieldInfo) -> list[tuple[str, float]]:
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return [
        (sign, getattr(item, name)) for item in field.metadata for name, sign in signs.items() if hasattr(item, name)
    ]


def _plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


_DATA, _FEATURES, _TRAINING = "Slicing and loudness", "Features", "Network and training"
SETTINGS = (
    Setting("--threshold-db", "svc_jobs.slice.threshold_db", float, _DATA),
    Setting("--min-length-ms", "svc_jobs.slice.min_length_ms", int, _DATA),
    Setting(
        "--max-length-ms",
        "svc_jobs.slice.max_length_ms",
        int,
        _DATA,
        "longer clips are cut at their quietest point; for no maximum, set null in the config",
    ),
    Setting("--min-interval-ms", "svc_jobs.slice.min_interval_ms", int, _DATA),
    Setting("--max-sil-kept-ms", "svc_jobs.slice.max_sil_kept_ms", int, _DATA),
    Setting("--min-clip-ms", "svc_jobs.slice.min_clip_ms", int, _DATA),
    Setting("--loudness", "svc_jobs.loudness.mode", str, _DATA),
    Setting("--target-lufs", "svc_jobs.loudness.target_lufs", float, _DATA),
    Setting("--true-peak-dbtp", "svc_jobs.loudness.true_peak_dbtp", float, _DATA),
    Setting("--poison-share", "svc_jobs.poison_share", float, _DATA),
    Setting("--val-share", "svc_jobs.split.val_share", float, _DATA),
    Setting("--slice-shard-minutes", "svc_jobs.shards.slice_minutes", float, _DATA),
    Setting("--features-shard-minutes", "svc_jobs.shards.features_minutes", float, _DATA),
    Setting("--split-seed", "svc_jobs.split.seed", int, _DATA),
    Setting(
        "--encoder",
        "model.speech_encoder",
        str,
        _FEATURES,
        "content encoder: " + ", ".join(f"{name} ({row.width} channels)" for name, row in ENCODERS.items()),
    ),
    Setting("--encoder-backend", "svc_jobs.features.encoder_backend", str, _FEATURES, "torch or onnx"),
    Setting(
        "--encoder-precision",
        "svc_jobs.features.encoder_precision",
        str,
        _FEATURES,
        "fp32, bf16 (torch) or int8 (onnx)",
    ),
    Setting("--f0", "svc_jobs.features.f0_predictor", str, _FEATURES, "f0 predictor: " + ", ".join(F0_PREDICTORS)),
    Setting("--preset", "svc_jobs.preset", str, _TRAINING, "network: " + ", ".join(PRESETS)),
    Setting("--batch-size", "train.batch_size", int, _TRAINING),
    Setting("--steps", "svc_jobs.steps", int, _TRAINING),
    Setting("--steps-per-minute", "svc_jobs.steps_per_minute", int, _TRAINING),
    Setting("--learning-rate", "train.learning_rate", float, _TRAINING),
    Setting("--checkpoint-every", "train.eval_interval", int, _TRAINING),
    Setting("--log-every", "train.log_interval", int, _TRAINING),
    Setting("--keep", "train.keep_ckpts", int, _TRAINING),
    Setting("--seed", "train.seed", int, _TRAINING),
    Setting(
        "--reserve-speakers",
        "model.n_speakers",
        int,
        _TRAINING,
        "rows of the speaker table, to add speakers later",
        default="as many as there are speakers",
    ),
)
_CONVERSION = "Conversion"
CONVERT_SETTINGS = tuple(
    Setting(flag, path, kind, _CONVERSION, model=ConvertOptions)
    for flag, path, kind in (
        ("--transpose", "transpose_semitones", str),
        ("--predict-f0", "predict_f0", bool),
        ("--clip-s", "clip_s", float),
        ("--cross-fade-s", "cross_fade_s", float),
        ("--pad-s", "pad_s", float),
        ("--slice-db", "slice_db", float),
        ("--noise-scale", "noise_scale", float),
        ("--envelope", "envelope", float),
        ("--conversion-seed", "seed", int),
    )
)
_PRECISION = "Arithmetic of training: fp32, or bf16 with the losses in fp32; default fp32"
_COMPAT = "4.1: slice as so-vits-svc 4.1's users do (no maximum length, openvpi's slicer, clips to full scale)"
COMPAT_41: dict[str, Any] = {
    **{f"svc_jobs.slice.{name}": value for name, value in SliceBlock(max_length_ms=None).model_dump().items()},
    "svc_jobs.loudness.mode": "peak",
}


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a typer command one option per row of SETTINGS; it receives them as one dict, `changes`."""
    extra = [_parameter(row.parameter, row.kind, row.flag, row.describe(), row.panel) for row in SETTINGS]
    extra.append(_parameter("precision", str, "--precision", _PRECISION, _TRAINING))
    extra.append(_parameter("compat", str, "--compat", _COMPAT, _DATA))
    return _with_options(command, extra, "changes", changes_of)


def with_convert_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a typer command one option per row of CONVERT_SETTINGS; it receives those given as one dict, `options`."""
    extra = [_parameter(row.parameter, row.kind, row.flag, row.describe(), row.panel) for row in CONVERT_SETTINGS]

    def given(values: dict[str, Any]) -> dict[str, Any]:
        return {row.path: values[row.parameter] for row in CONVERT_SETTINGS if values[row.parameter] is not None}

    return _with_options(command, extra, "options", given)


def _with_options(
    command: Callable[..., None],
    extra: list[inspect.Parameter],
    target: str,
    gather: Callable[[dict[str, Any]], dict[str, Any]],
) -> Callable[..., None]:
    own = [item for item in inspect.signature(command).parameters.values() if item.name != target]

    def wrapped(**values: Any) -> None:
        given = {item.name: values.pop(item.name) for item in extra}
        command(**values, **{target: gather(given)})

    signature = inspect.Signature([*own, *extra])
    wrapped.__signature__ = signature  # type: ignore[attr-defined]
    wrapped.__annotations__ = {item.name: item.annotation for item in signature.parameters.values()}
    wrapped.__doc__, wrapped.__name__ = command.__doc__, command.__name__
    return wrapped


def changes_of(given: dict[str, Any]) -> dict[str, Any]:
    """{dotted path: value} of the flags that were given; a flag that sets several fields is spelled out."""
    changes: dict[str, Any] = {}
    if given.get("compat") is not None:
        if given["compat"] != "4.1":
            raise typer.BadParameter(f"{given['compat']!r} is not '4.1'", param_hint="--compat")
        changes |= COMPAT_41
    if given.get("precision") is not None:
        changes["train.fp16_run"] = given["precision"] != "fp32"
        if given["precision"] != "fp32":
            changes["train.half_type"] = given["precision"]
    for row in SETTINGS:
        if (value := given.get(row.parameter)) is not None:
            changes[row.path] = value
    return changes | _encoder_changes(changes.get("model.speech_encoder"))


def _encoder_changes(name: str | None) -> dict[str, Any]:
    """The fields that go with an encoder, which may be named as we do or as 4.1's config does."""
    for own_name, row in ENCODERS.items():
        if name in (own_name, row.config_name):
            return {
                "model.speech_encoder": row.config_name,
                "model.ssl_dim": row.width,
                "model.gin_channels": row.width,
            }
    return {}


def _parameter(name: str, kind: type, flag: str, text: str, panel: str) -> inspect.Parameter:
    flag = f"{flag}/ " if kind is bool else flag  # no --no-... twin
    annotation = Annotated[kind | None, typer.Option(flag, help=text, rich_help_panel=panel, show_default=False)]  # type: ignore[valid-type]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
