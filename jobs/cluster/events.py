"""The JSON lines that a stage writes to its log, read back."""

import json
from dataclasses import dataclass
from typing import Any


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
    """A log line as a person would have it; None for what Argo's wrapper says of itself."""
    event = parse(line)
    if event is None:
        return None if " argo=true" in line and " level=INFO " in line else line
    kind = event.get("event")
    if kind == "progress" and (reading := last_reading(line)):
        return f"{reading.task}: {reading}"
    if kind == "warning":
        return f"warning: {event.get('text', '')}"
    if kind == "note":
        return str(event.get("text", ""))
    if kind == "stage" or (kind is None and event.get("message")):
        return f"{event.get('stage', '')}: {event.get('message', '')}"
    if error := event.get("error"):
        return f"{event.get('status')}: {error}"
    return line
