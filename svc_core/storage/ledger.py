"""What all records of a workspace say together: which content each object should have, and who says so."""

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from svc_core import files, layout, manifest
from svc_core.config import RATE_HZ
from svc_core.errors import BadInput
from svc_core.storage import places
from svc_core.storage.crew import WORKERS, in_threads
from svc_core.storage.store import Store, Version

READS = 2
"""What came wrong may have been harmed on its way: only a second look says that it lies wrong."""


class Known(NamedTuple):
    """One sentence of a record about one object. A release's list of hashes gives neither size nor stamp.

    `sha256` is None where the slice plan names a recording that was not hashed yet.
    """

    sha256: str | None
    size: int | None
    """bytes"""
    stamp: str | None
    record: str
    """key of the record"""


class Said(NamedTuple):
    """What a record says: the sha256 of its values, with the stamps left out, and with them."""

    unstamped: str
    exact: str


@dataclass(frozen=True)
class Ledger:
    """`known` by object, `said` by record, `seconds` of audio by object, and records that cannot be read, with why."""

    known: dict[str, tuple[Known, ...]] = field(default_factory=dict)
    said: dict[str, Said] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)

    def vouched(self, key: str, version: Version) -> str | None:
        """The sha256 that a record gives for this very version of the object; None where none does."""
        given = (item.sha256 for item in self.known.get(key, ()) if (item.size, item.stamp) == version)
        return next((sha256 for sha256 in given if sha256), None)

    def left_behind(self) -> frozenset[str]:
        """Records of sidecars whose clip no recording and no list names any more.

        Only of speakers of whom some clip is still named: without any such record, nothing is known to be left.
        """
        prefix = f"{layout.MANIFESTS}/features/"
        records = {record for record in self.said if record.startswith(prefix)}
        wanted, speakers = set[str](), set[str]()
        for key, items in self.known.items():
            place = places.place_of(key)
            if place.stage == "clips" and any(item.record not in records for item in items):
                speakers.add(place.speaker)
                wanted.update(item.record for item in items)
        return frozenset(record for record in records - wanted if places.place_of(record).speaker in speakers)

    def in_force(self) -> Iterator[tuple[str, tuple[Known, ...]]]:
        """`known`, without what only records that were left behind say."""
        ignored = self.left_behind()
        for key, items in self.known.items():
            if kept := tuple(item for item in items if item.record not in ignored):
                yield key, kept


class _Page(NamedTuple):
    """One record as it was read."""

    record: str
    known: list[tuple[str, Known]]
    said: Said | None
    seconds: dict[str, float]
    damage: str | None


def read_ledger(
    store: Store,
    *,
    wanted: Callable[[str], bool] = lambda _: True,
    workers: int = WORKERS,
    on_record: Callable[[], None] | None = None,
) -> Ledger:
    """Reads the records of the workspace, many at once; only those with a `wanted` key.

    A record that is damaged is noted in the ledger; one that vanishes meanwhile is not in it. Raises what the store
    raises: Transient, ConfigError.
    """
    ledger = Ledger()
    for page in in_threads(lambda key: _read(store, key), filter(wanted, record_keys(store)), workers):
        if page.damage is not None:
            ledger.damaged[page.record] = page.damage
        if page.said is not None:
            ledger.said[page.record] = page.said
        for key, item in page.known:
            ledger.known[key] = (*ledger.known.get(key, ()), item)
        ledger.seconds.update(page.seconds)
        if on_record is not None:
            on_record()
    for key, items in ledger.known.items():
        if len(items) > 1:  # the record of the stage that made it comes first
            ledger.known[key] = tuple(sorted(items, key=lambda item: (not _is_maker(item.record, key), item.record)))
    return ledger


def _is_maker(record: str, key: str) -> bool:
    stage = {"raw": "prepare", "clips": "slice", "sidecars": "features"}.get(places.place_of(key).stage, "convert")
    return record.startswith(f"{layout.MANIFESTS}/{stage}/")


