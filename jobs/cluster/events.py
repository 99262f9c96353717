"""The JSON lines that a stage writes to its log, read back."""

import json
import re
from dataclasses import dataclass
from typing import Any

_OF_ARGO = re.compile(r"^Error: exit status \d+$| level=INFO .* argo=true")
"""Argo's wrapper around a stage, where it says nothing that the stage has not said."""


@dataclass(frozen=True)
class Reading:
    """How far a running pod is, by its own words."""

    task: str
    count: float
    total: float
    unit: str
    rate: float
    """units per second"""
    eta_s: float
    note: str

    @property
    def share(self) -> float:
        return min(self.count / self.total, 1.0) if self.total else 0.0

    def __str__(self) -> str:
        share = f"{self.count:.4g}/{self.total:.4g} {self.unit}"
        return f"{share}, {self.rate:.3g} {self.unit}/s, {self.eta_s:.0f} s left {self.note}".rstrip()


def parse(line: str) -> dict[str, Any] | None:
    """The event or the result that a line is; None for any other text."""
    if not line.startswith("{"):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and ("event" in value or "status" in value) else None


def last_reading(log: str) -> Reading | None:
    """The newest progress in the end of a log."""
    for line in reversed(log.splitlines()):
        event = parse(line)
        if event and event.get("event") == "progress":
            try:
                return Reading(**{name: event[name] for name in Reading.__dataclass_fields__})
            except KeyError:
                return None
    return None


def readable(line: str) -> str | None:
    """A log line as a person would have it; None for what Argo's wrapper says of itself, and for what was said."""
    event = parse(line)
    if event is None:
        return None if _OF_ARGO.search(line) else line
    kind = event.get("event")
    if kind is None and event.get("status") == "done":
        return None  # the stage's event, just before, has the same sentence
    if kind == "progress" and (reading := last_reading(line)):
        return f"{reading.task}: {reading}"
    if kind == "warning":
        return f"warning: {event.get('text', '')}"
    if kind in ("note", "traceback"):
        return str(event.get("text", ""))
    if kind == "stage":
        return f"{event.get('stage', '')}: {event.get('message', '')}"
    if error := event.get("error"):
        return f"{event.get('status')}: {error}"
    return line
