"""A workspace as those who move its files see it: a folder, or what brings files into one and takes them out again."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from svc_core import files
from svc_core.errors import BadInput
from svc_core.local import LocalFiles
from svc_core.manifest import FileRecord
from svc_core.raw import RawFiles, RawFolder


class Place(Protocol):
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

    def read(self, key: str) -> bytes:
        """The content of a file that was brought in. Raises FileNotFoundError for an absent one."""

    def write(self, key: str, data: bytes, *, durable: bool = False) -> FileRecord:
        """Gives a file this content, for `take` to store. `durable` as in `files.replacing`."""

    def take(self, keys: Sequence[str]) -> None:
        """Stores these files of `root`, data before records. Raises Conflict where another job replaced one."""

    def drop(self, keys: Sequence[str]) -> None:
        """Removes files, here and where they are stored; absent ones are no error."""

    def free(self, keys: Iterable[str]) -> None:
        """Says that these files are not needed in `root` any more."""


class Folder(LocalFiles):
    """A workspace in a local folder: everything is in place."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
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

    def free(self, keys: Iterable[str]) -> None:
        pass


def as_place(given: Path | Place) -> Place:
    """Raises BadInput for a path that is no folder."""
    if not isinstance(given, Path):
        return given
    if not given.is_dir():
        raise BadInput(f"{given} is no folder: create it, or give another workspace")
    return Folder(given)
