"""A bucket as a store: obstore moves the bytes, botocore lists and deletes.

Listing and deleting are botocore's because obstore changes keys that hold `//` or end with '/'. Importing this module
imports both libraries: `opening.open_store` does it when a bucket is asked for.
"""

import io
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import obstore

from svc_core.errors import BadInput, ConfigError, SvcError, Transient, from_os_error
from svc_core.storage import s3_errors, s3_parts, s3_settings
from svc_core.storage.crew import in_order, interruptibly
from svc_core.storage.retries import persist
from svc_core.storage.s3_parts import PART_BYTES, PARTS_AT_ONCE, Content
from svc_core.storage.s3_reader import RangeReader
from svc_core.storage.store import (
    BucketUrl,
    Condition,
    Facts,
    Reading,
    Stored,
    Version,
    check_key,
    conflict,
    parse_url,
)

Answer = TypeVar("Answer")
_SHA256, _WRITE = "sha256", "svc-write"
_DELETE_AT_ONCE = 1_000
_READ_AHEAD_BYTES = 256 << 10
_PIECE_BYTES = 1 << 20
_NOTICE_AFTER_S = 3.0
Notice = Callable[[str], None]


class S3Store:
    """Objects below `s3://bucket/prefix`. Each carries the sha256 of its content as metadata."""

    def __init__(self, url: BucketUrl, connection: s3_settings.Connection, notice: Notice) -> None:
        self.name = str(url)
        self._notice, self._noticed = notice, False
        self._url = url
        self._connection = connection
        self._below = f"{url.prefix}/" if url.prefix else ""
        self._bucket_seen = False

    @classmethod
    def open_url(
        cls, url: BucketUrl | str, budget_s: float = s3_settings.BUDGET_S, notice: Notice = lambda text: None
    ) -> "S3Store":
        """Reads the AWS settings; sends no request. Raises ConfigError where they do not suffice.

        Where the store cannot be reached, requests are repeated for `budget_s`; `notice` is told after a few seconds.
        """
        parsed = parse_url(url) if isinstance(url, str) else url
        return cls(parsed, s3_settings.connect(parsed, budget_s), notice)

    def list(self, prefix: str = "") -> Iterator[Stored]:
        token: dict[str, str] = {}
        while True:
            ask = partial(
                self._connection.admin.list_objects_v2, Bucket=self._url.bucket, Prefix=self._below + prefix, **token
            )
            page = self._ask(None, ask)
            for item in page.get("Contents", ()):
                version = Version(item["Size"], _stamp(item["ETag"]))
                yield Stored(item["Key"].removeprefix(self._below), version, item["LastModified"].timestamp())
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def head(self, key: str) -> Facts | None:
        found = self._head(key)
        return None if found is None else Facts(_version(found.meta), _recorded(found.attributes))

    def read(self, key: str) -> Reading:
        path = self._path(key)

        def begin() -> tuple[Any, deque[bytes] | None]:
            got = obstore.get(self._connection.bulk, path)
            if got.meta["size"] > PART_BYTES:
                return got, None
            return got, self._of_size(key, deque[Any]([got.bytes()]), got.meta["size"])

        got, small = self._ask(key, begin)
        version, sha256 = _version(got.meta), _recorded(got.attributes)
        return Reading(version, sha256, self._ranges(key, version) if small is None else iter(small))

    def open(self, key: str) -> BinaryIO:
        facts = self.head(key)
        if facts is None:
            raise self._explain(key, FileNotFoundError())
        version = facts.version

        def fetch(start: int, end: int) -> bytes:
            return b"".join(self._range(key, version, start, end))

        return io.BufferedReader(RangeReader(fetch, version.size), _READ_AHEAD_BYTES)

    def write(self, key: str, source: bytes | Path, sha256: str, only_if: Condition = None) -> Version:
        path = self._path(key)
        try:
            content = Content.of(source, sha256)
        except OSError as error:
            raise from_os_error(error) from None
        if only_if is not None:
            return self._write_if(key, content, only_if)

        def put() -> Version:
            try:
                return Version(content.size, _stamp(s3_parts.put(self._connection, path, content, {_SHA256: sha256})))
            except FileNotFoundError as error:
                if error.errno is not None:
                    raise  # the local file is gone
                # An upload in parts is forgotten once it is complete: perhaps only the answer to that was lost.
                found = self._head(key)
                if found is not None and _recorded(found.attributes) == sha256:
                    return _version(found.meta)
                raise

        return self._ask(key, put)

    def delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), _DELETE_AT_ONCE):
            self._delete([self._below + key for key in keys[start : start + _DELETE_AT_ONCE]])

    def _delete(self, names: Sequence[str]) -> None:
        admin, bucket = self._connection.admin, self._url.bucket
        if len(names) == 1:
            self._ask(None, lambda: admin.delete_object(Bucket=bucket, Key=names[0]))
            return
        wanted = {"Objects": [{"Key": name} for name in names], "Quiet": True}
        answer = self._ask(None, lambda: admin.delete_objects(Bucket=bucket, Delete=wanted))
        for failed in answer.get("Errors", ())[:1]:
            key = str(failed.get("Key", "")).removeprefix(self._below)
            raise ConfigError(f"{self.name}/{key} could not be deleted: grant s3:DeleteObject, then run it again")

    def _head(self, key: str) -> Any:
        path = self._path(key)
        request = partial(obstore.get, self._connection.bulk, path, options={"head": True})
        # The answer to HEAD has no body: an absent bucket looks like an absent key, and every refusal like any other.
        try:
            found = self._ask(key, lambda: _or_none(request))
        except ConfigError:
            self._look_for_bucket()
            raise
        if found is None and not self._bucket_seen:
            self._look_for_bucket()
        self._bucket_seen = True
        return found

    def _look_for_bucket(self) -> None:
        ask = partial(self._connection.admin.list_objects_v2, Bucket=self._url.bucket, Prefix=self._below, MaxKeys=1)
        self._ask(None, ask)

    def _write_if(self, key: str, content: Content, only_if: Condition) -> Version:
        """One write under a condition. Its mark tells our own object from another's when an answer was lost."""
        path, etag = self._path(key), _etag(only_if) if isinstance(only_if, Version) else None
        marks = {_SHA256: content.sha256, _WRITE: secrets.token_hex(8)}

        def put() -> Version:
            try:
                return Version(content.size, _stamp(s3_parts.put_if(self._connection, path, content, marks, etag)))
            except Exception as error:
                reason = self._explain(key, error)
                if isinstance(reason, BadInput) and not isinstance(error, SvcError):
                    reason = conflict(f"{self.name}/{key}")  # absent, where a version was asked for
                if isinstance(reason, Transient) and (ours := self._ours(key, marks[_WRITE])):
                    return ours
                raise reason from None

        return self._ask(key, put)

    def _ours(self, key: str, mark: str) -> Version | None:
        found = self._head(key)
        attributes = {} if found is None else {name.lower(): value for name, value in found.attributes.items()}
        return _version(found.meta) if attributes.get(_WRITE) == mark else None

    def _ranges(self, key: str, version: Version) -> Iterator[bytes]:
        ends = ((start, min(start + PART_BYTES, version.size)) for start in range(0, version.size, PART_BYTES))
        for pieces in in_order(lambda ends: self._range(key, version, *ends), ends, PARTS_AT_ONCE):
            while pieces:
                yield pieces.popleft()  # let go at once: memory is what is still to be read

    def _range(self, key: str, version: Version, start: int, end: int) -> deque[bytes]:
        path, etag = self._path(key), _etag(version)

        def get() -> deque[bytes]:
            got = obstore.get(self._connection.bulk, path, options={"range": (start, end), "if_match": etag})
            # Small pieces are joined and copied within the CPU's cache: half the time of one piece of 8 MiB.
            pieces = deque(got.stream(min_chunk_size=_PIECE_BYTES))
            return self._of_size(key, pieces, end - start)

        return self._ask(key, get)

    def _of_size(self, key: str, pieces: deque[bytes], size: int) -> deque[bytes]:
        came = sum(map(len, pieces))
        if came != size:
            raise Transient(f"{self.name}/{key}: {came} bytes came instead of {size}: run the same command again")
        return pieces

    def _ask(self, key: str | None, request: Callable[[], Answer]) -> Answer:
        explain, budget = partial(self._explain, key), self._connection.budget
        answer = interruptibly(partial(persist, request, explain, budget, self._waiting))
        self._noticed = False
        return answer

    def _waiting(self, reason: SvcError, spent_s: float) -> None:
        """Says once that there is an outage, and of what kind."""
        if spent_s >= _NOTICE_AFTER_S and not self._noticed:
            self._noticed = True
            cause = str(reason).rpartition(": ")[0]
            self._notice(f"{cause}: trying again for up to {self._connection.budget.seconds:.0f} s")

    def _explain(self, key: str | None, error: Exception) -> SvcError:
        return s3_errors.explain(error, self.name, key)

    def _path(self, key: str) -> str:
        return self._below + check_key(key)


def _or_none(request: Callable[[], Answer]) -> Answer | None:
    try:
        return request()
    except FileNotFoundError:
        return None


def _version(meta: Any) -> Version:
    return Version(meta["size"], _stamp(meta["e_tag"]))


def _recorded(attributes: Any) -> str | None:
    """The sha256 of the metadata; stores disagree about upper and lower case of its name."""
    return next((value for name, value in attributes.items() if name.lower() == _SHA256), None)


def _stamp(etag: str | None) -> str:
    return f"etag:{(etag or '').strip(chr(34))}"


def _etag(version: Any) -> str:
    return f'"{version.stamp.removeprefix("etag:")}"'
