"""`raw/` of a workspace in a bucket: headers are read where they lie."""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

from svc_core import layout
from svc_core.audio import io as audio
from svc_core.audio.sound import AudioHeader
from svc_core.errors import SvcError
from svc_core.raw import RawFile, beside, is_junk
from svc_core.storage.store import Store

Answer = TypeVar("Answer")


class RawBucket:
    def __init__(self, store: Store) -> None:
        self._store = store
        self.name = store.name
        self._loose: list[str] = []
        """Keys in `raw/` itself, as `speakers` last found them: no listing is asked for only to say what is amiss."""

    def speakers(self) -> list[str]:
        prefix = f"{layout.RAW}/"
        names, self._loose = set(), []
        for stored in self._store.list(prefix):
            name, slash, _ = stored.key.removeprefix(prefix).partition("/")
            if slash:
                names.add(name)
            elif name:
                self._loose.append(stored.key)
        return sorted(name for name in names if not is_junk(name))

    def overlooked(self, speakers: Sequence[str]) -> list[str]:
        return beside(sorted(self._loose))

    def files(self, speaker: str) -> Iterator[RawFile]:
        prefix = f"{layout.raw_dir(speaker)}/"
        found = [stored for stored in self._store.list(prefix) if not _in_junk(stored.key.removeprefix(prefix))]
        for stored in sorted(found):
            yield RawFile(stored.key, *stored.version)

    def probe(self, key: str) -> AudioHeader:
        with self._store.open(key) as handle:
            guarded = _Guarded(handle)
            try:
                return audio.probe(Path(key), io.BufferedReader(guarded))
            finally:
                guarded.raise_failure()

    def sha256(self, key: str) -> str:
        facts = self._store.head(key)
        if facts and facts.sha256:
            return facts.sha256
        digest = hashlib.sha256()
        for piece in self._store.read(key).pieces:
            digest.update(piece)
        return digest.hexdigest()


class _Guarded(io.RawIOBase):
    """Remembers what failed: decoders take any error of a read for the end of the file, and call the file damaged."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self._failure: SvcError | None = None

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        data = self._guard(lambda: self._handle.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._guard(lambda: self._handle.seek(offset, whence))

    def tell(self) -> int:
        return self._handle.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _guard(self, call: Callable[[], Answer]) -> Answer:
        try:
            return call()
        except SvcError as error:
            self._failure = error
            raise OSError(str(error)) from error


def _in_junk(rest: str) -> bool:
    return any(is_junk(folder) for folder in rest.split("/")[:-1])
