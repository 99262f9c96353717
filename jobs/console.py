"""What a command says, to whom: a person at a terminal, a log, or a machine.

stdout carries results only. With --json that is exactly one JSON object; progress and notes are then JSON lines on
stderr. Without a terminal, progress is a plain line every few seconds, so that logs stay readable.
"""

import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from jobs import argo

Item = TypeVar("Item")
PLAIN_EVERY_S = 5.0
JSON_EVERY_S = 1.0


def counted(count: int, noun: str) -> str:
    """1 clip, 2 clips"""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


@dataclass(frozen=True)
class StageResult:
    """What a stage did: how many things it made, how many stood already, one sentence, and figures for machines."""

    stage: str
    done: int
    skipped: int
    message: str
    facts: dict[str, Any] = field(default_factory=dict)


class Progress:
    """Counts towards a total; the rate is taken over the whole task, the ETA from it."""

    def __init__(self, console: "Console", title: str, total: float, unit: str) -> None:
        self._console, self._title, self._total, self._unit = console, title, total, unit
        self._count, self._start, self._shown, self._note = 0.0, time.monotonic(), 0.0, ""
        self._taken_up: float | None = None
        self._bar: Any = None

    def advance(self, amount: float = 1, note: str = "") -> None:
        self._show(self._count + amount, note)

    def over(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items; each counts as done when the next is asked for."""
        for item in items:
            yield item
            self.advance()

    def reach(self, count: float, note: str = "") -> None:
        """Sets the count. The rate is taken from the first call on: before it, things were loaded and warmed up."""
        if self._taken_up is None:
            self._taken_up, self._start = count, time.monotonic()
        self._show(count, note)

    def resize(self, total: float) -> None:
        """Sets the total, where it is only known on the way."""
        self._total = total
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], total=total)

    def _show(self, count: float, note: str) -> None:
        self._count = count
        self._note = note or self._note
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._count, rate=self.rate_text, note=self._note)
        else:
            self._show_line()

    @property
    def rate(self) -> float:
        return (self._count - (self._taken_up or 0)) / max(time.monotonic() - self._start, 1e-6)

    @property
    def rate_text(self) -> str:
        return f"{self.rate:.3g} {self._unit}/s"

    def _show_line(self) -> None:
        json_mode, now = self._console.json_mode, time.monotonic()
        every_s = JSON_EVERY_S if json_mode else PLAIN_EVERY_S
        if now - (self._shown or self._start) < every_s:
            return
        self._shown = now
        argo.report_progress(self._count / self._total if self._total else 0.0)
        eta_s = max(self._total - self._count, 0) / max(self.rate, 1e-9)
        if json_mode:
            self._console.event(
                "progress",
                task=self._title,
                count=self._count,
                total=self._total,
                unit=self._unit,
                rate=round(self.rate, 3),
                eta_s=round(eta_s, 1),
                note=self._note,
            )
        elif not self._console.quiet:
            share = f"{self._count:.4g}/{self._total:.4g} {self._unit}"
            line = f"{self._title}: {share}, {self.rate_text}, {eta_s:.0f} s left {self._note}"
            print(line.rstrip(), file=sys.stderr, flush=True)  # noqa: T201


@dataclass(frozen=True)
class Console:
    json_mode: bool = False
    quiet: bool = False
    verbose: bool = False

    def say(self, text: str) -> None:
        if self.json_mode:
            self.event("note", text=text)
        elif not self.quiet:
            print(text, flush=True)  # noqa: T201

    def detail(self, text: str) -> None:
        if self.verbose:
            self.say(text)

    def warn(self, text: str) -> None:
        """Something to act on; shown with -q too."""
        if self.json_mode:
            self.event("warning", text=text)
        else:
            print(f"warning: {text}", file=sys.stderr, flush=True)  # noqa: T201

    def event(self, kind: str, **facts: Any) -> None:
        print(json.dumps({"event": kind, **facts}, ensure_ascii=False), file=sys.stderr, flush=True)  # noqa: T201

    def stage(self, result: StageResult) -> None:
        """The one line that a finished stage leaves."""
        if self.json_mode:
            self.event("stage", **asdict(result))
        elif not self.quiet:
            self._print_styled(f"{result.stage:>9}", f"  {result.message}")

    def result(self, value: Any) -> None:
        """The answer of a command, for machines; people have read the lines above it."""
        if self.json_mode:
            print(json.dumps(value, ensure_ascii=False, default=str), flush=True)  # noqa: T201

    def table(self, columns: list[str], rows: list[list[str]]) -> None:
        if self.json_mode or self.quiet:
            return
        if not sys.stdout.isatty():
            for row in rows:
                print("  ".join(cell or "-" for cell in row), flush=True)  # noqa: T201
            return
        from rich import box
        from rich.console import Console as Rich
        from rich.table import Table
        from rich.text import Text

        table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        Rich().print(table)

    @contextmanager
    def progress(self, title: str, total: float, unit: str) -> Iterator[Progress]:
        progress = Progress(self, title, total, unit)
        if self.json_mode or self.quiet or not sys.stderr.isatty():
            yield progress
            return
        with _rich_bar(title, total) as bar:
            progress._bar = bar
            yield progress

    def _print_styled(self, name: str, text: str) -> None:
        if not sys.stdout.isatty():
            print(f"{name}{text}", flush=True)  # noqa: T201
            return
        from rich.console import Console as Rich
        from rich.text import Text

        Rich().print(Text.assemble((name, "bold green"), text))


@contextmanager
def _rich_bar(title: str, total: float) -> Iterator[Any]:
    from rich.console import Console as Rich
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:>9}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=Rich(stderr=True), transient=True) as bar:
        bar.add_task(title, total=total, rate="", note="")
        yield bar
