"""slice: one recording -> its clips, for the recordings of one shard."""

from jobs.console import StageResult, counted
from jobs.session import Session
from jobs.workspace import Workspace
from svc_core import files, layout
from svc_core.audio.prepare import RecordingRecord, prepare_recording, settings_fingerprint
from svc_core.config import Config
from svc_core.errors import BadInput
from svc_core.plan import Recording, SlicePlan
from svc_core.shards import shard


def slice_recordings(session: Session, index: int, count: int) -> StageResult:
    with session.workspace.holding("slice", f"{index}-of-{count}"):
        return _slice_shard(session, index, count)


def _slice_shard(session: Session, index: int, count: int) -> StageResult:
    plan, config, workspace = session.slice_plan(), session.config(), session.workspace
    # filelists would refuse these after all the work.
    check_poison([item.error for item in plan.recordings if item.error], len(plan.recordings), config)
    mine = shard(plan.to_slice(), index, count)
    standing = _standing(workspace, mine, config)
    workspace.bring(key for key, record in standing.items() if record is None)
    records, done = [], 0
    with session.console.progress("slice", sum(item.cost_s for item in mine), "s of audio") as progress:
        for recording in mine:
            record = standing[recording.key]
            if record is None:
                record = _slice(workspace, recording, config)
                done += 1
            if sentence := trouble(record):
                session.console.warn(sentence)
            records.append(record)
            progress.advance(recording.cost_s)
    check_poison(troubles(records), len(plan.recordings), config)
    return _result(plan, records, done, index, count)


def _standing(workspace: Workspace, recordings: list[Recording], config: Config) -> dict[str, RecordingRecord | None]:
    """By recording, what `current` says."""
    manifests = [layout.slice_manifest(recording.key) for recording in recordings]
    workspace.bring(manifests)
    standing = {recording.key: current(workspace, recording, config) for recording in recordings}
    workspace.take(manifests)
    return standing


def current(workspace: Workspace, recording: Recording, config: Config) -> RecordingRecord | None:
    """The record of a recording that is sliced already with these settings, every clip of it being whole.

    Where only time stamps moved (a copied workspace), the record is rewritten with the new ones.
    """
    path = workspace.root / layout.slice_manifest(recording.key)
    record = RecordingRecord.read(path)
    if record is None or record.settings != settings_fingerprint(config.svc_jobs.slice, config.svc_jobs.loudness):
        return None
    source = workspace.check(record.source)
    clips = [workspace.check(clip.file) for clip in record.clips]
    if source is None or None in clips:
        return None
    kept = tuple(clip.model_copy(update={"file": file}) for clip, file in zip(record.clips, clips, strict=True))
    fresh = record.model_copy(update={"source": source, "clips": kept})
    if fresh != record:
        fresh.write(path)
    return fresh


def trouble(record: RecordingRecord) -> str | None:
    """Why a recording gave nothing, in a sentence; None if it gave clips."""
    if record.error or record.clips:
        return record.error
    reason = record.dropped[0].reason if record.dropped else "it is silent throughout"
    return f"{record.source.key} gave no clip ({reason}): remove it, or lower the limits of slicing"


def troubles(records: list[RecordingRecord]) -> list[str]:
    return [sentence for record in records if (sentence := trouble(record))]


def check_poison(errors: list[str], total: int, config: Config) -> None:
    """Raises BadInput where more than the set share of all recordings cannot be used."""
    share = config.svc_jobs.poison_share
    if len(errors) > share * total:
        raise BadInput(
            f"{len(errors)} of {total} recordings cannot be used, more than the set share of {share:.0%} "
            f"(--poison-share); the first: {errors[0]}"
        )


def _slice(workspace: Workspace, recording: Recording, config: Config) -> RecordingRecord:
    root, manifest_key = workspace.root, layout.slice_manifest(recording.key)
    before = RecordingRecord.read(root / manifest_key)
    files.sweep(root / layout.wavs_dir(recording.speaker))
    record = prepare_recording(root, recording.key, config.svc_jobs.slice, config.svc_jobs.loudness, workspace)
    made = {clip.file.key for clip in record.clips}
    for clip in before.clips if before else []:
        if clip.file.key not in made:
            forget_clip(workspace, clip.file.key)
    workspace.write(manifest_key, record.to_bytes(), durable=True)
    workspace.take([*made, manifest_key])
    workspace.free([recording.key])
    return record


def forget_clip(workspace: Workspace, wav: str) -> None:
    """Removes a clip that its recording no longer yields, with everything made from it; its record goes first."""
    workspace.drop([layout.features_manifest(wav), *layout.sidecar_keys(wav), wav])


def _result(plan: SlicePlan, records: list[RecordingRecord], done: int, index: int, count: int) -> StageResult:
    clips = [clip for record in records for clip in record.clips]
    seconds = sum(clip.samples for clip in clips) / 44_100
    dropped = sum(len(record.dropped) for record in records)
    part = f" (shard {index} of {count})" if count > 1 else ""
    verb = "sliced" if done else "already done"
    sources = counted(len(records), "recording")
    message = f"{verb}{part}: {counted(len(clips), 'clip')}, {seconds / 60:.1f} min, from {sources}"
    if dropped:
        message += f"; {counted(dropped, 'piece')} dropped"
    facts = {
        "clips": len(clips),
        "seconds": round(seconds, 1),
        "dropped": dropped,
        "unusable": troubles(records),
        "of_recordings": len(plan.recordings),
    }
    return StageResult("slice", done, len(records) - done, message, facts)
