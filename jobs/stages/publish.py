"""publish: the best checkpoint -> the release folder."""

from jobs.console import StageResult
from jobs.session import Session
from svc_core import layout
from svc_core.errors import BadInput
from svc_core.evaluation.evaluate import Evaluation
from svc_core.release import publish as publish_voice


def publish(session: Session) -> StageResult:
    config = session.config()
    voice = config.svc_jobs.voice
    evaluation = Evaluation.read(session.root / layout.evaluation_key(voice))
    if evaluation is None:
        raise BadInput(f"{session.root / layout.evaluation_key(voice)} is absent or damaged: run evaluate first")
    release = publish_voice(session.root, voice, config, evaluation)
    verb = "already done" if release.already else "published"
    message = f"{verb}: step {release.step} in {release.folder}, {len(release.files)} files; not for publication yet"
    facts = {
        "step": release.step,
        "folder": release.folder,
        "sha256": {item.name: item.sha256 for item in release.files},
    }
    done = 0 if release.already else len(release.files)
    return StageResult("publish", done, len(release.files) - done, message, facts)
