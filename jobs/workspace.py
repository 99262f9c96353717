"""Where a command's data lies, and how it reaches the folder that the doors of svc_core read and write.

A folder workspace is that folder. A bucket workspace has a scratch folder with the same keys: what a stage needs is
brought in, what it made is taken out, data first and records last, so that a record never names what is not there.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from jobs.console import StageResult
from svc_core import files, layout
from svc_core.manifest import FileRecord
from svc_core.raw import RawFiles, RawFolder


class Workspace(Protocol):
    @property
    def root(self) -> Path:
        """The folder that doors work on."""

    @property
    def name(self) -> str:
        """Folder or URL, for sentences."""

    @property
    def raw(self) -> RawFiles: ...

    def keys(self, folder: str) -> list[str]:
        """Everything below `folder/`, sorted."""

    def bring(self, keys: Iterable[str]) -> None:
        """Makes the files of `root` what the workspace holds under these keys; absent keys stay absent.

        Raises BadInput for a damaged object, Transient where the store cannot be reached, ConfigError where the
        scratch folder is too small.
        """

    def check(self, record: FileRecord) -> FileRecord | None:
        """As FileRecord.check, also for a file that was not brought in."""

    def take(self, keys: Sequence[str]) -> None:
        """Stores these files of `root`, data before records. Raises Conflict where another job replaced one."""

    def drop(self, keys: Sequence[str]) -> None:
        """Removes files, here and where they are stored; absent ones are no error."""

    def free(self, keys: Iterable[str]) -> None:
        """Says that these files are not needed in `root` any more."""

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


class FolderWorkspace:
    """Everything is in place, and the doors themselves see what is done."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = str(root)
        self.raw = RawFolder(root)

    def keys(self, folder: str) -> list[str]:
        return sorted(files.finished(self.root, folder))

    def bring(self, keys: Iterable[str]) -> None:
        pass

    def check(self, record: FileRecord) -> FileRecord | None:
        return record.check(self.root)

    def take(self, keys: Sequence[str]) -> None:
        pass

    def drop(self, keys: Sequence[str]) -> None:
        for key in keys:
            layout.local(self.root, key).unlink(missing_ok=True)

    def free(self, keys: Iterable[str]) -> None:
        pass

    @contextmanager
    def holding(self, stage: str, shard: str = "") -> Iterator[None]:
        yield

    def check_alone(self) -> None:
        pass

    def standing(self, stage: str, request: Any, reads: Sequence[str]) -> StageResult | None:
        return None

    def settle(self, stage: str, request: Any, reads: Sequence[str], result: StageResult) -> None:
        pass
