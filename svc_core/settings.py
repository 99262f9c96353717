"""How settings that are given once become a config: defaults, then a preset, then what was asked for.

A config on disk, edited by hand or not, counts as asked for: only named changes touch it.
"""

import math
from typing import Any

from svc_core import config as configs
from svc_core.config import Config, JobsBlock

# What differs from the config's defaults, by preset. `full` is 4.1 with the volume embedding on; `tiny` is 4.1's
# --tiny; `toy` trains in minutes on two cores and is for the demo and the tests. Toy's mel bands resolve harmonics,
# without which so short a training does not keep to the pitch (docs/adr/0008-start-of-the-decoder.md).
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "full": {"model": {"vol_embedding": True}, "train": {}, "svc_jobs": {}},
    "tiny": {
        "model": {
            "vol_embedding": True,
            "filter_channels": 512,
            "upsample_initial_channel": 400,
            "use_depthwise_conv": True,
            "flow_share_parameter": True,
        },
        "train": {},
        "svc_jobs": {},
    },
    "toy": {
        "model": {
            "vol_embedding": True,
            "inter_channels": 48,
            "hidden_channels": 48,
            "filter_channels": 96,
            "n_layers": 2,
            "n_flow_layer": 2,
            "p_dropout": 0.0,
            "resblock_kernel_sizes": [3, 7],
            "resblock_dilation_sizes": [[1, 3], [1, 3]],
            "upsample_rates": [8, 8, 8],
            "upsample_initial_channel": 64,
            "upsample_kernel_sizes": [16, 16, 16],
        },
        "data": {"n_mel_channels": 128, "mel_fmax": 8000},
        "train": {"learning_rate": 1e-3, "eval_interval": 200, "log_interval": 10, "batch_size": 8, "all_in_mem": True},
        "svc_jobs": {"steps": 400, "discriminator_divisor": 16},
    },
}


def build(existing: Config | None, voice: str, ids: dict[str, int], changes: dict[str, Any]) -> Config:
    """The config with the speakers of `ids` and `changes` ({dotted path: value}) applied.

    A preset other than the one before first replaces the values in which presets differ; the same one again leaves what
    was edited since. Raises ConfigError that lists every mistake.
    """
    values: dict[str, Any] = existing.model_dump(mode="json") if existing else {"svc_jobs": {"voice": voice}}
    default = JobsBlock.model_fields["preset"].default
    preset = changes.get("svc_jobs.preset", None if existing else default)
    if preset in PRESETS and (existing is None or existing.svc_jobs.preset != preset):
        _apply_preset(values, preset)
    for path, value in changes.items():
        _set(values, path, value)
    values["spk"] = dict(sorted(ids.items(), key=lambda item: item[1]))
    _reserve(values, existing, ids, changes)
    return configs.parse(values, "the settings")


def with_enough_steps(config: Config, seconds: float) -> Config:
    """The config with `steps` raised to `steps_per_minute` for so many seconds of recordings; never lowered."""
    jobs = config.svc_jobs
    wanted = math.ceil(jobs.steps_per_minute * seconds / 60)
    return config.model_copy(update={"svc_jobs": jobs.model_copy(update={"steps": max(jobs.steps, wanted)})})


def _apply_preset(values: dict[str, Any], preset: str) -> None:
    for blocks in PRESETS.values():
        for block, fields in blocks.items():
            for name in fields:
                values.get(block, {}).pop(name, None)
    for block, fields in PRESETS[preset].items():
        values.setdefault(block, {}).update(fields)


def _set(values: dict[str, Any], path: str, value: Any) -> None:
    *blocks, name = path.split(".")
    for block in blocks:
        values = values.setdefault(block, {})
    values[name] = value


def _reserve(values: dict[str, Any], existing: Config | None, ids: dict[str, int], changes: dict[str, Any]) -> None:
    """As many rows in the speaker table as there are speakers, unless more were reserved."""
    if "model.n_speakers" not in changes:
        reserved = existing.model.n_speakers if existing else 0
        values.setdefault("model", {})["n_speakers"] = max(reserved, max(ids.values(), default=0) + 1)
