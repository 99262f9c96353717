"""filelists: the clips of all recordings -> train and validation lists."""

from pathlib import Path

from jobs.console import StageResult, counted
from jobs.session import Session
from jobs.stages.slice import check_poison, troubles
from jobs.workspace import Workspace
from svc_core import filelists, files, layout
from svc_core.audio.prepare import RecordingRecord
from svc_core.errors import BadInput
from svc_core.filelists import Filelists, Side
from svc_core.plan import SlicePlan


def make_filelists(session: Session) -> StageResult:
    with session.workspace.holding("filelists"):
        return _make_filelists(session)


def _make_filelists(session: Session) -> StageResult:
    root, config, plan = session.root, session.config(), session.slice_plan()
    session.workspace.bring([layout.TRAIN_LIST, layout.VAL_LIST, layout.FILELISTS_PLAN])
    records = _records(session.workspace, plan)
    errors = [item.error for item in plan.recordings if item.error]
    check_poison(errors + troubles(records), len(plan.recordings) or len(records), config)
    made = filelists.build(records, config.spk, _listed(root), config.svc_jobs.split, config.svc_jobs.shards)
    texts: dict[str, str] = {layout.TRAIN_LIST: made.lines("train"), layout.VAL_LIST: made.lines("val")}
    changed = Filelists.read(root / layout.FILELISTS_PLAN) != made
    for key, text in texts.items():
        if not (root / key).is_file() or (root / key).read_text(encoding="utf-8") != text:
            files.write_text(root / key, text)
            changed = True
    if changed:
        made.write(root / layout.FILELISTS_PLAN)
        session.workspace.take([*texts, layout.FILELISTS_PLAN])
    return _result(made, changed)


def _records(workspace: Workspace, plan: SlicePlan) -> list[RecordingRecord]:
    """What slice made of each planned recording, and of speakers whose raw folder is gone."""
    planned = {recording.key: layout.slice_manifest(recording.key) for recording in plan.to_slice()}
    others = [
        key for speaker in plan.speakers_without_raw for key in workspace.keys(layout.slice_manifests_dir(speaker))
    ]
    workspace.bring([*planned.values(), *others])
    records, missing = [], []
    for recording, key in planned.items():
        record = RecordingRecord.read(workspace.root / key)
        records.append(record) if record else missing.append(recording)
    if missing:
        waiting = counted(len(missing), "recording")
        raise BadInput(f"{waiting} not sliced yet (the first: {missing[0]}): run slice first")
    return records + [record for key in others if (record := RecordingRecord.read(workspace.root / key))]


def _listed(root: Path) -> dict[str, Side]:
    """The clips of the present lists. A clip in both stays in validation, so that it is never trained on."""
    listed: dict[str, Side] = {}
    sides: list[tuple[str, Side]] = [(layout.TRAIN_LIST, "train"), (layout.VAL_LIST, "val")]
    for key, side in sides:
        path = root / key
        if path.is_file():
            listed |= filelists.parse_list(path.read_text(encoding="utf-8"), side, str(path))
    return listed


def _result(made: Filelists, changed: bool) -> StageResult:
    counts = {side: sum(clip.side == side for clip in made.clips) for side in ("train", "val")}
    minutes = {side: made.seconds(side) / 60 for side in ("train", "val")}
    verb = "listed" if changed else "already done"
    message = (
        f"{verb}: {counted(counts['train'], 'training clip')} ({minutes['train']:.1f} min), "
        f"{counted(counts['val'], 'validation clip')} ({minutes['val']:.1f} min)"
    )
    facts = {
        **counts,
        "seconds": {side: round(value * 60, 1) for side, value in minutes.items()},
        "shards": made.shards,
    }
    return StageResult(
        "filelists", len(made.clips) if changed else 0, 0 if changed else len(made.clips), message, facts
    )
