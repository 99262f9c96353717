"""diff: two workspaces object by object, by size, then by content, reading as little as that takes."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from svc_core.storage import places
from svc_core.storage.audit import content_of
from svc_core.storage.crew import WORKERS, in_threads
from svc_core.storage.ledger import Ledger, read_ledger
from svc_core.storage.store import Store, Version


@dataclass(frozen=True)
class Inventory:
    """One workspace: what its listing shows, without leases, probes and unfinished files, and what its records say."""

    store: Store
    objects: dict[str, Version]
    ledger: Ledger

    def sha256(self, key: str) -> str:
        """Content of the object as it was listed: from a record, from the object's metadata, or by reading it."""
        listed = self.objects[key]
        if vouched := self.ledger.vouched(key, listed):
            return vouched
        facts = self.store.head(key)
        if facts is not None and facts.sha256 and facts.version == listed:
            return facts.sha256
        return content_of(self.store, key)


def take_inventory(store: Store, *, workers: int = WORKERS, on_record: Callable[[], None] | None = None) -> Inventory:
    objects = {sys.intern(item.key): item.version for item in store.list() if not places.is_passing(item.key)}
    return Inventory(store, objects, read_ledger(store, workers=workers, on_record=on_record))


@dataclass(frozen=True)
class Comparison:
    """Keys by what was found. `hashes` has the sha256 of equal objects that are no records.

    Records are equal when they say the same of the same contents: their stamps are of one store only.
    """

    only_left: list[str] = field(default_factory=list)
    only_right: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    equal: list[str] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        return not (self.only_left or self.only_right or self.different)


class _Verdict(NamedTuple):
    key: str
    equal: bool
    sha256: str | None


def compare(
    left: Inventory, right: Inventory, *, workers: int = WORKERS, on_object: Callable[[], None] | None = None
) -> Comparison:
    """Raises what the stores raise: Transient, ConfigError, and BadInput where an object vanishes meanwhile."""
    result = Comparison(
        only_left=sorted(left.objects.keys() - right.objects.keys()),
        only_right=sorted(right.objects.keys() - left.objects.keys()),
    )
    common = sorted(left.objects.keys() & right.objects.keys())
    for verdict in in_threads(lambda key: _judge(left, right, key), common, workers):
        (result.equal if verdict.equal else result.different).append(verdict.key)
        if verdict.equal and verdict.sha256 is not None:
            result.hashes[verdict.key] = verdict.sha256
        if on_object is not None:
            on_object()
    result.equal.sort()
    result.different.sort()
    return result


def _judge(left: Inventory, right: Inventory, key: str) -> _Verdict:
    mine, other = left.ledger.said.get(key), right.ledger.said.get(key)
    if mine is not None and other is not None:
        return _Verdict(key, mine.unstamped == other.unstamped, None)
    if left.objects[key].size != right.objects[key].size:
        return _Verdict(key, False, None)
    sha256 = left.sha256(key)
    return _Verdict(key, sha256 == right.sha256(key), sha256)
