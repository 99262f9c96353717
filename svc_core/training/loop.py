"""Door of the train stage: batches -> checkpoints.

A linear recipe that owns its loop: build, go on from the newest whole checkpoint, step, log, save. After a kill at any
moment the same call goes on from the last checkpoint; on the same machine the result is bit for bit that of one run.
"""

import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch

from svc_core import checkpoint, layout, manifest
from svc_core.batches import BatchOrder, Clip, ClipDataset, Fed, choose_workers, feed, load_clip, naming_killed_workers
from svc_core.checkpoint import Entry
from svc_core.config import Config
from svc_core.device import check_bf16, resolve_device
from svc_core.errors import BadInput, ConfigError, Diverged, Preempted, from_os_error
from svc_core.training.base import Base, load_base
from svc_core.training.example import render
from svc_core.training.metrics import MetricsLog
from svc_core.training.state import (
    TrainState,
    build_state,
    clips_fingerprint,
    learning_rate,
    restore,
    set_learning_rate,
    snapshot,
)
from svc_core.training.step import StepLosses, training_step

_PACE_STEPS = 50


class TrainingResult(manifest.Record):
    """How training ended. `steps_done` counts this call's; `notes` are sentences for the user."""

    step: int
    epoch: int
    steps_done: int
    seconds: float
    checkpoint: str
    """Key of the newest generator file."""
    losses: dict[str, float] | None
    """Of the last step; None where there was nothing to do."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class StepReport:
    """One finished step. `data_wait_share` is the share of the time spent waiting for clips, 0..1."""

    step: int
    steps: int
    epoch: int
    losses: StepLosses
    learning_rate: float
    steps_per_s: float
    data_wait_share: float
    notes: tuple[str, ...]
    """What is to be said before this step; of the first report only."""

    @property
    def facts(self) -> dict[str, float]:
        """What stands beside the losses in a line of `metrics.jsonl`."""
        return {
            "epoch": self.epoch,
            "learning_rate": self.learning_rate,
            "steps_per_s": self.steps_per_s,
            "data_wait_share": self.data_wait_share,
        }


def train(
    root: Path,
    voice: str,
    config: Config,
    *,
    device: str,
    base: Base | None,
    stop: Callable[[], bool],
    on_step: Callable[[StepReport], None],
    on_saved: Callable[[], None] = lambda: None,
) -> TrainingResult:
    """Trains until `svc_jobs.steps` steps or `train.epochs` epochs are done, from the newest checkpoint on.

    Args:
        device: see `resolve_device`.
        base: weights to start from where there is no checkpoint yet.
        stop: asked between steps; once true, the last finished step is saved and Preempted raised.
        on_step: hears of every step.
        on_saved: called after every checkpoint, when `latest.json` names it.
    Raises:
        BadInput: a listed clip cannot be used (CorruptClip names it), or no recorded checkpoint is whole.
        ConfigError: the settings do not fit the checkpoint, the base or the machine.
        Diverged: a loss or gradient is not finite; nothing of that step is saved.
        Preempted, Transient: run the same call again.
    """
    try:
        return _finished(root, voice, config) or _train(
            _open(root, voice, config, resolve_device(device), base, on_saved), stop, on_step
        )
    except OSError as error:
        raise from_os_error(error, root / layout.logs_dir(voice)) from error
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            f"the GPU's memory is too small for {config.train.batch_size} clips per step: lower train.batch_size "
            "(--batch-size) and run the same command again, it goes on from the newest checkpoint"
        ) from error


@dataclass
class _Run:
    """One call of `train`: the state, where it is saved, and what has been saved."""

    root: Path
    voice: str
    state: TrainState
    keys: list[str]
    example: Clip
    history: tuple[Entry, ...]
    notes: list[str]
    on_saved: Callable[[], None]

    @property
    def config(self) -> Config:
        return self.state.config

    @property
    def saved_step(self) -> int:
        return self.history[0].step if self.history else 0


def _finished(root: Path, voice: str, config: Config) -> TrainingResult | None:
    """The result where the newest checkpoint has all the steps and its files are as they were written.

    Raises ConfigError where a speaker joined since, who would be published without a step.
    """
    entries = checkpoint.read_history(root, voice)
    if not entries or entries[0].step < config.svc_jobs.steps:
        return None
    newest = entries[0]
    if not all(record.check(root) for record in newest.files):
        return None
    saved = checkpoint.read(layout.local(root, newest.state.key))
    checkpoint.check_same_training(saved, config.training_settings(), config.spk)
    if untrained := [name for name in config.spk if name not in saved["speakers"]]:
        raise ConfigError(
            f"all {newest.step} steps were trained before {', '.join(untrained)} joined: raise svc_jobs.steps (--steps "
            "of prepare or run), so that training goes on with every speaker"
        )
    return TrainingResult(
        step=newest.step,
        epoch=newest.epoch,
        steps_done=0,
        seconds=0.0,
        checkpoint=newest.generator.key,
        losses=None,
        notes=(f"already trained: {newest.step} of {config.svc_jobs.steps} steps are done",),
    )


def _open(
    root: Path,
    voice: str,
    config: Config,
    device: torch.device,
    base: Base | None,
    on_saved: Callable[[], None],
) -> _Run:
    """Builds the networks and fills them from the newest whole checkpoint, else from the base."""
    if config.precision == "bf16":
        check_bf16(device.type)
    keys = _listed(root, layout.TRAIN_LIST)
    example = load_clip(root, _listed(root, layout.VAL_LIST)[0], config)
    found = checkpoint.newest_whole(root, voice)
    state = build_state(config, device)
    if found is None:
        notes = load_base(state.generator, state.discriminator, base) if base else []
        return _Run(root, voice, state, keys, example, (), notes, on_saved)
    notes = [*found.notes, f"going on from checkpoint {found.entry.step}"]
    if base:
        notes.append("the base weights are not loaded: training goes on from its own checkpoint")
    notes += restore(state, checkpoint.load(root, found.entry), clips_fingerprint(keys))
    return _Run(root, voice, state, keys, example, (found.entry, *found.older), notes, on_saved)


def _listed(root: Path, key: str) -> list[str]:
    """The clips of a list file, at least one. Raises BadInput."""
    path = root / key
    try:
        keys = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist: run the filelists stage first") from None
    if not keys:
        raise BadInput(f"{path} is empty: run the filelists stage again")
    return keys


def _train(run: _Run, stop: Callable[[], bool], on_step: Callable[[StepReport], None]) -> TrainingResult:
    began_s, first_step = time.monotonic(), run.state.step
    log = MetricsLog(run.root, run.voice, first_step, run.config.train.log_interval)
    try:
        losses = _run_steps(run, log, stop, on_step)
    finally:
        log.close()
    return TrainingResult(
        step=run.state.step,
        epoch=run.state.position.epoch,
        steps_done=run.state.step - first_step,
        seconds=time.monotonic() - began_s,
        checkpoint=run.history[0].generator.key,
        losses=losses._asdict() if losses else None,
        notes=tuple(run.notes),
    )


def _run_steps(
    run: _Run, log: MetricsLog, stop: Callable[[], bool], on_step: Callable[[StepReport], None]
) -> StepLosses | None:
    """Steps until steps or epochs are used up, with all that happens between. Returns the last step's losses."""
    state, settings = run.state, run.config.train
    pace, losses, notes = _Pace(), None, tuple(run.notes)
    with naming_killed_workers(), closing(_batches(run)) as batches:
        while state.step < run.config.svc_jobs.steps:
            if stop():
                _preempt(run)
            asked_s = time.monotonic()
            fed = next(batches, None)
            if fed is None:
                break
            fed_s = time.monotonic()
            losses = _step(state, fed)
            pace.add(waited_s=fed_s - asked_s, took_s=time.monotonic() - asked_s)
            report = _report(run, losses, pace, notes)
            log.add(report.step, losses, report.facts)
            on_step(report)
            notes = ()
            if state.step % settings.eval_interval == 0:
                _save(run)
                log.example(state.step, render(state, run.example))
    if state.step > run.saved_step:
        _save(run)
        log.example(state.step, render(state, run.example))
    return losses


