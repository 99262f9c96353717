"""Where a command's data lies, and how it reaches the folder that the doors of svc_core read and write.

A folder workspace is that folder. A bucket workspace has a scratch folder with the same keys: what a stage needs is
brought in, what it made is taken out, data first and records last, so that a record never names what is not there.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Protocol

from jobs.console import StageResult
from svc_core.errors import Conflict
from svc_core.place import Folder, Place

_LOCK_TRIES, _LOCK_PAUSE_S = 20, 0.5


class Workspace(Place, Protocol):
    def holding(self, stage: str, shard: str = "") -> AbstractContextManager[None]:
        """The right to do this work while open, after another job that does it.

        Training does not wait: raises Conflict where another job trains.
        """

    def check_alone(self) -> None:
        """Raises Conflict where other jobs are at work: for a stage that would change the plan under them."""

    def standing(self, stage: str, request: Any, reads: Sequence[str]) -> StageResult | None:
        """What the stage gave the last time, if the request and all that it read and wrote are unchanged.

        None where the stage's own door is to say so.
        """

    def settle(self, stage: str, request: Any, reads: Sequence[str], result: StageResult) -> None:
        """Stores all that changed in `root`, and then that the stage is done, for `standing`."""


def settled(
    workspace: Workspace, stage: str, request: Any, reads: Sequence[str], door: Callable[[], StageResult]
) -> StageResult:
    """A stage that is one piece of work: what it gave the last time, or its door opened."""
    if standing := workspace.standing(stage, request, reads):
        return standing
    workspace.bring(reads)
    result = door()
    workspace.settle(stage, request, reads, result)
    return result


class FolderWorkspace(Folder):
    """Everything is in place, and the doors themselves see what is done."""

    @contextmanager
    def holding(self, stage: str, shard: str = "") -> Iterator[None]:
        if stage != "train":
            yield
            return
        # The folder itself is locked: no file is left behind, and the lock ends with its process.
        folder = os.open(self.root, os.O_RDONLY)
        try:
            with suppress(OSError):  # of a file system without locks
                self._lock(folder)
            yield
        finally:
            os.close(folder)

    def _lock(self, folder: int) -> None:
        # Loader processes of a training that was killed hold its lock until they notice, five seconds at most.
        for _ in range(_LOCK_TRIES):
            try:
                return fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_LOCK_PAUSE_S)
        raise Conflict(f"another job trains in {self.name}: wait for it or end it, then run again")

    def check_alone(self) -> None:
        pass

    def standing(self, stage: str, request: Any, reads: Sequence[str]) -> StageResult | None:
        return None

    def settle(self, stage: str, request: Any, reads: Sequence[str], result: StageResult) -> None:
        pass
