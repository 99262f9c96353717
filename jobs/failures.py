"""The last frame: an error becomes one sentence and an exit code."""

import json
import sys
import traceback
from typing import Any

from jobs import argo
from svc_core.errors import Preempted, SvcError, from_os_error


class Answered(SvcError):
    """A failure of a command that has more to answer than a sentence: with --json, `facts` are part of the answer."""

    def __init__(self, sentence: str, exit_code: int, facts: dict[str, Any]) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code
        self.facts = facts


def report_failure(error: Exception, arguments: list[str]) -> int:
    """Says what went wrong, once, and returns the exit code.

    People read it on stderr. With --json it is the answer on stdout, and stderr stays JSON lines: a pod's log is both.
    """
    decided = decide(error)
    json_mode = "--json" in arguments
    if type(decided) is SvcError or "-v" in arguments or "--verbose" in arguments:
        _show_traceback(error, json_mode)
    kind = "stopped" if isinstance(decided, Preempted) else "error"
    argo.write_failure(str(decided))
    if json_mode:
        answer = {"status": kind, "exit_code": decided.exit_code, "error": str(decided)}
        facts = decided.facts if isinstance(decided, Answered) else {}
        print(json.dumps(answer | facts, ensure_ascii=False, default=str), flush=True)  # noqa: T201
    else:
        print(f"{kind}: {decided}", file=sys.stderr, flush=True)  # noqa: T201
    return decided.exit_code


def decide(error: Exception) -> SvcError:
    if isinstance(error, SvcError):
        return error
    if isinstance(error, OSError):
        return from_os_error(error)
    return SvcError(f"{type(error).__name__}: {error}; this is a bug of svc-jobs, please report it with the text above")


def _show_traceback(error: Exception, json_mode: bool) -> None:
    text = "".join(traceback.format_exception(error)).rstrip()
    if json_mode:
        text = json.dumps({"event": "traceback", "text": text}, ensure_ascii=False)
    print(text, file=sys.stderr, flush=True)  # noqa: T201
