"""The release on its way to the Hub: only where each speaker agreed to that."""

from dataclasses import replace

from jobs.console import StageResult
from jobs.hub.access import open_hub, sent
from jobs.session import Session
from svc_core import consent, layout
from svc_core import hub as hubs
from svc_core.consent import Use
from svc_core.hub import Hub


def publish_there(session: Session, namespace: str) -> StageResult:
    """The publish stage, then its release to the Hub; each says its line. The figures of both, under `hub` the latter.

    Raises as the stage and `push_release`; ConfigError before any work where the Hub may not be written.
    """
    from jobs.stages.publish import publish

    hub = open_hub(session.console, namespace)
    hub.check_writable()
    release = publish(session)
    session.console.stage(release)
    pushed = push_release(session, hub)
    session.console.stage(pushed)
    return replace(release, facts={**release.facts, "hub": pushed.facts})


def push_release(session: Session, hub: Hub) -> StageResult:
    """Sends the release, tagged with its step, where the consent of every speaker to sharing it is on record.

    Where it is not, nothing is sent, and the result's sentence says so. Raises as `svc_core.hub.push_model`.
    """
    config = session.config()
    session.workspace.bring(layout.consent_key(speaker) for speaker in config.spk)
    if lacking := consent.lacking(session.root, config.spk, Use.SHARE_MODEL):
        said = "; ".join(f"{speaker}: {reason}" for speaker, reason in lacking.items())
        return StageResult("hub", 0, 0, f"the model stays here, consent is lacking ({said}): see svc-jobs consent")
    return sent(hubs.push_model(session.workspace, config.svc_jobs.voice, hub))
