"""Files are whole or absent: every write goes to a temporary name beside its target and is renamed.

A killed process can leave a temporary file behind; its name starts with `.tmp-`, nothing lists such names, and
`sweep` removes the old ones.
"""

import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TEMP_PREFIX = ".tmp-"
_CHUNK_BYTES = 1 << 20


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yields a temporary path; on a clean exit it replaces `path` in one step, otherwise it is removed.

    `durable` also flushes the content to the disk before the rename, so that a power cut cannot leave an empty file
    under the final name: for records that say "done" and for checkpoints.
    """
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept: encoders such as libsndfile choose the container by it.
    temp = path.with_name(f"{TEMP_PREFIX}{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temp
        if durable:
            with open(temp, "rb+") as handle:
                os.fsync(handle.fileno())
        os.replace(temp, path)
    except BaseException as error:
        temp.unlink(missing_ok=True)
        if isinstance(error, OSError) and str(error.filename) == str(temp):
            error.filename = str(path)  # what the user knows
        raise


def write_bytes(path: Path, data: bytes, *, durable: bool = False) -> None:
    with replacing(path, durable=durable) as temp:
        temp.write_bytes(data)


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    write_bytes(path, text.encode("utf-8"), durable=durable)


def write_json(path: Path, value: Any, *, durable: bool = False) -> None:
    write_bytes(path, json_bytes(value), durable=durable)


def json_bytes(value: Any) -> bytes:
    """As every JSON file of ours is written."""
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode("utf-8")


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while chunk := handle.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def finished(root: Path, folder: str = "") -> Iterator[str]:
    """Paths relative to `root`, with '/', of every file below its `folder`, without what is being written."""
    for place, folders, names in os.walk(root / folder):
        folders[:] = [name for name in folders if not name.startswith(TEMP_PREFIX)]
        below = os.path.relpath(place, root)
        prefix = "" if below == "." else f"{below}/"
        yield from (f"{prefix}{name}" for name in names if not name.startswith(TEMP_PREFIX))


def sweep(folder: Path, *, older_than_s: float = 3600.0) -> int:
    """Removes temporary files that a killed process left in `folder` (not below it); returns how many.

    Young ones stay: another process may be writing them.
    """
    removed = 0
    limit = time.time() - older_than_s
    if folder.is_dir():
        for entry in os.scandir(folder):
            if entry.name.startswith(TEMP_PREFIX) and entry.stat(follow_symlinks=False).st_mtime < limit:
                os.unlink(entry.path)
                removed += 1
    return removed
