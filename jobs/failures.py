"""The last frame: an error becomes one sentence and an exit code."""

import json
import sys
import traceback

from jobs import argo
from svc_core.errors import Preempted, SvcError, from_os_error


def report_failure(error: Exception, arguments: list[str]) -> int:
    """Prints what went wrong, on stderr for people, on stdout for --json, and returns the exit code."""
    decided = decide(error)
    if type(decided) is SvcError or "-v" in arguments or "--verbose" in arguments:
        traceback.print_exception(error, file=sys.stderr)
    kind = "stopped" if isinstance(decided, Preempted) else "error"
    print(f"{kind}: {decided}", file=sys.stderr, flush=True)  # noqa: T201
    argo.write_failure(str(decided))
    if "--json" in arguments:
        answer = {"status": kind, "exit_code": decided.exit_code, "error": str(decided)}
        print(json.dumps(answer, ensure_ascii=False), flush=True)  # noqa: T201
    return decided.exit_code


def decide(error: Exception) -> SvcError:
    if isinstance(error, SvcError):
        return error
    if isinstance(error, OSError):
        return from_os_error(error)
    return SvcError(f"{type(error).__name__}: {error}; this is a bug of svc-jobs, please report it with the text above")
