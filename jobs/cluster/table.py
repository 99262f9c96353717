"""A snapshot in words: one line for the workflow, a row per stage, one line for what it has cost."""

from typing import Any

from jobs.cluster.outcome import sentence_of
from jobs.cluster.snapshot import Snapshot, cost
from jobs.cluster.stages import NOT_REACHED, Row

COLUMNS = ("stage", "state", "shards", "done", "speed", "left", "time", "tries", "")
_KEPT = ("stage", "state")
_NOTE_CHARS = 160


def headline(snapshot: Snapshot) -> str:
    workflow = snapshot.workflow
    end_s = workflow.finished_s or snapshot.now_s
    age = duration(end_s - (workflow.started_s or workflow.created_s))
    state = workflow.phase or "not yet seen by Argo's controller"
    said = f": {workflow.message}" if workflow.message else ""
    asked = f", told to {workflow.shutdown.lower()}" if workflow.shutdown and not workflow.ended else ""
    return f"{workflow.name} ({workflow.speaker or workflow.template}) {state}{said}{asked}, {age}"


def grid(snapshot: Snapshot) -> tuple[list[str], list[list[str]]]:
    """Names of the columns and a row of texts per stage, without columns that are empty throughout."""
    names, rows = columns(snapshot), cells(snapshot)
    used = [at for at, name in enumerate(names) if name in _KEPT or any(row[at] for row in rows)]
    return [names[at] for at in used], [[row[at] for at in used] for row in rows]


def columns(snapshot: Snapshot) -> list[str]:
    return ["speaker", *COLUMNS] if is_fan_out(snapshot) else list(COLUMNS)


def cells(snapshot: Snapshot) -> list[list[str]]:
    """One row of texts per stage; of many speakers, the stages that are worth a row."""
    first = (lambda row: [row.group]) if is_fan_out(snapshot) else (lambda row: [])
    return [[*first(row), *_row(snapshot, row)] for row in _worth(snapshot)]


def costline(snapshot: Snapshot) -> str:
    """What it cost: GPU hours only where there were some."""
    spent = cost(snapshot)
    parts = [f"{spent.cpu_h:.3g} CPU hours"]
    if spent.gpu_h:
        parts.append(f"{spent.gpu_h:.3g} GPU hours")
    parts.append(f"{spent.attempts} pod{'' if spent.attempts == 1 else 's'}")
    if spent.retried:
        parts.append(f"{spent.retried} of them tried again")
    return ", ".join(parts)


def facts(snapshot: Snapshot, row: Row) -> dict[str, Any]:
    """The same for machines."""
    readings = snapshot.running(row)
    share, elapsed_s = snapshot.share(row), snapshot.elapsed_s(row)
    return {
        "speaker": row.group,
        "stage": row.stage,
        "state": row.state,
        "shards": {state: row.count(state) for state in ("done", "running", "pending", "failed") if row.count(state)},
        "total": row.total,
        "progress": None if share is None else round(share, 4),
        "rate": round(sum(reading.rate for reading in readings), 3) if readings else None,
        "unit": readings[0].unit if readings else None,
        "eta_s": max((reading.eta_s for reading in readings), default=None),
        "elapsed_s": None if elapsed_s is None else round(elapsed_s, 1),
        "attempts": sum(len(shard.attempts) for shard in row.shards),
        "retried": row.retries,
        "note": note(snapshot, row),
    }


def note(snapshot: Snapshot, row: Row) -> str:
    """The one thing to know: why it waits or failed, what it says while it runs, what it made."""
    if row.waiting:
        return row.waiting
    failed = (sentence_of(shard) for shard in row.shards if shard.state == "failed")
    pending = (snapshot.waits_for(shard) for shard in row.shards if shard.state in ("pending", "running"))
    if text := next((text for text in (*failed, *pending) if text), ""):
        return text
    if said := next((reading.note for reading in snapshot.running(row) if reading.note), ""):
        return said
    made = [shard.newest.outputs.get("message", "") for shard in row.shards if shard.state == "done"]
    if row.state == "done" and len(made) == 1:
        return made[0].partition(": ")[2] or made[0]
    return ""


def line(snapshot: Snapshot, row: Row) -> str:
    """A stage's row as one line of a log."""
    stage, *rest, said = _row(snapshot, row)
    return "  ".join(text for text in (f"{stage or '-':>9}", *rest, said) if text)


def duration(seconds: float | None) -> str:
    """`1:02:03`, or `4:05`, or nothing."""
    if seconds is None:
        return ""
    minutes, left = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def _row(snapshot: Snapshot, row: Row) -> list[str]:
    readings, share = snapshot.running(row), snapshot.share(row)
    text = note(snapshot, row)
    return [
        row.stage,
        row.state,
        _shards(row),
        "" if share is None or row.state in ("pending", "failed") else f"{100 * share:.0f} %",
        f"{sum(reading.rate for reading in readings):.3g} {readings[0].unit}/s" if readings else "",
        duration(max(reading.eta_s for reading in readings)) if readings else "",
        duration(snapshot.elapsed_s(row)),
        str(sum(len(shard.attempts) for shard in row.shards) or "") if row.retries else "",
        text if len(text) <= _NOTE_CHARS else f"{text[: _NOTE_CHARS - 3]}...",
    ]


def _worth(snapshot: Snapshot) -> list[Row]:
    """Of many speakers: one row where all is done, and no rows for what has not been reached."""
    if not is_fan_out(snapshot):
        return list(snapshot.rows)
    found = []
    for group in dict.fromkeys(row.group for row in snapshot.rows):
        rows = [row for row in snapshot.rows if row.group == group]
        done = all(row.state in ("done", "skipped") for row in rows)
        found += rows[-1:] if done else [row for row in rows if row.state != NOT_REACHED]
    return found


def _shards(row: Row) -> str:
    if row.total < 2:
        return ""
    parts = [f"{row.count('done')}/{row.total}"]
    parts += [f"{row.count(state)} {state}" for state in ("running", "pending", "failed") if row.count(state)]
    again = sum(shard.retries > 0 for shard in row.shards)
    return ", ".join(parts + ([f"{again} retried"] if again else []))


def is_fan_out(snapshot: Snapshot) -> bool:
    """Whether it is about several speakers."""
    return len({row.group for row in snapshot.rows}) > 1
