"""A store in a dictionary: for tests, and the shortest statement of what a store does."""

import io
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from svc_core.errors import BadInput
from svc_core.storage.store import Condition, Facts, Reading, Stored, Version, check_condition, check_key

_PIECE_BYTES = 1 << 20


class _Object(NamedTuple):
    data: bytes
    sha256: str
    version: Version
    modified_s: float


class MemoryStore:
    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self._objects: dict[str, _Object] = {}
        self._lock = threading.Lock()
        self._tags = itertools.count()

    def list(self, prefix: str = "") -> Iterator[Stored]:
        with self._lock:
            found = [(key, item) for key, item in self._objects.items() if key.startswith(prefix)]
        return (Stored(key, item.version, item.modified_s) for key, item in found)

    def head(self, key: str) -> Facts | None:
        item = self._objects.get(key)
        return Facts(item.version, item.sha256) if item else None

    def read(self, key: str) -> Reading:
        item = self._get(key)
        pieces = (item.data[at : at + _PIECE_BYTES] for at in range(0, len(item.data), _PIECE_BYTES))
        return Reading(item.version, item.sha256, pieces)

    def open(self, key: str) -> BinaryIO:
        return io.BytesIO(self._get(key).data)

    def write(self, key: str, source: bytes | Path, sha256: str, only_if: Condition = None) -> Version:
        data = source if isinstance(source, bytes) else source.read_bytes()
        with self._lock:
            there = self._objects.get(check_key(key))
            check_condition(f"{self.name}/{key}", there.version if there else None, only_if)
            version = Version(len(data), f"etag:{next(self._tags)}")
            self._objects[key] = _Object(data, sha256, version, time.time())
        return version

    def delete(self, keys: Sequence[str]) -> None:
        with self._lock:
            for key in keys:
                self._objects.pop(key, None)

    def _get(self, key: str) -> _Object:
        try:
            return self._objects[key]
        except KeyError:
            raise BadInput(f"{self.name}/{key} does not exist: run the stage that writes it") from None
