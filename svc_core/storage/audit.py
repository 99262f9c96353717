"""verify: reads every object and compares it with what the records and the store itself say of it."""

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue
from typing import NamedTuple

from svc_core import layout
from svc_core.errors import BadInput
from svc_core.storage import places
from svc_core.storage.crew import WORKERS, in_threads
from svc_core.storage.ledger import Known, read_ledger
from svc_core.storage.store import Store, Stored, key_problem


class Fault(NamedTuple):
    """One thing that is wrong. `expected` and `found` are sha256, or sizes in bytes; `record` says what to expect."""

    kind: str
    """missing, size, content, damaged (its store refuses it), record (it cannot be read) or key"""
    key: str
    expected: str | None
    found: str | None
    record: str | None

    def __str__(self) -> str:
        by = f" by {self.record}" if self.record else ""
        match self.kind:
            case "missing":
                return f"{self.key} is missing, named{by}"
            case "size":
                return f"{self.key} has {self.found} bytes, {self.expected} are recorded{by}"
            case "content":
                return f"{self.key} has sha256 {self.found}, {self.expected} is recorded{by}"
            case _:
                return f"{self.key!r} {self.found}"


class Audit(NamedTuple):
    objects: int
    size: int
    """bytes that were read or counted"""
    unrecorded: int
    """objects that no record names and whose store keeps no sha256: they were read, nothing more can be said"""
    faults: list[Fault]


class _Verdict(NamedTuple):
    fault: Fault | None
    recorded: bool


def verify(
    store: Store,
    *,
    workers: int = WORKERS,
    on_bytes: Callable[[int], None] | None = None,
    on_object: Callable[[], None] | None = None,
) -> Audit:
    """Reads all content, in pieces, many objects at once. Raises what the store raises: Transient, ConfigError."""
    ledger = read_ledger(store, workers=workers)
    in_force = dict(ledger.in_force())
    faults = [Fault("record", key, None, f"cannot be read: {why}", None) for key, why in ledger.damaged.items()]
    seen, total, unrecorded = set[str](), 0, 0

    def listed() -> Iterator[Stored]:
        nonlocal total
        for item in store.list():
            if not places.is_passing(item.key):
                seen.add(item.key)
                total += item.version.size
                if key_problem(item.key) is None:  # no store reads such a key; it is named with the clashing ones
                    yield item

    events: SimpleQueue[int] = SimpleQueue()
    examine = partial(_examine, store, in_force, events.put)
    for verdict in in_threads(examine, listed(), workers, events, on_bytes):
        unrecorded += not verdict.recorded
        if verdict.fault is not None and verdict.fault.key not in ledger.damaged:
            faults.append(verdict.fault)
        if on_object is not None:
            on_object()
    faults += _missing(in_force, seen)
    faults += [Fault("key", trouble.key, None, trouble.text, None) for trouble in places.key_troubles(seen)]
    return Audit(len(seen), total, unrecorded, sorted(faults, key=lambda fault: (fault.key, fault.kind)))


def content_of(store: Store, key: str) -> str:
    """sha256 of an object, read in pieces. Raises BadInput where it is absent."""
    digest = hashlib.sha256()
    for piece in store.read(key).pieces:
        digest.update(piece)
    return digest.hexdigest()


def _examine(
    store: Store, known: dict[str, tuple[Known, ...]], on_bytes: Callable[[int], None], item: Stored
) -> _Verdict:
    said = known.get(item.key, ())
    sizes = {one.size for one in said if one.size is not None}
    if sizes and item.version.size not in sizes:
        size = next(one for one in said if one.size is not None)
        return _Verdict(Fault("size", item.key, str(size.size), str(item.version.size), size.record), True)
    try:
        verdict = _look(store, said, item.key, on_bytes)
        return verdict if verdict.fault is None else _look(store, said, item.key, lambda _: None)
    except BadInput as error:
        if store.head(item.key) is None:  # gone since it was listed: somebody works here; a record would miss it
            return _Verdict(Fault("missing", item.key, None, None, said[0].record) if said else None, True)
        return _Verdict(Fault("damaged", item.key, None, f"cannot be read: {error}", None), True)


def _look(store: Store, said: tuple[Known, ...], key: str, on_bytes: Callable[[int], None]) -> _Verdict:
    """Compares the content, read once."""
    reading, digest = store.read(key), hashlib.sha256()
    for piece in reading.pieces:
        digest.update(piece)
        on_bytes(len(piece))
    found = digest.hexdigest()
    if reading.sha256 is not None and found != reading.sha256:
        return _Verdict(Fault("content", key, reading.sha256, found, "its own metadata"), True)
    # One record that agrees is enough: others are of stages that have not run again yet, and will redo their part.
    hashed = [one for one in said if one.sha256]
    if hashed and all(one.sha256 != found for one in hashed):
        return _Verdict(Fault("content", key, hashed[0].sha256, found, hashed[0].record), True)
    return _Verdict(None, bool(hashed) or reading.sha256 is not None)


def _missing(known: dict[str, tuple[Known, ...]], seen: set[str]) -> Iterator[Fault]:
    for key, items in known.items():
        # A recording may be taken away once it is sliced; only the plan says which ones are still counted on.
        counted = not key.startswith(places.RAW) or any(item.record == layout.PREPARE_PLAN for item in items)
        if key not in seen and counted:
            yield Fault("missing", key, items[0].sha256, None, items[0].record)