def record_keys(store: Store) -> Iterator[str]:
    for prefix in places.RECORD_PREFIXES:
        yield from (item.key for item in store.list(prefix) if places.is_record(item.key))


def read_all(store: Store, key: str) -> bytes:
    """The whole content of a small object. Raises BadInput where it is absent or not what was recorded at its write."""
    found = ""
    for _ in range(READS):
        reading = store.read(key)
        data = b"".join(reading.pieces)
        found = files.sha256_bytes(data)
        if reading.sha256 in (None, found):
            return data
    raise BadInput(f"{store.name}/{key} holds {found} and was written as {reading.sha256}: restore it, or remove it")


def as_json(data: bytes) -> Any:
    """The value of a JSON record. Raises BadInput for anything else."""
    try:
        return json.loads(data)
    except ValueError as error:  # also for bytes that are no text
        raise BadInput(f"it is no JSON ({error}): remove it, its stage writes it again") from None


def said(value: Any) -> Said:
    return Said(_digest(manifest.restamped(value, lambda _: "")), _digest(value))


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _read(store: Store, key: str) -> _Page:
    try:
        data = read_all(store, key)
        if key.endswith(f"/{layout.SUMS_NAME}"):
            digest = files.sha256_bytes(data)
            return _Page(key, list(_sums(key, data)), Said(digest, digest), {}, None)
        value = as_json(data)
    except BadInput as error:
        gone = store.head(key) is None
        return _Page(key, [], None, {}, None if gone else str(error))
    known = [
        # Interned: most keys and hashes stand in several records, and in those of the other workspace of a copy.
        (sys.intern(item.key), Known(sys.intern(item.sha256), item.size, sys.intern(item.stamp), key))
        for item in manifest.file_records(value)
        # A converted file's source is the user's own and stands by its bare name; a record speaks for itself.
        if "/" in item.key and item.size >= 0 and not places.is_record(item.key)
    ]
    if key == layout.PREPARE_PLAN:
        known += _recordings(value)
    return _Page(key, known, said(value), dict(_seconds(key, value)), None)


def _sums(key: str, data: bytes) -> Iterator[tuple[str, Known]]:
    folder = key.rpartition("/")[0]
    for line in data.decode("utf-8", "replace").splitlines():
        digest, _, name = line.partition("  ")
        if re.fullmatch(r"[0-9a-f]{64}", digest) and name and "/" not in name:
            yield f"{folder}/{name}", Known(digest, None, None, key)


def _recordings(plan: Any) -> Iterator[tuple[str, Known]]:
    for item in _dicts(plan.get("recordings")) if isinstance(plan, dict) else ():
        key, size, stamp = item.get("key"), item.get("size"), item.get("stamp")
        if isinstance(key, str) and isinstance(size, int) and isinstance(stamp, str):
            yield key, Known(item.get("sha256"), size, stamp, layout.PREPARE_PLAN)


def _seconds(record: str, value: Any) -> Iterator[tuple[str, float]]:
    """Length of the audio that a record describes, by key. Records of another shape give none."""
    if not isinstance(value, dict):
        return
    found: list[tuple[Any, Any]]
    if record == layout.PREPARE_PLAN:
        found = [(item, item.get("seconds")) for item in _dicts(value.get("recordings"))]
    elif record.startswith(f"{layout.MANIFESTS}/slice/"):
        found = [(item.get("file"), _at_rate(item.get("samples"))) for item in _dicts(value.get("clips"))]
    elif record.startswith(f"{layout.CONVERT_MANIFESTS}/"):
        found = [(value.get("output"), _at_rate(item.get("samples"))) for item in _dicts([value.get("conversion")])]
    else:
        return
    for file, seconds in found:
        if isinstance(file, dict) and isinstance(file.get("key"), str) and isinstance(seconds, int | float):
            yield file["key"], float(seconds)


def _at_rate(samples: Any) -> float | None:
    return samples / RATE_HZ if isinstance(samples, int) else None


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
