"""The mover: many files between a store and a disk at once, each verified, in bounded memory.

Small files are one request each, many of them in flight. A large file goes alone, because its own parts fill the line.
"""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple, TypeAlias

from svc_core import files
from svc_core.errors import Damaged, SvcError, Transient, changed_meanwhile, from_os_error
from svc_core.storage.crew import WORKERS, in_threads
from svc_core.storage.store import Reading, Store, Version

OnBytes: TypeAlias = Callable[[int], None] | None
"""Told how many more bytes have moved, in the caller's thread; negative where they have to move again."""
LARGE_BYTES = 8 << 20
_READS = 4
_PAUSE_S = 0.2


class Item(NamedTuple):
    """One file to move. `sha256` is its expected content, where the caller knows it."""

    key: str
    path: Path
    sha256: str | None = None


class Moved(NamedTuple):
    """One file that has moved: the object's version, and the sha256 of what was moved."""

    key: str
    version: Version
    sha256: str


class _Again(Exception):
    """A read that gave something wrong; another may not. Carries the error for the case that none does."""

    def __init__(self, reason: SvcError) -> None:
        self.reason = reason


@dataclass
class _Mover:
    store: Store
    events: "SimpleQueue[int]" = field(default_factory=SimpleQueue)
    large: threading.Lock = field(default_factory=threading.Lock)

    def fetch(self, item: Item) -> Moved:
        for attempt in range(1, _READS + 1):
            try:
                return self._fetch_once(item)
            except _Again as again:
                if attempt == _READS:
                    raise again.reason from None
                time.sleep(_PAUSE_S * attempt)
            except OSError as error:
                raise from_os_error(error, item.path) from None
        raise AssertionError("the last attempt returns or raises")

    def _fetch_once(self, item: Item) -> Moved:
        with files.replacing(item.path) as temp:
            reading = self.store.read(item.key)
            if reading.version.size > LARGE_BYTES:
                with self.large:
                    sha256 = self._save(reading, temp, item)
            else:
                sha256 = self._save(reading, temp, item)
        return Moved(item.key, reading.version, sha256)

    def _save(self, reading: Reading, temp: Path, item: Item) -> str:
        digest, size = hashlib.sha256(), 0
        try:
            with open(temp, "wb", buffering=0) as target:
                for piece in reading.pieces:
                    digest.update(piece)
                    _write_all(target.fileno(), piece)
                    size += len(piece)
                    self.events.put(len(piece))
            self._check(reading, item, size, digest.hexdigest())
        except BaseException:
            self.events.put(-size)
            raise
        return digest.hexdigest()

    def _check(self, reading: Reading, item: Item, size: int, found: str) -> None:
        place = f"{self.store.name}/{item.key}"
        if size != reading.version.size:
            wanted = reading.version.size
            raise _Again(Transient(f"{place}: {size} bytes came instead of {wanted}: run the same command again"))
        expected = item.sha256 or reading.sha256
        if expected is None or found == expected:
            return
        reason = Damaged(f"{place} has sha256 {found} instead of {expected}: run the stage that writes it again")
        # What was recorded with it is what it holds: it is another object, and will stay one.
        raise reason if found == reading.sha256 else _Again(reason)

    def send(self, item: Item) -> Moved:
        try:
            before = item.path.stat()
            if before.st_size > LARGE_BYTES:
                with self.large:
                    moved = self._send_large(item)
            else:
                moved = self._send_small(item)
            after = item.path.stat()
        except OSError as error:
            raise from_os_error(error, item.path) from None
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise changed_meanwhile(item.path)
        self.events.put(before.st_size)
        return moved

    def _send_small(self, item: Item) -> Moved:
        data = item.path.read_bytes()
        found = _announced(item, files.sha256_bytes(data))
        return Moved(item.key, self.store.write(item.key, data, found), found)

    def _send_large(self, item: Item) -> Moved:
        found = _announced(item, files.sha256_file(item.path))
        return Moved(item.key, self.store.write(item.key, item.path, found), found)


def fetch(store: Store, items: Iterable[Item], *, workers: int = WORKERS, on_bytes: OnBytes = None) -> Iterator[Moved]:
    """Brings objects to their paths, whole or not at all; yields each as it arrives, in no promised order.

    Raises Damaged where an object's bytes are not those expected or recorded, also when read again; BadInput where it
    is absent; else what the store raises. The first error stops the rest.
    """
    mover = _Mover(store)
    yield from in_threads(mover.fetch, items, workers, mover.events, on_bytes)


def send(store: Store, items: Iterable[Item], *, workers: int = WORKERS, on_bytes: OnBytes = None) -> Iterator[Moved]:
    """Stores files under their keys, each with its sha256; yields each as it is stored, in no promised order.

    Raises Damaged where a file is not what was expected, and BadInput where it changes meanwhile. The first error stops
    the rest.
    """
    mover = _Mover(store)
    yield from in_threads(mover.send, items, workers, mover.events, on_bytes)


def _announced(item: Item, found: str) -> str:
    if item.sha256 not in (None, found):
        raise Damaged(f"{item.path} has sha256 {found} instead of {item.sha256}: run the stage that writes it again")
    return found


def _write_all(handle: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(handle, view) :]
