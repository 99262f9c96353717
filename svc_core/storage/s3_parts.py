"""Files on their way into a bucket, in one request or in parts; a file that changes meanwhile is never stored."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import obstore

from svc_core.errors import changed_meanwhile
from svc_core.storage.crew import in_order
from svc_core.storage.s3_settings import Connection

PART_BYTES = 8 << 20
"""Larger files go in parts of this size or more, and come in ranges of it."""
PARTS_AT_ONCE = 6
_MOST_PARTS = 9_000


class Content(NamedTuple):
    """What shall be stored: bytes, or a file that must stay as it is until it is stored.

    Its size and time of change tell: hashing a large file a second time took a tenth of the rate.
    """

    source: bytes | Path
    size: int
    """bytes"""
    sha256: str
    modified_ns: int = 0

    @classmethod
    def of(cls, source: bytes | Path, sha256: str) -> "Content":
        if isinstance(source, bytes):
            return cls(source, len(source), sha256)
        status = source.stat()
        return cls(source, status.st_size, sha256, status.st_mtime_ns)

    def whole(self) -> bytes:
        """Raises BadInput where the file changed."""
        return b"".join(self.pieces(max(self.size, 1)))

    def pieces(self, part_bytes: int) -> Iterator[bytes]:
        """Raises BadInput before the last piece is handed out: an upload in parts is then given up, not finished."""
        if isinstance(self.source, bytes):
            for start in range(0, self.size, part_bytes):
                yield self.source[start : start + part_bytes]
            return
        read = 0
        with self.source.open("rb") as handle:
            while piece := handle.read(part_bytes):
                read += len(piece)
                if read >= self.size and os.fstat(handle.fileno()).st_mtime_ns != self.modified_ns:
                    raise changed_meanwhile(self.source)
                yield piece
        if read != self.size:
            raise changed_meanwhile(self.source)


def part_bytes(size: int) -> int:
    return max(PART_BYTES, -(-size // _MOST_PARTS))


def put(connection: Connection, path: str, content: Content, marks: dict[str, str]) -> str:
    """Stores the content; returns its ETag."""
    large = content.size > PART_BYTES
    body = content.pieces(part_bytes(content.size)) if large else content.whole()
    done = obstore.put(
        connection.bulk,
        path,
        body,
        attributes=marks,
        use_multipart=large,
        chunk_size=part_bytes(content.size),
        max_concurrency=PARTS_AT_ONCE,
    )
    return done["e_tag"] or ""


def put_if(connection: Connection, path: str, content: Content, marks: dict[str, str], etag: str | None) -> str:
    """Stores the content where the object has this ETag, or where there is none (None); returns the new one."""
    if content.size > PART_BYTES:
        return _put_parts_if(connection, path, content, marks, etag)
    done = obstore.put(
        connection.bulk,
        path,
        content.whole(),
        attributes=marks,
        mode="create" if etag is None else {"e_tag": etag},
    )
    return done["e_tag"] or ""


def _put_parts_if(connection: Connection, path: str, content: Content, marks: dict[str, str], etag: str | None) -> str:
    """botocore's part of the work: obstore sends a conditional write as one request, held whole in memory."""
    admin, place = connection.admin, {"Bucket": connection.bucket, "Key": path}
    upload = {**place, "UploadId": admin.create_multipart_upload(**place, Metadata=marks)["UploadId"]}

    def send(numbered: tuple[int, bytes]) -> dict[str, Any]:
        number, piece = numbered
        return {"PartNumber": number, "ETag": admin.upload_part(**upload, PartNumber=number, Body=piece)["ETag"]}

    try:
        pieces = enumerate(content.pieces(part_bytes(content.size)), start=1)
        parts = list(in_order(send, pieces, PARTS_AT_ONCE))
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        done = admin.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, **condition)
    except BaseException:
        _give_up(admin, upload)
        raise
    return str(done["ETag"])


def _give_up(admin: Any, upload: dict[str, str]) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        admin.abort_multipart_upload(**upload)
    except (BotoCoreError, ClientError):
        return  # the store's lifecycle rule for unfinished uploads removes it
