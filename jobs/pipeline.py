"""run: every stage in order, in one process; each skips what is done."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

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


class Cache(Protocol):
    """What may stand beside a run (`jobs.hub.cache`): asked before each stage, told after it."""

    def before(self, stage: str) -> None: ...

    def after(self, stage: str) -> None: ...

    def finish(self) -> None: ...


class NoCache:
    """A run without the Hub."""

    def before(self, stage: str) -> None:
        pass

    def after(self, stage: str) -> None:
        pass

    def finish(self) -> None:
        pass


def run_all(session: Session, request: RunRequest, cache: Cache) -> list[StageResult]:
    _check(request)
    results = []
    for name, stage in _stages(session, request):
        cache.before(name)
        for result in stage():
            session.console.stage(result)
            results.append(result)
        cache.after(name)
    cache.finish()
    return results


def _check(request: RunRequest) -> None:
    """What later stages would refuse, before hours of work. Raises ConfigError or BadInput."""
    from jobs.stages.convert import check_source
    from jobs.stages.train import parse_base
    from svc_core.device import resolve_device

    resolve_device(request.device)
    parse_base(request.base)
    for source in request.convert:
        check_source(source)


def _stages(session: Session, request: RunRequest) -> list[tuple[str, Callable[[], Iterable[StageResult]]]]:
    """By name, in their order."""
    from jobs.stages.convert import convert_in_run
    from jobs.stages.evaluate import evaluate
    from jobs.stages.features import extract_features
    from jobs.stages.filelists import make_filelists
    from jobs.stages.prepare import prepare
    from jobs.stages.publish import publish
    from jobs.stages.report import write_report
    from jobs.stages.slice import slice_recordings
    from jobs.stages.train import train

    return [
        ("prepare", lambda: [prepare(session, request.speakers, request.voice, request.changes)]),
        ("slice", lambda: [slice_recordings(session, 0, 1)]),
        ("filelists", lambda: [make_filelists(session)]),
        ("features", lambda: [extract_features(session, 0, 1, request.device)]),
        ("train", lambda: [train(session, request.device, request.base)]),
        ("evaluate", lambda: [evaluate(session, request.device)]),
        ("publish", lambda: [publish(session)]),
        ("convert", lambda: convert_in_run(session, request.convert, request.device)),
        ("report", lambda: [write_report(session)]),
    ]