def _batches(run: _Run) -> Generator[Fed]:
    state, settings = run.state, run.config.train
    order = BatchOrder(len(run.keys), settings.batch_size, settings.seed)
    return feed(
        ClipDataset(run.root, run.keys, run.config),
        order.batches(state.position, settings.epochs),
        workers=choose_workers(run.config, state.device),
        pin_memory=state.device.type == "cuda",
    )


def _step(state: TrainState, fed: Fed) -> StepLosses:
    """One step on the batch. Raises Diverged where a loss or gradient is not finite."""
    rate = set_learning_rate(state, fed.after.epoch)
    losses = training_step(state, fed.batch.to(state.device))
    state.step, state.position = state.step + 1, fed.after
    if bad := losses.not_finite():
        raise Diverged(
            f"training diverged at step {state.step}: {', '.join(bad)} not finite, nothing of it is saved: lower "
            f"train.learning_rate (now {rate:g}), with fp16_run on try fp32, then run the same command again"
        )
    return losses


def _save(run: _Run) -> None:
    run.history = checkpoint.save(
        run.root,
        run.voice,
        snapshot(run.state, clips_fingerprint(run.keys)),
        run.history,
        run.config.train.keep_ckpts,
    )
    run.on_saved()


def _preempt(run: _Run) -> NoReturn:
    if run.state.step > run.saved_step:
        _save(run)
    raise Preempted(f"told to stop: step {run.state.step} is saved, run the same command again to go on")


def _report(run: _Run, losses: StepLosses, pace: "_Pace", notes: tuple[str, ...]) -> StepReport:
    return StepReport(
        step=run.state.step,
        steps=run.config.svc_jobs.steps,
        epoch=run.state.position.epoch,
        losses=losses,
        learning_rate=learning_rate(run.config.train, run.state.position.epoch),
        steps_per_s=pace.steps_per_s,
        data_wait_share=pace.data_wait_share,
        notes=notes,
    )


class _Pace:
    """Speed over the last steps."""

    def __init__(self) -> None:
        self._waited_s: deque[float] = deque(maxlen=_PACE_STEPS)
        self._took_s: deque[float] = deque(maxlen=_PACE_STEPS)

    def add(self, *, waited_s: float, took_s: float) -> None:
        self._waited_s.append(waited_s)
        self._took_s.append(took_s)

    @property
    def steps_per_s(self) -> float:
        return len(self._took_s) / sum(self._took_s)

    @property
    def data_wait_share(self) -> float:
        return sum(self._waited_s) / sum(self._took_s)
