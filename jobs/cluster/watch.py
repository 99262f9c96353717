"""Looks at a workflow until it ends, and shows what changes: a live table, plain lines, or JSON lines."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jobs.cluster import table
from jobs.cluster.client import Cluster
from jobs.cluster.snapshot import Snapshot, look
from jobs.cluster.stages import NOT_REACHED
from jobs.console import Console
from jobs.stop import Stop
from svc_core.errors import Preempted, Transient

EVERY_S = 2.0
PATIENCE_S = 120.0
"""How long an API server may be away before the watching ends; the workflow goes on without it."""
PROGRESS_EVERY_S = 60.0
"""Between two lines of a stage that only makes progress."""

Show = Callable[[Snapshot], None]


def watch(cluster: Cluster, name: str, console: Console, stop: Stop) -> Snapshot:
    """The workflow's last snapshot, when it has ended.

    Raises Preempted for SIGINT and SIGTERM, which end the watching only, and Transient where the server stays away.
    """
    again = f"`svc-jobs status {name} -n {cluster.namespace} --watch`"
    with stop.deferred(), _screen(console) as show:
        while True:
            found = _look(cluster, name, console, stop)
            if found:
                show(found)
                if found.workflow.ended:
                    return found
                pause(EVERY_S, stop)
            if stop.requested():
                raise Preempted(
                    f"{name} goes on without you: look again with {again}, end it with "
                    f"`svc-jobs cancel {name} -n {cluster.namespace}`"
                )


def _look(cluster: Cluster, name: str, console: Console, stop: Stop) -> Snapshot | None:
    """The workflow now, waiting out an API server that is away for a while; None where told to stop meanwhile."""
    until_s, told = time.monotonic() + PATIENCE_S, False
    while not stop.requested():
        try:
            return look(cluster, name)
        except Transient as error:
            if time.monotonic() > until_s:
                raise Transient(f"{error}; {name} goes on without it") from error
            if not told:
                console.warn(f"{error} (trying for {PATIENCE_S:.0f} s)")
            told = True
            pause(EVERY_S, stop)
    return None


def pause(seconds: float, stop: Stop) -> None:
    """Sleeps, but not past a signal."""
    until_s = time.monotonic() + seconds
    while not stop.requested() and (left_s := until_s - time.monotonic()) > 0:
        time.sleep(min(left_s, 0.2))


@contextmanager
def _screen(console: Console) -> Iterator[Show]:
    if console.json_mode or console.quiet or not sys.stdout.isatty():
        yield Lines(console)
        return
    from rich.console import Console as Rich
    from rich.live import Live

    with Live(console=Rich(), auto_refresh=False) as live:
        yield lambda snapshot: live.update(picture(snapshot), refresh=True)


def picture(snapshot: Snapshot) -> Any:
    """The live table."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    colours = {"done": "green", "running": "cyan", "failed": "red", "pending": "yellow"}
    names, rows = table.grid(snapshot)
    grid = Table(*names, box=box.SIMPLE_HEAD, pad_edge=False)
    at = names.index("state")
    for row in rows:
        styles = [colours.get(text, "dim") if place == at else "" for place, text in enumerate(row)]
        grid.add_row(*(Text(text, style) for text, style in zip(row, styles, strict=True)))
    parts: list[Any] = [Text(table.headline(snapshot), "bold"), grid, Text(table.costline(snapshot), "dim")]
    parts += [Text(note, "yellow") for note in snapshot.notes]
    return Group(*parts)


class Lines:
    """One line, or one JSON event, whenever the workflow, a stage or a shard changes its state or its reason."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen: dict[str, tuple[Any, ...]] = {}
        self._said_s: dict[str, float] = {}

    def __call__(self, snapshot: Snapshot) -> None:
        workflow = snapshot.workflow
        if self._changed("workflow", (workflow.phase, workflow.message, workflow.shutdown)):
            facts = {"name": workflow.name, "phase": workflow.phase, "message": workflow.message}
            self._say("workflow", table.headline(snapshot), facts)
        for text in snapshot.notes:
            if self._changed(text, ()):
                self._console.warn(text)
        for row in snapshot.rows:
            place = f"{row.group}/{row.stage}"
            states = tuple((shard.state, len(shard.attempts)) for shard in row.shards)
            reason = "" if row.state == "running" else table.note(snapshot, row)
            if row.state == NOT_REACHED:
                continue
            if self._changed(place, (row.state, states, reason)) or self._due(place, row.state):
                self._said_s[place] = snapshot.now_s
                several = f"{row.group} " if table.is_fan_out(snapshot) else ""
                self._say("stage", f"{several}{table.line(snapshot, row)}", table.facts(snapshot, row))

    def _changed(self, place: str, state: tuple[Any, ...]) -> bool:
        before, self._seen[place] = self._seen.get(place), state
        return before != state

    def _due(self, place: str, state: str) -> bool:
        return state == "running" and time.time() - self._said_s.get(place, 0.0) > PROGRESS_EVERY_S

    def _say(self, kind: str, text: str, facts: dict[str, Any]) -> None:
        if self._console.json_mode:
            self._console.event(kind, **facts)
        else:
            self._console.say(text)
