"""How settings that are given once become a config: defaults, then a preset, then what was asked for.

A config on disk, edited by hand or not, counts as asked for: only named changes touch it.
"""

from typing import Any

from svc_core import config as configs
from svc_core.config import PRESETS, Config, JobsBlock


def build(existing: Config | None, voice: str, ids: dict[str, int], changes: dict[str, Any]) -> Config:
    """The config with the speakers of `ids` and `changes` ({dotted path: value}) applied.

    A preset among the changes first replaces the values in which presets differ. Raises ConfigError that lists every
    mistake.
    """
    values: dict[str, Any] = existing.model_dump(mode="json") if existing else {"svc_jobs": {"voice": voice}}
    default = JobsBlock.model_fields["preset"].default
    preset = changes.get("svc_jobs.preset", None if existing else default)
    if preset in PRESETS:
        _apply_preset(values, preset)
    for path, value in changes.items():
        _set(values, path, value)
    values["spk"] = dict(sorted(ids.items(), key=lambda item: item[1]))
    _reserve(values, existing, ids, changes)
    return configs.parse(values, "the settings")


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
