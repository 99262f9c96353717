"""A local folder as a store: what `workspace sync` and the others see of a workspace on a disk."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from svc_core import files, layout, manifest
from svc_core.errors import from_os_error
from svc_core.storage.store import Condition, Facts, Reading, Stored, Version, check_condition, check_key

_PIECE_BYTES = 1 << 20
_LOCK = f"{files.TEMP_PREFIX}lock"


class FolderStore:
    """The files below `root`; a key is a relative path. Records no sha256, so it can never say that one differs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = str(root)

    def list(self, prefix: str = "") -> Iterator[Stored]:
        folder = self.root / prefix.rpartition("/")[0]
        for place, folders, names in os.walk(folder, onerror=_raise_unless_absent):
            folders[:] = sorted(name for name in folders if not name.startswith(files.TEMP_PREFIX))
            for name in sorted(names):
                path = Path(place) / name
                key = path.relative_to(self.root).as_posix()
                if key.startswith(prefix) and not name.startswith(files.TEMP_PREFIX):
                    yield from self._stored(path, key)

    def head(self, key: str) -> Facts | None:
        try:
            return Facts(version_of((self._path(key)).stat()), None)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read(self, key: str) -> Reading:
        handle = self.open(key)
        return Reading(version_of(os.fstat(handle.fileno())), None, _pieces(handle))

    def open(self, key: str) -> BinaryIO:
        try:
            return self._path(key).open("rb")
        except OSError as error:
            raise from_os_error(error, self._path(key)) from None

    def write(self, key: str, source: bytes | Path, sha256: str, only_if: Condition = None) -> Version:
        path = self._path(key)
        try:
            with self._locked(only_if), files.replacing(path) as temp:
                if only_if is not None:
                    there = self.head(key)
                    check_condition(f"{self.name}/{key}", there.version if there else None, only_if)
                with temp.open("wb") as target:
                    for piece in [source] if isinstance(source, bytes) else _pieces(source.open("rb")):
                        target.write(piece)
                return version_of(temp.stat())
        except OSError as error:
            raise from_os_error(error, path) from error

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            try:
                self._path(key).unlink(missing_ok=True)
            except OSError as error:
                raise from_os_error(error, self._path(key)) from error

    def _path(self, key: str) -> Path:
        return layout.local(self.root, check_key(key))

    def _stored(self, path: Path, key: str) -> Iterator[Stored]:
        try:
            stat = path.stat()
        except FileNotFoundError:  # gone since it was listed, or a link to nowhere
            return
        yield Stored(key, version_of(stat), stat.st_mtime)

    @contextmanager
    def _locked(self, only_if: Condition) -> Iterator[None]:
        """A folder has no conditional writes: those that ask for one take turns."""
        if only_if is None:
            yield
            return
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / _LOCK).open("wb") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def version_of(stat: os.stat_result) -> Version:
    return Version(stat.st_size, manifest.stamp_of(stat))


def _pieces(handle: BinaryIO) -> Iterator[bytes]:
    with handle:
        while piece := handle.read(_PIECE_BYTES):
            yield piece


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise from_os_error(error)
