"""What every store can do, in the words of object storage; a folder and a dictionary can do it too.

A write is whole or absent. A read is verified against the sha256 that was recorded at the write. Nothing here waits
for ever: a store retries what can pass, within its budget, and then raises Transient with the cause.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, TypeAlias

from svc_core.errors import BadInput, ConfigError, Conflict

KEY_BYTES = 1024


class Version(NamedTuple):
    """What is cheaply known of an object: equal versions are taken for equal contents, other ones for unknown."""

    size: int
    """bytes"""
    stamp: str
    """`mtime:<ns>` in a folder, `etag:<ETag>` in a bucket; an ETag is never taken for an md5"""


class Stored(NamedTuple):
    """One object as a listing shows it."""

    key: str
    version: Version
    modified_s: float
    """by the store's clock, seconds since 1970"""


class Facts(NamedTuple):
    """One object as a question for it alone shows it; `sha256` is None where its writer recorded none."""

    version: Version
    sha256: str | None


class Absent(Enum):
    """For `only_if`: the key must not exist yet."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT
Condition: TypeAlias = Version | Absent | None
"""What must hold for a write to happen: this very version, nothing at all there, or anything."""


@dataclass(frozen=True)
class Reading:
    """An object being read: its version, the recorded sha256 if there is one, and the bytes in pieces.

    The pieces are bytes or hold bytes as such objects do that `b"".join` takes.
    """

    version: Version
    sha256: str | None
    pieces: Iterator[bytes]


class Store(Protocol):
    """Objects by key. Safe to use from many threads.

    All methods raise Transient (75) where the store cannot be reached within the budget, and ConfigError (78) where it
    refuses: no such bucket, bad credentials, not allowed.
    """

    @property
    def name(self) -> str:
        """Folder or URL, for people; without credentials."""

    def list(self, prefix: str = "") -> Iterator[Stored]:
        """Objects whose keys start with `prefix`, page by page, in no promised order; unfinished writes never show.

        Objects whose keys break `check_key` show too: `workspace verify` names them.
        """

    def head(self, key: str) -> Facts | None:
        """None where the object is absent."""

    def read(self, key: str) -> Reading:
        """Raises BadInput where the object is absent."""

    def open(self, key: str) -> BinaryIO:
        """A seekable reader that fetches only what is read: for headers. Raises BadInput where the object is absent."""

    def write(self, key: str, source: bytes | Path, sha256: str, only_if: Condition = None) -> Version:
        """Stores the source whole, with its sha256; large files in parts. Raises Conflict where `only_if` fails."""

    def delete(self, keys: Sequence[str]) -> None:
        """An absent key is no error."""


def key_problem(key: str) -> str | None:
    """Why `key` cannot be stored everywhere and brought back, or None if it can."""
    parts = key.split("/")
    if not key or "" in parts:
        return "is empty, starts or ends with '/', or holds '//'"
    if any(part in (".", "..") for part in parts) or "\\" in key:
        return "holds '.', '..' or a backslash as a step of its path"
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in key):
        return "holds a control character, or bytes that are not UTF-8"
    if len(key.encode("utf-8")) > KEY_BYTES:
        return f"is longer than {KEY_BYTES} bytes"
    return None


def check_key(key: str) -> str:
    """`key` itself. Raises BadInput with the reason where it cannot be a key."""
    if problem := key_problem(key):
        raise BadInput(f"key {key!r} {problem}: rename the file")
    return key


def check_condition(place: str, there: Version | None, only_if: Condition) -> None:
    """For stores that compare by themselves. Raises Conflict where the object at `place` is not as `only_if` says."""
    if (only_if is ABSENT and there is not None) or (isinstance(only_if, Version) and there != only_if):
        raise conflict(place)


def conflict(place: str) -> Conflict:
    return Conflict(f"{place} was written by somebody else meanwhile: run the same command again")


class BucketUrl(NamedTuple):
    """`s3://bucket/prefix`; the prefix is empty for a whole bucket, without slashes at its ends."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def parse_url(url: str) -> BucketUrl:
    """Raises ConfigError for anything but `s3://bucket[/prefix]`."""
    match = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", url)
    prefix = (match[2] or "").strip("/") if match else ""
    if not match or (prefix and key_problem(prefix)):
        raise ConfigError(
            f"{url!r} is no bucket: give s3://bucket/prefix, the bucket's name 3 to 63 lower-case letters, digits, '.' "
            "and '-', and no '//', '..' or credentials in it"
        )
    return BucketUrl(match[1], prefix)
