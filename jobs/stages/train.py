"""train: batches -> checkpoints, until the set number of steps."""

from collections.abc import Callable
from pathlib import Path

from jobs.console import Progress, StageResult
from jobs.session import Session
from svc_core import layout
from svc_core.batches import CorruptClip
from svc_core.errors import ConfigError
from svc_core.training.base import Base
from svc_core.training.loop import StepReport, TrainingResult
from svc_core.training.loop import train as train_voice


def train(session: Session, device: str, base: str | None) -> StageResult:
    config = session.config()
    session.filelists()
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
            )
        except CorruptClip as error:
            # Without its record the features stage makes the clip's sidecars anew, whatever their stamps say.
            (session.root / layout.features_manifest(error.wav_key)).unlink(missing_ok=True)
            raise
    for note in result.notes:
        session.console.detail(note)
    return _result(result)


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
        message = (
            f"trained: {result.steps_done} steps in {result.seconds:.0f} s ({rate:.2f} steps/s), now at {result.step}"
        )
    else:
        message = f"already done: step {result.step}"
    facts = result.model_dump(exclude={"notes", "steps_done"})
    return StageResult("train", result.steps_done, result.step - result.steps_done, message, facts)
