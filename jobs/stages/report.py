"""report: whatever exists -> one HTML page."""

from pathlib import Path

from jobs import argo, reads
from jobs.console import StageResult
from jobs.session import Session
from jobs.workspace import settled
from svc_core import layout
from svc_core.config import Config
from svc_core.filelists import Filelists
from svc_core.report.page import write_report as write_page


def write_report(session: Session) -> StageResult:
    config, workspace = session.config(), session.workspace
    workspace.bring([layout.FILELISTS_PLAN])
    lists = Filelists.read(session.root / layout.FILELISTS_PLAN)
    with workspace.holding("report"):
        spoken = [clip for clip in lists.clips if clip.side == "val"] if lists else []
        absent = [clip.key for clip in spoken if workspace.check(clip.file) is None]
        if absent:
            session.console.warn(
                f"{len(absent)} of {len(spoken)} validation clips are not here, the page lacks their sound: run slice "
                "again, or give --hub where the clips were sent"
            )
        keys, request = reads.report(workspace, config, lists), [config.model_dump(mode="json"), absent]
        result = settled(workspace, "report", request, keys, lambda: _write_report(session, config))
        argo.offer_file("report.html", lambda: _page(session, config))
        return result


def _page(session: Session, config: Config) -> Path:
    key = layout.report_key(config.svc_jobs.voice)
    session.workspace.bring([key])
    return session.root / key


def _write_report(session: Session, config: Config) -> StageResult:
    report, already = write_page(session.root, config)
    page = f"{session.workspace.name}/{report.page.key}"
    message = f"{'already done' if already else 'written'}: {page}"
    return StageResult("report", int(not already), int(already), message, {"page": page, **report.figures})
