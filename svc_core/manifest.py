"""What was made, from what, with which settings: "done" is a record, never the existence of a file.

A record is a pydantic model written last, after everything that it names. `FileRecord` is the part that every record
shares: one file of the workspace as it was when its content was known.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from svc_core import files


class Record(BaseModel):
    """Base of everything stored as JSON in the workspace: immutable, and strict about what it holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The record at `path`, or None where it is absent, torn or of another shape: then the work is not done."""
        try:
            return cls.parse(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """As `read`, of a file's content."""
        try:
            return cls.model_validate_json(data)
        except ValidationError:
            return None

    def write(self, path: Path) -> None:
        files.write_bytes(path, self.to_bytes(), durable=True)

    def to_bytes(self) -> bytes:
        return files.json_bytes(self.model_dump(mode="json"))


class FileRecord(Record):
    """One file: its key in the workspace, content hash, size in bytes, and a cheap stamp of its version."""

    key: str
    sha256: str
    size: int
    stamp: str

    @classmethod
    def of(cls, root: Path, key: str, sha256: str | None = None) -> Self:
        """Records the file as it is now; pass `sha256` where the content was hashed while it was written."""
        path = root / key
        stat = path.stat()
        return cls(key=key, sha256=sha256 or files.sha256_file(path), size=stat.st_size, stamp=stamp_of(stat))

    def check(self, root: Path) -> Self | None:
        """The record if the file still holds this content (with a fresh stamp), None if it does not.

        Size and stamp equal: taken as unchanged. Stamp different (a copied workspace): the content decides.
        """
        path = root / self.key
        try:
            stat = path.stat()
            if stat.st_size != self.size:
                return None
            if stamp_of(stat) == self.stamp:
                return self
            if files.sha256_file(path) != self.sha256:
                return None
        except OSError:  # absent, or not to be read: then it is not known to hold this content
            return None
        return self.model_copy(update={"stamp": stamp_of(stat)})


def stamp_of(stat: os.stat_result) -> str:
    return f"mtime:{stat.st_mtime_ns}"


_FILE_FIELDS = frozenset(FileRecord.model_fields)


def file_records(value: Any) -> Iterator[FileRecord]:
    """Every FileRecord inside a JSON value: the objects with exactly its fields and kinds of values."""
    for item in _objects(value):
        if item.keys() == _FILE_FIELDS and _stamped(item) is not None and item["sha256"] is not None:
            yield FileRecord.model_construct(**item)


def restamped(value: Any, stamps: Callable[[FileRecord], str | None]) -> Any:
    """The same JSON value, with the stamps that `stamps` gives; None leaves a stamp as it is.

    Asked for every object that has the four fields of a FileRecord, also among others: a recording of the slice plan
    is stamped too, and where its content was not hashed yet, the record handed over has an empty sha256.
    """
    if isinstance(value, list):
        return [restamped(item, stamps) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {name: restamped(item, stamps) for name, item in value.items()}
    record = _stamped(value)
    stamp = stamps(record) if record is not None else None
    return inner if stamp is None else {**inner, "stamp": stamp}


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from _objects(item)


def _stamped(item: dict[str, Any]) -> FileRecord | None:
    key, sha256, size, stamp = (item.get(name) for name in ("key", "sha256", "size", "stamp"))
    if not item.keys() >= _FILE_FIELDS or isinstance(size, bool) or not isinstance(size, int):
        return None
    if not (isinstance(key, str) and isinstance(stamp, str) and isinstance(sha256, str | None)):
        return None
    return FileRecord.model_construct(key=key, sha256=sha256 or "", size=size, stamp=stamp)


def fingerprint(*parts: Any) -> str:
    """32 hex digits that are equal exactly when the settings are equal.

    Takes JSON values, pydantic models and tuples of them. Keys are sorted and floats keep their shortest form, so the
    result does not depend on the machine.
    """

    def plain(value: Any) -> Any:
        return value.model_dump(mode="json") if isinstance(value, BaseModel) else value

    text = json.dumps([plain(part) for part in parts], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]
