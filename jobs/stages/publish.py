"""publish: the best checkpoint -> the release folder."""

from jobs import reads
from jobs.console import StageResult, counted
from jobs.session import Session
from jobs.workspace import settled
from svc_core import layout
from svc_core.config import Config
from svc_core.errors import BadInput
from svc_core.evaluation.evaluate import Evaluation
from svc_core.release import RELEASE_VERSION, Release
from svc_core.release import publish as publish_voice


def publish(session: Session) -> StageResult:
    config, lists, workspace = session.config(), session.filelists(), session.workspace
    with workspace.holding("publish"):
        evaluation = _evaluation(session, config.svc_jobs.voice)
        agreed = [layout.consent_key(speaker) for speaker in config.spk]
        keys = [*reads.release(workspace, config, lists, evaluation), *agreed]
        request = [RELEASE_VERSION, config.model_dump(mode="json")]
        return settled(workspace, "publish", request, keys, lambda: _publish(session, config, evaluation))


def _evaluation(session: Session, voice: str) -> Evaluation:
    key = layout.evaluation_key(voice)
    session.workspace.bring([key])
    found = Evaluation.read(session.root / key)
    if found is None:
        raise BadInput(f"{session.workspace.name}/{key} is absent or damaged: run evaluate first")
    return found


def _publish(session: Session, config: Config, evaluation: Evaluation) -> StageResult:
    voice = config.svc_jobs.voice
    release = publish_voice(session.root, voice, config, evaluation)
    verb = "already done" if release.already else "published"
    message = (
        f"{verb}: step {release.step} in {release.folder}, {counted(len(release.files), 'file')}; {_status(release)}"
    )
    facts = {
        "step": release.step,
        "folder": release.folder,
        "may_be_published": not release.lacking,
        "lacking_consent": release.lacking,
        "sha256": {item.name: item.sha256 for item in release.files},
    }
    done = 0 if release.already else len(release.files)
    return StageResult("publish", done, len(release.files) - done, message, facts)


def _status(release: Release) -> str:
    if not release.lacking:
        return "with the consent of every speaker"
    said = "; ".join(f"{speaker}: {reason}" for speaker, reason in release.lacking.items())
    return f"not for publication, consent is lacking ({said}): see svc-jobs consent"
