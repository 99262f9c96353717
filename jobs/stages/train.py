"""train: batches -> checkpoints, until the set number of steps."""

from collections.abc import Callable
from pathlib import Path

from jobs import reads
from jobs.console import Progress, StageResult, counted
from jobs.session import Session
from jobs.workspace import Workspace, settled
from svc_core import checkpoint, layout
from svc_core.batches import CorruptClip
from svc_core.config import Config
from svc_core.errors import ConfigError, Damaged
from svc_core.training.base import Base
from svc_core.training.loop import StepReport, TrainingResult
from svc_core.training.loop import train as train_voice


def train(session: Session, device: str, base: str | None) -> StageResult:
    config, lists, workspace = session.config(), session.filelists(), session.workspace
    keys, request = reads.training(lists), [config.model_dump(mode="json"), base]
    with workspace.holding("train"):
        return settled(workspace, "train", request, keys, lambda: _train(session, config, device, base))


def _train(session: Session, config: Config, device: str, base: str | None) -> StageResult:
    session.workspace.bring(_log_keys(session.workspace, config))
    bring_checkpoint(session.workspace, config.svc_jobs.voice)
    with session.console.progress("train", config.svc_jobs.steps, "steps") as progress, session.stop.deferred():
        try:
            result = train_voice(
                session.root,
                config.svc_jobs.voice,
                config,
                device=device,
                base=parse_base(base),
                stop=session.stop.requested,
                on_step=_shower(session, progress),
                on_saved=lambda: take_checkpoint(session.workspace, config.svc_jobs.voice),
            )
        except CorruptClip as error:
            # Without its record the features stage makes the clip's sidecars anew, whatever their stamps say.
            session.workspace.drop([layout.features_manifest(error.wav_key)])
            raise
    for note in result.notes:
        session.console.detail(note)
    return _result(result)


def bring_checkpoint(workspace: Workspace, voice: str) -> None:
    """Brings in the newest checkpoint that is whole; training says what is wrong with those after it."""
    for entry in reads.checkpoints(workspace, voice):
        try:
            workspace.bring(record.key for record in entry.files)
        except Damaged:
            continue
        if all(workspace.check(record) for record in entry.files):
            return


def take_checkpoint(workspace: Workspace, voice: str) -> None:
    """Stores what training just saved, and removes the checkpoints that its list no longer names."""
    folder = workspace.root / layout.logs_dir(voice)
    workspace.take([path.relative_to(workspace.root).as_posix() for path in folder.iterdir()])
    kept = {entry.step for entry in checkpoint.read_history(workspace.root, voice)}
    workspace.drop(
        [
            key
            for name in workspace.keys(layout.logs_dir(voice))
            if (step := layout.state_step(name)) is not None and step not in kept
            for key in layout.checkpoint_keys(voice, step)
        ]
    )


def _log_keys(workspace: Workspace, config: Config) -> list[str]:
    """What training goes on writing: its figures and TensorBoard's events."""
    return [key for key in workspace.keys(layout.logs_dir(config.svc_jobs.voice)) if not key.endswith(".pth")]


def parse_base(text: str | None) -> Base | None:
    """`G_0.pth,D_0.pth`. Raises ConfigError where it is not two existing files."""
    if text is None:
        return None
    paths = [Path(part).expanduser() for part in text.split(",")]
    missing = [str(path) for path in paths if not path.is_file()]
    if len(paths) != 2 or missing:
        what = f"{', '.join(missing)} does not exist" if missing else f"{text!r} is not two files"
        raise ConfigError(f"--base wants G_0.pth,D_0.pth: {what}")
    return Base(*paths)


def _shower(session: Session, progress: Progress) -> Callable[[StepReport], None]:
    def show(report: StepReport) -> None:
        for note in report.notes:
            session.console.say(note)
        progress.reach(report.step, f"mel {report.losses.mel:.2f}")

    return show


def _result(result: TrainingResult) -> StageResult:
    if result.steps_done:
        rate = result.steps_done / max(result.seconds, 1e-9)
        steps = counted(result.steps_done, "step")
        message = f"trained: step {result.step} ({steps} in {result.seconds:.0f} s, {rate:.2f} steps/s)"
    else:
        message = f"already done: step {result.step}"
    facts = result.model_dump(exclude={"notes", "steps_done"})
    if result.losses:
        facts["mel_loss"] = round(result.losses["mel"], 3)
    return StageResult("train", result.steps_done, result.step - result.steps_done, message, facts)
