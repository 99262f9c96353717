"""What the stages need of a store, tried out on a few small objects below data/prep/doctor/ that are removed again."""

import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from svc_core import files
from svc_core.errors import Conflict, SvcError, Transient
from svc_core.storage import places
from svc_core.storage.store import ABSENT, Store, Version

SKEW_S = 300.0
"""Requests are refused from 15 minutes on; this leaves time to set the clock."""
PARTS_BYTES = 12 << 20
"""More than one part of an upload."""
_MOVE_BYTES = 8 << 20
_REQUESTS = 10
_NEEDS = {
    "list": "s3:ListBucket on the bucket",
    "put": "s3:PutObject on the prefix",
    "get": "s3:GetObject on the prefix, and s3:ListBucket",
    "multipart": "s3:PutObject and s3:GetObject, and s3:AbortMultipartUpload for what fails",
    "clock": "s3:ListBucket on the bucket",
    "throughput": "s3:PutObject and s3:GetObject on the prefix",
    "delete": "s3:DeleteObject on the prefix",
}


class Check(NamedTuple):
    """One thing that was tried; `text` says what was found and, where it failed, what to do."""

    subject: str
    level: Literal["ok", "note", "fail"]
    text: str


class _Failed(Exception):
    """What a store answered otherwise than it must, in words."""


def examine(store: Store, *, now_s: Callable[[], float] = time.time) -> Iterator[Check]:
    """Every check in turn; none raises. Where the store cannot be reached, the rest is not tried."""
    key = f"{places.PROBES}{secrets.token_hex(8)}"
    tries: tuple[tuple[str, Callable[[Store, str], str]], ...] = (
        ("list", _list),
        ("put", _put),
        ("get", _get),
        ("conditional put", _conditional),
        ("compare and swap", _swap),
        ("multipart", _parts),
        ("clock", lambda store, key: _clock(store, key, now_s)),
        ("latency", _latency),
        ("throughput", _throughput),
        ("delete", _delete),
    )
    tried = []
    try:
        for subject, attempt in tries:
            tried.append(subject)
            try:
                yield Check(subject, "ok", attempt(store, key))
            except _Failed as failed:
                yield Check(subject, "fail", str(failed))
            except Transient as error:
                yield Check(subject, "fail", str(error))
                if not isinstance(error, Conflict):
                    return
            except SvcError as error:
                needs = f" (this takes {_NEEDS[subject]})" if subject in _NEEDS else ""
                yield Check(subject, "fail", f"{error}{needs}")
                if subject == "put":  # nothing else can be tried on what is not there
                    return
    finally:
        with suppress(SvcError):
            if "put" in tried:
                store.delete([key, *_others(key)])


def _others(key: str) -> list[str]:
    return [f"{key}-{name}" for name in ("new", "swap", "parts", "move")]


def _list(store: Store, key: str) -> str:
    found = next(iter(store.list()), None)
    return "the workspace can be listed" if found else "the workspace can be listed and is empty"


def _put(store: Store, key: str) -> str:
    _write(store, key, b"probe")
    return "an object can be written"


def _get(store: Store, key: str) -> str:
    data = b"".join(store.read(key).pieces)
    if data != b"probe":
        raise _Failed(f"{len(data)} other bytes came back: something between here and the store changes contents")
    facts = store.head(key)
    if facts is None or facts.sha256 not in (None, files.sha256_bytes(b"probe")):
        raise _Failed("its metadata does not come back as written: the store must keep x-amz-meta- headers")
    if key not in {item.key for item in store.list(key)}:
        raise _Failed("a new object is not listed at once: the store must be strongly consistent")
    return "it comes back the same, is listed, and keeps its sha256"


def _conditional(store: Store, key: str) -> str:
    data = b"first"
    store.write(f"{key}-new", data, files.sha256_bytes(data), ABSENT)
    with suppress(Conflict):
        store.write(f"{key}-new", b"other", files.sha256_bytes(b"other"), ABSENT)
        raise _Failed(
            "a second write with If-None-Match was taken, so that two jobs could overwrite each other: use a store "
            "that honours it; this one is refused for shared writes"
        )
    return "If-None-Match is honoured"


def _swap(store: Store, key: str) -> str:
    name = f"{key}-swap"
    first = _write(store, name, b"1")
    store.write(name, b"22", files.sha256_bytes(b"22"), first)
    with suppress(Conflict):
        store.write(name, b"333", files.sha256_bytes(b"333"), first)
        raise _Failed(
            "a write with a stale If-Match was taken, so that leases cannot hold: use a store that honours it; this "
            "one is refused for shared writes"
        )
    return "If-Match is honoured"


def _parts(store: Store, key: str) -> str:
    data = secrets.token_bytes(PARTS_BYTES)
    with tempfile.TemporaryDirectory(prefix="svc-jobs-doctor-") as folder:
        path = Path(folder) / "parts"
        path.write_bytes(data)
        store.write(f"{key}-parts", path, files.sha256_bytes(data))
    if b"".join(store.read(f"{key}-parts").pieces) != data:
        raise _Failed("an object sent in parts comes back with other bytes: use another store")
    return f"{PARTS_BYTES >> 20} MiB in parts come back the same"


def _clock(store: Store, key: str, now_s: Callable[[], float]) -> str:
    before_s = now_s()
    _write(store, key, b"probe")
    after_s = now_s()
    written_s = next((item.modified_s for item in store.list(key) if item.key == key), None)
    if written_s is None:
        raise _Failed("the probe is not listed: the store must be strongly consistent")
    # The store's time is in whole seconds, and lies somewhere between the two.
    skew_s = max(before_s - written_s - 1, written_s - after_s, 0.0)
    if skew_s > SKEW_S:
        raise _Failed(
            f"this machine and the store differ by {skew_s:.0f} s, and signatures fail from 900 s on: set the clocks"
        )
    return f"within {skew_s + 1:.0f} s of the store's"


def _latency(store: Store, key: str) -> str:
    times_s = []
    for _ in range(_REQUESTS):
        start_s = time.perf_counter()
        store.head(key)
        times_s.append(time.perf_counter() - start_s)
    return f"{statistics.median(times_s) * 1000:.1f} ms for a small request (median of {_REQUESTS})"


def _throughput(store: Store, key: str) -> str:
    data = secrets.token_bytes(_MOVE_BYTES)
    start_s = time.perf_counter()
    _write(store, f"{key}-move", data)
    up_s = time.perf_counter() - start_s
    start_s = time.perf_counter()
    for _ in store.read(f"{key}-move").pieces:
        pass
    down_s = time.perf_counter() - start_s
    up, down = (_MOVE_BYTES / 1e6 / max(spent_s, 1e-6) for spent_s in (up_s, down_s))
    return f"{up:.0f} MB/s up, {down:.0f} MB/s down, one object of {_MOVE_BYTES >> 20} MiB"


def _delete(store: Store, key: str) -> str:
    store.delete([key])
    if store.head(key) is not None:
        raise _Failed("a deleted object is still there: grant s3:DeleteObject, and look whether the bucket is locked")
    rest = _others(key)
    store.delete(rest)
    if left := [name for name in rest if store.head(name) is not None]:
        raise _Failed(
            f"{len(left)} of {len(rest)} objects are still there after one request for all: use another store"
        )
    return "one object can be deleted, and several at once"


def _write(store: Store, key: str, data: bytes) -> Version:
    return store.write(key, data, files.sha256_bytes(data))
