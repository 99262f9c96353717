"""gc: what no record refers to any more, among the names that only we give; never below raw/, never anything young."""

import os
import secrets
import shutil
import stat
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from svc_core import files, layout
from svc_core.errors import BadInput, from_os_error
from svc_core.storage import lease, places
from svc_core.storage.folder import FolderStore, version_of
from svc_core.storage.ledger import read_ledger
from svc_core.storage.store import Store, Stored

YOUNG_S = 3600.0
LEASE_S = 20 * lease.TERM_S
"""A holder renews its lease many times in that while."""


class Unused(NamedTuple):
    key: str
    size: int
    """bytes"""
    reason: str


def find_unused(store: Store, *, now_s: float, older_than_s: float = YOUNG_S) -> list[Unused]:
    """Everything that may go, records before what they name. Deletes nothing.

    Args:
        now_s: the store's clock, see `clock_s`; seconds since 1970.
        older_than_s: what was written later than this many seconds before is left alone.
    Raises:
        BadInput: a record is damaged: what it named cannot be told from what nobody names.
    """
    ledger = read_ledger(store)
    for key, why in ledger.damaged.items():
        raise BadInput(f"{store.name}/{key} cannot be read, so nothing is known to be unused: {why}")
    left_behind, named = ledger.left_behind(), {key for key, _ in ledger.in_force()}
    found, checkpoints = list[Unused](), list[Stored]()
    for item in _listed(store):
        if item.key.startswith(places.RAW) or item.key in named or item.modified_s > now_s - older_than_s:
            continue
        if item.key in left_behind:
            found.append(Unused(item.key, item.version.size, "record of a clip that is no more"))
        elif places.is_clip_file(item.key):
            found.append(Unused(item.key, item.version.size, "no record names it"))
        elif places.is_temporary(item.key):
            found.append(Unused(item.key, item.version.size, "never finished"))
        elif item.key.startswith(places.LEASES) and item.modified_s < now_s - LEASE_S:
            found.append(Unused(item.key, item.version.size, "expired lease"))
        elif item.key.startswith(places.PROBES):
            found.append(Unused(item.key, item.version.size, "left by a check of the store"))
        elif places.checkpoint_place(item.key):
            checkpoints.append(item)
    found += _unnamed_checkpoints(store, checkpoints, ledger.said.keys())
    found += [one for one, modified_s in _hub_scratch(store) if modified_s <= now_s - older_than_s]
    return sorted(found, key=lambda one: (not places.is_record(one.key), one.key))


def remove(store: Store, unused: Sequence[Unused], *, at_once: int = 1000) -> Iterator[Sequence[Unused]]:
    """Deletes in the given order, so many keys at once; yields each part when it is gone."""
    for start in range(0, len(unused), at_once):
        part = unused[start : start + at_once]
        store.delete([one.key for one in part if not _is_hub_scratch(one.key)])
        for one in part:
            if isinstance(store, FolderStore) and _is_hub_scratch(one.key):
                _remove_folder(store.root / one.key)
        yield part


def clock_s(store: Store) -> float:
    """The store's clock now, learnt from a probe object that is written and removed; seconds since 1970."""
    key = f"{places.PROBES}clock-{secrets.token_hex(4)}"
    store.write(key, b"now", files.sha256_bytes(b"now"))
    try:
        return next((item.modified_s for item in store.list(key)), time.time())
    finally:
        store.delete([key])


def _unnamed_checkpoints(store: Store, items: list[Stored], records: Collection[str]) -> Iterator[Unused]:
    """Only steps that have a state file, which nobody but us writes, beside a `latest.json` that says what is kept."""
    folders = {place.folder for item in items if (place := places.checkpoint_place(item.key))}
    kept = [folder for folder in folders if f"{folder}/latest.json" in records]
    ours = {places.checkpoint_place(item.key) for folder in kept for item in store.list(f"{folder}/state_")}
    for item in items:
        place = places.checkpoint_place(item.key)
        if place in ours:
            yield Unused(item.key, item.version.size, "latest.json does not name it")


def _hub_scratch(store: Store) -> Iterator[tuple[Unused, float]]:
    """Folders that a killed push or pull left, each as one thing, and when something in it was written last."""
    if not isinstance(store, FolderStore) or not store.root.is_dir():
        return
    for entry in os.scandir(store.root):
        if _is_hub_scratch(entry.name) and entry.is_dir(follow_symlinks=False):
            held = [one for path in Path(entry.path).rglob("*") if (one := _status(path)) is not None]
            size = sum(one.st_size for one in held if stat.S_ISREG(one.st_mode))
            written_s = max((one.st_mtime for one in held), default=entry.stat().st_mtime)
            yield Unused(entry.name, size, "left by a push to the Hub, or a pull"), written_s


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:  # the push is at work
        return None


def _is_hub_scratch(key: str) -> bool:
    return key.startswith(layout.HUB_SCRATCH) and "/" not in key


def _remove_folder(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass  # a push or a pull was done with it meanwhile
    except OSError as error:
        raise from_os_error(error, folder) from error


def _listed(store: Store) -> Iterator[Stored]:
    yield from store.list()
    if not isinstance(store, FolderStore):
        return
    # A folder's listing passes over unfinished files.
    for place, folders, names in os.walk(store.root):
        folders[:] = [name for name in folders if not name.startswith(files.TEMP_PREFIX)]
        for name in names:
            path = Path(place) / name
            if name.startswith(files.TEMP_PREFIX) and path.is_file():
                status = path.stat()
                yield Stored(path.relative_to(store.root).as_posix(), version_of(status), status.st_mtime)
