"""prepare: speakers and their ids, the config, and what there is to slice."""

from collections.abc import Sequence
from typing import Any

from jobs.console import StageResult, counted
from jobs.session import Session, find_config
from svc_core import config as configs
from svc_core import files, layout, plan, settings, speakers
from svc_core.config import Config
from svc_core.plan import SlicePlan


def prepare(session: Session, named: Sequence[str], voice: str | None, changes: dict[str, Any]) -> StageResult:
    with session.workspace.holding("prepare"):
        return _prepare(session, named, voice, changes)


def _prepare(session: Session, named: Sequence[str], voice: str | None, changes: dict[str, Any]) -> StageResult:
    root, console, workspace = session.root, session.console, session.workspace
    workspace.bring([layout.SPEAKER_MAP, layout.PREPARE_PLAN])
    existing = find_config(workspace)
    ids = speakers.read_speaker_map(root)
    names = speakers.find_speakers(workspace.raw, named, list(ids))
    voice = speakers.find_voice(root, voice, names)
    before, ids = ids, speakers.assign_ids(ids, names)
    config = settings.build(existing, voice, ids, changes)

    previous = SlicePlan.read(root / layout.PREPARE_PLAN)
    listed = plan.listing(workspace.raw, names)
    with console.progress("prepare", len(listed), "files") as progress:
        scanned = plan.scan(workspace.raw, progress.over(listed), previous)
    made = plan.make(workspace.raw, config, scanned, lambda speaker: bool(workspace.keys(layout.wavs_dir(speaker))))
    config = settings.with_enough_steps(config, sum(recording.cost_s for recording in made.to_slice()))
    if before and (new := [name for name in ids if name not in before]):
        console.say(f"{'new speaker' if len(new) == 1 else 'new speakers'}: {', '.join(new)}")
    for sentence in plan.consequences(previous, made.settings):
        console.say(sentence)
    _report_oddities(session, made, names)

    if previous == made and existing == config and speakers.read_speaker_map(root) == ids:
        return _result(made, config, skipped=len(made.recordings))
    workspace.check_alone()
    if speakers.read_speaker_map(root) != ids:
        files.write_json(root / layout.SPEAKER_MAP, ids, durable=True)
    if existing != config:
        configs.save(config, root / layout.config_key(voice))
    made.write(root / layout.PREPARE_PLAN)
    workspace.take([layout.SPEAKER_MAP, layout.config_key(voice), layout.PREPARE_PLAN])
    return _result(made, config, done=len(made.recordings))


def _report_oddities(session: Session, made: SlicePlan, names: Sequence[str]) -> None:
    for sentence in session.workspace.raw.overlooked(names):
        session.console.warn(sentence)
    for recording in made.recordings:
        if recording.error:
            session.console.warn(f"{recording.error}")
        elif recording.duplicate_of:
            session.console.warn(f"{recording.key} has the content of {recording.duplicate_of}: one is kept")
    for speaker in made.speakers_without_raw:
        session.console.warn(f"{layout.raw_dir(speaker)} is gone: the clips made from it before are used")
    if made.ignored:
        names = ", ".join(entry.key for entry in made.ignored[:5])
        session.console.detail(f"ignored {counted(len(made.ignored), 'file')} beside recordings: {names}")


def _result(made: SlicePlan, config: Config, *, done: int = 0, skipped: int = 0) -> StageResult:
    verb = "planned" if done else "already done"
    usable = made.to_slice()
    seconds = sum(recording.cost_s for recording in usable)
    names = sorted({recording.speaker for recording in usable})
    message = (
        f"{verb}: {counted(len(usable), 'recording')} of {', '.join(names) or 'nobody'}, {seconds / 60:.1f} min, "
        f"voice {made.voice!r}"
    )
    facts = {
        "voice": made.voice,
        "recordings": len(usable),
        "seconds": round(seconds, 1),
        "shards": made.shards,
        "steps": config.svc_jobs.steps,
        "unusable": [recording.error for recording in made.recordings if recording.error],
        "duplicates": [recording.key for recording in made.recordings if recording.duplicate_of],
        "ignored": len(made.ignored),
    }
    return StageResult("prepare", done, skipped, message, facts)
