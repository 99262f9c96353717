"""run: every stage in order, in one process; each skips what is done."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.console import StageResult
from jobs.session import Session


@dataclass(frozen=True)
class RunRequest:
    speakers: list[str]
    voice: str | None
    changes: dict[str, Any]
    base: str | None
    convert: list[Path]
    device: str


def run_all(session: Session, request: RunRequest) -> list[StageResult]:
    results = []
    for result in _stages(session, request):
        session.console.stage(result)
        results.append(result)
    return results


def _stages(session: Session, request: RunRequest) -> Iterator[StageResult]:
    from jobs.stages.convert import convert_in_run
    from jobs.stages.evaluate import evaluate
    from jobs.stages.features import extract_features
    from jobs.stages.filelists import make_filelists
    from jobs.stages.prepare import prepare
    from jobs.stages.publish import publish
    from jobs.stages.report import write_report
    from jobs.stages.slice import slice_recordings
    from jobs.stages.train import train

    yield prepare(session, request.speakers, request.voice, request.changes)
    yield slice_recordings(session, 0, 1)
    yield make_filelists(session)
    yield extract_features(session, 0, 1, request.device)
    yield train(session, request.device, request.base)
    yield evaluate(session, request.device)
    yield publish(session)
    yield from convert_in_run(session, request.convert, request.device)
    yield write_report(session)
