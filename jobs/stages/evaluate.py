"""evaluate: every kept checkpoint on the validation clips -> scores, and the best."""

from jobs import reads
from jobs.console import StageResult, counted
from jobs.session import Session
from jobs.workspace import settled
from svc_core import layout
from svc_core.config import Config
from svc_core.evaluation.evaluate import Evaluation
from svc_core.evaluation.evaluate import evaluate as evaluate_voice


def evaluate(session: Session, device: str) -> StageResult:
    config, lists, workspace = session.config(), session.filelists(), session.workspace
    with workspace.holding("evaluate"):
        keys, request = reads.evaluation(workspace, config, lists), config.model_dump(mode="json")
        return settled(workspace, "evaluate", request, keys, lambda: _evaluate(session, config, device))


def _evaluate(session: Session, config: Config, device: str) -> StageResult:
    voice = config.svc_jobs.voice
    before = Evaluation.read(session.root / layout.evaluation_key(voice))
    with session.console.progress("evaluate", 1, "clips") as progress:

        def show(done: int, total: int) -> None:
            progress.resize(total)
            progress.reach(done)

        made = evaluate_voice(session.root, voice, config, device=device, on_clip=show)
    for score in made.checkpoints:
        if score.note:
            session.console.warn(score.note)
    return _result(made, changed=made != before)


def _result(made: Evaluation, *, changed: bool) -> StageResult:
    metrics = made.best.metrics
    distance = f"mel distance {metrics.mel_distance:.3f}" if metrics else ""
    verb = "evaluated" if changed else "already done"
    count = len(made.checkpoints)
    heard = f"{counted(count, 'checkpoint')} on {counted(len(made.clips), 'clip')}"
    message = f"{verb}: {heard}; best is step {made.best_step}, {distance}"
    facts = {
        "best_step": made.best_step,
        "best_mel_distance": round(metrics.mel_distance, 3) if metrics else None,
        "checkpoints": {
            score.step: score.metrics.model_dump() if score.metrics else None for score in made.checkpoints
        },
    }
    return StageResult("evaluate", count if changed else 0, 0 if changed else count, message, facts)
