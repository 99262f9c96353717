"""report: whatever exists -> one HTML page."""

from jobs.console import StageResult
from jobs.session import Session
from svc_core.report.page import write_report as write_page


def write_report(session: Session) -> StageResult:
    report, already = write_page(session.root, session.config())
    path = session.root / report.page.key
    message = f"{'already done' if already else 'written'}: {path}"
    return StageResult("report", int(not already), int(already), message, {"page": str(path), **report.figures})
