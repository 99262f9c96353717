"""features: the clips of both lists -> their sidecars, for the clips of one shard."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from jobs import reads
from jobs.console import StageResult, counted
from jobs.session import Session
from jobs.workspace import Workspace
from svc_core import files, layout
from svc_core.config import Config
from svc_core.device import resolve_device
from svc_core.errors import BadInput
from svc_core.features.extract import (
    ClipFeatures,
    Staleness,
    Task,
    extract_many,
    fingerprints,
    load_tools,
    stale_parts,
)
from svc_core.filelists import Filelists, ListedClip
from svc_core.manifest import FileRecord
from svc_core.shards import shard

MAX_WORKERS = 8
CUDA_WORKERS = 2


def extract_features(session: Session, index: int, count: int, device: str) -> StageResult:
    with session.workspace.holding("features", f"{index}-of-{count}"):
        return _extract_shard(session, index, count, device)


def _extract_shard(session: Session, index: int, count: int, device: str) -> StageResult:
    config, lists = session.config(), session.filelists()
    place = resolve_device(device).type
    mine = shard(lists.clips, index, count)
    tasks, errors = _tasks(session.workspace, config, mine)
    if tasks:
        errors += _extract(session, config, tasks, {clip.key: clip.cost_s for clip in mine}, place)
    if errors:
        raise BadInput(f"{len(errors)} of {len(mine)} clips cannot be used; the first: {errors[0]}")
    return _result(session, config, lists, mine, len(tasks), index, count)


class ClipState(NamedTuple):
    """A listed clip as it is found: its wav, None where that is not what slice recorded, its record, what is to do."""

    clip: ListedClip
    wav: FileRecord | None
    recorded: ClipFeatures | None
    stale: Staleness


def states(workspace: Workspace, config: Config, clips: list[ListedClip]) -> list[ClipState]:
    """What stands and what is to be made. Brings in the records, not the clips."""
    workspace.bring([*reads.model_pins(config), *(layout.features_manifest(clip.key) for clip in clips)])
    wanted = fingerprints(config, workspace.root)
    found = []
    for clip in clips:
        wav = workspace.check(clip.file)
        recorded = ClipFeatures.read(workspace.root / layout.features_manifest(clip.key))
        stale = stale_parts(workspace.check, wav or clip.file, recorded, wanted)
        found.append(ClipState(clip, wav, recorded, stale))
    return found


def _tasks(workspace: Workspace, config: Config, clips: list[ListedClip]) -> tuple[list[Task], list[str]]:
    """What is to be made, and a sentence for each clip that is not what slice recorded."""
    tasks, errors = [], []
    for clip, wav, recorded, stale in states(workspace, config, clips):
        if wav is None:
            errors.append(
                f"{clip.key} is missing or was changed after slice recorded it: run slice again, or give --hub where "
                "the clips were sent"
            )
        elif stale.parts:
            tasks.append(Task(wav, stale.parts, stale.record))
        elif stale.record is not None and stale.record != recorded:
            stale.record.write(workspace.root / layout.features_manifest(clip.key))
    workspace.take([layout.features_manifest(clip.key) for clip in clips])
    return tasks, errors


def _extract(session: Session, config: Config, tasks: list[Task], seconds: dict[str, float], device: str) -> list[str]:
    workers = CUDA_WORKERS if device == "cuda" else min(len(os.sched_getaffinity(0)), MAX_WORKERS)
    session.workspace.bring(task.wav.key for task in tasks)
    for folder in {(session.root / task.wav.key).parent for task in tasks}:
        files.sweep(folder)
    errors = []
    # One thread per clip and one clip per core: so the bytes do not depend on the number of cores.
    total = sum(seconds[task.wav.key] for task in tasks)
    with _torch_threads(1), session.console.progress("features", total, "s of audio") as progress:
        # Loaded in here, because ONNX Runtime fixes its number of threads when it loads.
        tools = load_tools(config, device, session.root, frozenset().union(*(task.parts for task in tasks)))
        session.workspace.take(reads.model_pins(config))
        for outcome in extract_many(session.root, tasks, tools, workers):
            if outcome.features is None:
                errors.append(str(outcome.error))
            else:
                record_key = layout.features_manifest(outcome.wav.key)
                outcome.features.write(session.root / record_key)
                session.workspace.take([*layout.sidecar_keys(outcome.wav.key), record_key])
            progress.advance(seconds[outcome.wav.key])
    return errors


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _result(
    session: Session, config: Config, lists: Filelists, mine: list[ListedClip], done: int, index: int, count: int
) -> StageResult:
    in_no_list = _in_no_list(session.workspace, config, lists)
    part = f" (shard {index} of {count})" if count > 1 else ""
    verb = "extracted" if done else "already done"
    encoder = config.encoder + (" (demo and tests only)" if config.encoder == "mel-bands" else "")
    message = (
        f"{verb}{part}: {counted(done or len(mine), 'clip')} with {encoder} and {config.svc_jobs.features.f0_predictor}"
    )
    if in_no_list:
        message += f"; {in_no_list} wavs in neither list are left alone"
    facts = {"clips": len(mine), "seconds": round(sum(clip.seconds for clip in mine), 1), "in_no_list": in_no_list}
    return StageResult("features", done, len(mine) - done, message, facts)


def _in_no_list(workspace: Workspace, config: Config, lists: Filelists) -> int:
    listed = {clip.key for clip in lists.clips}
    found = (key for speaker in config.spk for key in workspace.keys(layout.wavs_dir(speaker)))
    return sum(key.endswith(".wav") and key not in listed for key in found)
