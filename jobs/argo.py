"""What Argo reads of a stage while it runs and when it has ended: a progress file, and one file per output parameter.

Both are asked for by the environment, so that a command is the same command everywhere.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from svc_core import files

PROGRESS_FILE = "ARGO_PROGRESS_FILE"
"""Set by Argo's executor: `done/total` in whole numbers, read every few seconds."""
OUTPUTS_FOLDER = "SVC_OUTPUTS"
"""Set by our workflow templates: `message` and each figure of a stage's result become a file there."""
FAILURE_FILE = "SVC_FAILURE_FILE"
"""Set by our workflow templates to Kubernetes' termination log: what stands there is the failed node's message."""
MEMORY_LIMIT = "SVC_MEMORY_LIMIT"
"""Set by our workflow templates: the pod's memory limit as Kubernetes writes it."""
_STEPS = 1000
_FAILURE_BYTES = 4000
"""Kubernetes keeps 4 KiB of a termination log."""


def report_progress(share: float) -> None:
    """Tells Argo how much of the stage is done, from 0 to 1."""
    path = os.environ.get(PROGRESS_FILE)
    if path:
        done = round(_STEPS * min(max(share, 0.0), 1.0))
        files.write_text(Path(path), f"{done}/{_STEPS}\n")


def write_outputs(message: str, facts: dict[str, Any]) -> None:
    """Writes the result's figures; lists and tables are left out, since a parameter is a short text."""
    folder = os.environ.get(OUTPUTS_FOLDER)
    if not folder:
        return
    for name, value in {"message": message, **facts}.items():
        if isinstance(value, str | int | float):
            files.write_text(Path(folder) / name, str(value))


def offer_file(name: str, find: Callable[[], Path]) -> None:
    """Puts a copy of a file where Argo takes up what its UI opens; `find` is asked only where Argo is there."""
    folder = os.environ.get(OUTPUTS_FOLDER)
    if folder:
        files.write_bytes(Path(folder) / name, find().read_bytes())


def expect_to_be_killed() -> None:
    """Leaves the memory limit where Kubernetes looks after a kill that no process can answer.

    What stands there is the attempt's message, so that Argo and people see how much it had; any end of our own writes
    over it.
    """
    limit = os.environ.get(MEMORY_LIMIT)
    if limit:
        write_failure(f"ended from outside, with a memory limit of {limit}")


def write_failure(sentence: str) -> None:
    """Leaves the sentence where Kubernetes looks for it. A log that cannot be written changes nothing."""
    path = os.environ.get(FAILURE_FILE)
    if path:
        with suppress(OSError):  # written in place: the file is a mount and cannot be replaced
            Path(path).write_bytes(sentence.encode("utf-8")[:_FAILURE_BYTES])
