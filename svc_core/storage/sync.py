"""sync: makes one workspace like another; data first, records last, with the stamps that the data has where it arrived.

Repeated, or after a kill, it moves only what is missing. Nothing is deleted unless asked for, below raw/ never.
"""

import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

from svc_core import files, layout, manifest
from svc_core.errors import BadInput
from svc_core.manifest import FileRecord
from svc_core.storage import places
from svc_core.storage.compare import Comparison, Inventory
from svc_core.storage.crew import WORKERS, in_threads
from svc_core.storage.folder import FolderStore
from svc_core.storage.ledger import as_json, read_all, said
from svc_core.storage.store import Store, Version
from svc_core.storage.transfer import Item, Moved, fetch, send


@dataclass(frozen=True)
class SyncPlan:
    """What is to happen from `source` to `target`: data to copy, records to look at, keys to delete, all in order."""

    source: Inventory
    target: Inventory
    comparison: Comparison
    copies: list[str]
    records: list[str]
    deletions: list[str]

    @property
    def size(self) -> int:
        """bytes of data to copy"""
        return sum(self.source.objects[key].size for key in self.copies)

    @property
    def changed_records(self) -> list[str]:
        """Records that say something else at the target, or are not there; more may get new stamps."""
        changed = {*self.comparison.only_left, *self.comparison.different}
        return [key for key in self.records if key in changed]


class Content(NamedTuple):
    """What stands at the target under a key."""

    sha256: str
    version: Version


class Step(NamedTuple):
    """One object that was handled: `copied`, `recorded` or `deleted`, and its size in bytes."""

    what: str
    key: str
    size: int


def plan_sync(source: Inventory, target: Inventory, comparison: Comparison, *, delete: bool = False) -> SyncPlan:
    """Decides; moves nothing.

    Raises BadInput where a key cannot stand at the target, or the source is empty and `delete` would empty the target.
    """
    if not source.objects and delete:
        raise BadInput(f"{source.store.name} holds nothing, so --delete would empty {target.store.name}: check SRC")
    deletable = [key for key in comparison.only_right if not key.startswith(places.RAW)] if delete else []
    kept = target.objects.keys() - set(deletable)
    _check_keys(source, kept)
    moving = [*comparison.only_left, *comparison.different]
    return SyncPlan(
        source,
        target,
        comparison,
        copies=sorted(key for key in moving if not places.is_record(key)),
        records=sorted((key for key in source.objects if places.is_record(key)), key=_records_order),
        deletions=sorted(deletable, key=lambda key: (not places.is_record(key), key)),
    )


def carry_out(
    plan: SyncPlan, *, workers: int = WORKERS, on_bytes: Callable[[int], None] | None = None
) -> Iterator[Step]:
    """Does it, and yields each object once it is whole at the target.

    Raises what the stores raise, and BadInput where an object of the source does not hold what was recorded.
    """
    target = plan.target
    arrived = {key: Content(sha256, target.objects[key]) for key, sha256 in plan.comparison.hashes.items()}
    for key, content in _copy(plan, workers, on_bytes):
        arrived[key] = content
        yield Step("copied", key, content.version.size)
    sums = [key for key in plan.records if key.endswith(layout.SUMS_NAME)]
    for part in (sums, plan.records[len(sums) :]):  # records of files that name the lists of hashes come after those
        steps = in_threads(partial(_bring_record, plan, arrived), part, workers)
        for key, content, written in list(steps) if part is sums else steps:
            arrived[key] = content
            if written:
                yield Step("recorded", key, content.version.size)
    for start in range(0, len(plan.deletions), 1000):
        keys = plan.deletions[start : start + 1000]
        target.store.delete(keys)
        yield from (Step("deleted", key, target.objects[key].size) for key in keys)


def _records_order(key: str) -> tuple[bool, str]:
    return not key.endswith(layout.SUMS_NAME), key


def _check_keys(source: Inventory, kept: Iterable[str]) -> None:
    for trouble in places.key_troubles({*source.objects, *kept}):
        if trouble.key in source.objects or trouble.other in source.objects:
            raise BadInput(
                f"{source.store.name}/{trouble.key} {trouble.text}: rename one of them, nothing was moved"
                if trouble.other
                else f"{source.store.name}: key {trouble.key!r} {trouble.text}: rename it, nothing was moved"
            )


def _copy(plan: SyncPlan, workers: int, on_bytes: Callable[[int], None] | None) -> Iterator[tuple[str, Content]]:
    """Moves the data. Between two stores that are no folders it passes through one, a few objects at a time."""
    source, target = plan.source.store, plan.target.store
    if isinstance(source, FolderStore) and not isinstance(target, FolderStore):
        items = (Item(key, source.root / key) for key in plan.copies)
        for moved in send(target, items, workers=workers, on_bytes=on_bytes):
            yield moved.key, Content(moved.sha256, moved.version)
    elif isinstance(target, FolderStore):
        for moved in fetch(source, _wanted(plan, target.root), workers=workers, on_bytes=on_bytes):
            yield moved.key, Content(moved.sha256, _version(target, moved.key))
    else:
        with tempfile.TemporaryDirectory(prefix="svc-jobs-sync-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            fetching = cast("Generator[Moved, None, None]", fetch(source, _wanted(plan, folder), workers=workers))
            with closing(fetching) as fetched:
                items = (Item(moved.key, folder / moved.key, moved.sha256) for moved in fetched)
                for moved in send(target, items, workers=workers, on_bytes=on_bytes):
                    (folder / moved.key).unlink()
                    yield moved.key, Content(moved.sha256, moved.version)


def _wanted(plan: SyncPlan, folder: Path) -> Iterator[Item]:
    for key in plan.copies:
        yield Item(key, folder / key, plan.source.ledger.vouched(key, plan.source.objects[key]))


def _bring_record(plan: SyncPlan, arrived: dict[str, Content], key: str) -> tuple[str, Content, bool]:
    """The record as it shall stand at the target, and whether it had to be written."""
    data = read_all(plan.source.store, key)
    try:
        before = as_json(data)
    except BadInput:  # a list of hashes, or damaged: verify names it, a copy keeps it
        exact = files.sha256_bytes(data)
    else:
        after = manifest.restamped(before, partial(_stamp_there, plan, arrived))
        exact = said(after).exact
        if after != before:
            data = files.json_bytes(after)
    sha256, there = files.sha256_bytes(data), plan.target.ledger.said.get(key)
    if there is not None and there.exact == exact:
        return key, Content(sha256, plan.target.objects[key]), False
    return key, Content(sha256, plan.target.store.write(key, data, sha256)), True


def _stamp_there(plan: SyncPlan, arrived: dict[str, Content], record: FileRecord) -> str | None:
    """The target's stamp, where the object is known to hold what the record says of it; else the stamp stays."""
    there, here = arrived.get(record.key), plan.source.objects.get(record.key)
    if there is None or (record.sha256 != there.sha256 and (record.size, record.stamp) != here):
        return None
    return there.version.stamp


def _version(store: Store, key: str) -> Version:
    facts = store.head(key)
    if facts is None:
        raise BadInput(f"{store.name}/{key} was removed while it was synced: run the same command again")
    return facts.version
