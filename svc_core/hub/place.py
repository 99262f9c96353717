"""The workspace as the Hub's helpers see it: a folder, or whatever brings files into one and takes them out again."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from svc_core import files, layout
from svc_core.errors import BadInput, from_os_error
from svc_core.manifest import FileRecord, Record
from svc_core.raw import RawFiles, RawFolder


class Place(Protocol):
    """What of a command's workspace is needed here; `jobs.workspace.Workspace` says what each does."""

    @property
    def root(self) -> Path: ...

    @property
    def name(self) -> str: ...

    @property
    def raw(self) -> RawFiles: ...

    def keys(self, folder: str) -> list[str]: ...

    def bring(self, keys: Iterable[str]) -> None: ...

    def check(self, record: FileRecord) -> FileRecord | None: ...

    def take(self, keys: Sequence[str]) -> None: ...

    def drop(self, keys: Sequence[str]) -> None: ...

    def free(self, keys: Iterable[str]) -> None: ...


class Folder:
    """A workspace in a local folder: everything is in place."""

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


def as_place(given: Path | Place) -> Place:
    """Raises BadInput for a path that is no folder."""
    if not isinstance(given, Path):
        return given
    if not given.is_dir():
        raise BadInput(f"{given} is no folder: create it, or give another workspace")
    return Folder(given)


class HubRecord(Record):
    """The commits that this workspace was last filled from and sent to, and in which repository."""

    repo: str
    pulled: str | None = None
    pushed: str | None = None


def note(place: Place, kind: str, name: str, fresh: HubRecord) -> None:
    """Writes down the commit of a push or a pull; what the record knew of the other way stays."""
    key = layout.hub_record(kind, name)
    place.bring([key])
    before = HubRecord.read(place.root / key)
    if before is not None and before.repo == fresh.repo:
        fresh = fresh.model_copy(
            update={"pulled": fresh.pulled or before.pulled, "pushed": fresh.pushed or before.pushed}
        )
    if fresh != before:
        try:
            fresh.write(place.root / key)
        except OSError as error:
            raise from_os_error(error, place.root / key) from error
        place.take([key])
