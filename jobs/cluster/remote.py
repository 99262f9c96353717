"""What the bucket says of a workflow's voice, where it can be read from here."""

import json
from dataclasses import dataclass
from typing import Any

from svc_core import layout
from svc_core.errors import Preempted, SvcError

BUDGET_S = 10.0
"""All that is spent on one request, retries included: the bucket is an extra here."""
_TAIL_BYTES = 1 << 16
_SHOWN = ("mel", "total", "steps_per_s")


@dataclass(frozen=True)
class Remote:
    workspace: str
    step: int | None = None
    """Of the newest checkpoint."""
    metrics: dict[str, Any] | None = None
    """The last line of metrics.jsonl."""
    problem: str = ""
    """Why nothing could be read."""

    def __str__(self) -> str:
        if self.problem:
            return f"{self.workspace} cannot be read from here ({self.problem})"
        if self.step is None:
            return f"{self.workspace}: no checkpoint yet"
        figures = {name: (self.metrics or {}).get(name) for name in _SHOWN}
        said = ", ".join(f"{name} {value:.4g}" for name, value in figures.items() if isinstance(value, int | float))
        last = f"; at step {self.metrics['step']}: {said}" if self.metrics and said else ""
        return f"{self.workspace}: newest checkpoint is step {self.step}{last}"


def look_into(workspace: str, voice: str) -> Remote:
    """A bucket that cannot be read from here is a remark, not an error."""
    from svc_core.storage.s3 import S3Store

    try:
        store = S3Store.open_url(workspace, BUDGET_S)
        if store.head(layout.latest_key(voice)) is None:
            return Remote(workspace)
        latest = json.loads(b"".join(store.read(layout.latest_key(voice)).pieces))
        step = max((entry["step"] for entry in latest["checkpoints"]), default=None)
        return Remote(workspace, step, _last_line(store, layout.metrics_key(voice)))
    except Preempted:
        raise
    except (SvcError, ValueError, KeyError, TypeError) as error:
        return Remote(workspace, problem=str(error).removeprefix(f"{workspace}: ") or type(error).__name__)


def _last_line(store: Any, key: str) -> dict[str, Any] | None:
    """The last whole line of a file that may be long."""
    if store.head(key) is None:
        return None
    with store.open(key) as handle:
        size = handle.seek(0, 2)
        handle.seek(max(size - _TAIL_BYTES, 0))
        lines = handle.read().splitlines()
    for line in reversed(lines):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        return value if isinstance(value, dict) and "step" in value else None
    return None
