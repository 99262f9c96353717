"""A workspace in a bucket: a scratch folder with the part that a stage needs, and what is known of the rest."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from jobs.bucket_raw import RawBucket
from jobs.console import Console, StageResult
from svc_core import files, layout, manifest
from svc_core.errors import BadInput, ConfigError, Conflict
from svc_core.local import LocalFiles
from svc_core.manifest import FileRecord
from svc_core.storage.crew import in_threads
from svc_core.storage.folder import version_of
from svc_core.storage.lease import Lease, at_work, hold
from svc_core.storage.store import ABSENT, Store, Version
from svc_core.storage.transfer import Item, Moved, fetch, send

LISTED_AT_ONCE = 8
"""From so many keys of one folder on, the folder is listed instead of asking for each."""
SPARE_BYTES = 64 << 20
# Written by several jobs: replaced only where nobody else did so meanwhile.
SHARED_NAMES = frozenset((layout.SPEAKER_MAP.rpartition("/")[2], "latest.json"))
# What says that the files beside it are whole goes last of all.
LAST_NAMES = frozenset(("latest.json", layout.SUMS_NAME))
# Long work that a second job could only throw away: it is told so instead of waiting.
REFUSED = frozenset(("train",))


class Receipt(manifest.Record):
    """That a stage is done: with which request, and which versions of what it read and wrote; None for absent."""

    format: int = 1
    request: str
    versions: dict[str, tuple[int, str] | None]
    result: dict[str, Any]


class _Copy(NamedTuple):
    """A file of the scratch folder that holds what the bucket holds: the object's version, and the file's own."""

    there: Version
    here: Version


class BucketWorkspace(LocalFiles):
    """Knows each object's version from one look at it, kept up to date by its own writes."""

    def __init__(self, store: Store, scratch: Path, console: Console) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        super().__init__(scratch)
        self.name = store.name
        self.raw = RawBucket(store)
        self._store, self._console = store, console
        self._there: dict[str, Version | None] = {}
        self._listed: set[str] = set()
        self._asked: Counter[str] = Counter()
        self._copies: dict[str, _Copy] = {}
        self._freed: dict[str, _Copy] = {}
        self._lease: Lease | None = None
        self._lease_key = ""

    def keys(self, folder: str) -> list[str]:
        prefix = f"{folder}/"
        self._list(prefix)
        return sorted(key for key, version in self._there.items() if version and key.startswith(prefix))

    def bring(self, keys: Iterable[str]) -> None:
        asked = list(dict.fromkeys(keys))
        self._look(asked)
        wanted = {key: there for key in asked if (there := self._there[key]) and not self._is_current(key)}
        if not wanted:
            return
        self._check_lease()
        total = sum(version.size for version in wanted.values())
        self._check_space(total)
        self._move("bring in", fetch, [Item(key, layout.local(self.root, key)) for key in wanted], total)

    def check(self, record: FileRecord) -> FileRecord | None:
        self._look([record.key])
        there = self._there[record.key]
        if there is None or there.size != record.size:
            return None
        if there.stamp == record.stamp:
            return record
        if not self._is_current(record.key):
            facts = self._store.head(record.key)
            if facts and facts.sha256:
                fresh = record.model_copy(update={"stamp": facts.version.stamp})
                return fresh if facts.sha256 == record.sha256 else None
            self.bring([record.key])
        return record.check(self.root)

    def take(self, keys: Sequence[str]) -> None:
        changed = [key for key in keys if (self.root / key).is_file() and not self._is_current(key)]
        if not changed:
            return
        self._check_lease()
        # All of one rank is stored before the next begins.
        for rank in range(4):
            self._send([key for key in changed if _rank(key) == rank])

    def drop(self, keys: Sequence[str]) -> None:
        super().drop(keys)
        self._look(list(keys))
        self._delete([key for key in keys if self._there[key]])

    def free(self, keys: Iterable[str]) -> None:
        for key in keys:
            if self._is_current(key):
                layout.local(self.root, key).unlink()
                self._freed[key] = self._copies.pop(key)

    @contextmanager
    def holding(self, stage: str, shard: str = "") -> Iterator[None]:
        self._lease_key = layout.lease_key(stage, shard)
        with hold(self._store, self._lease_key, wait=stage not in REFUSED, say=self._console.say) as lease:
            if lease.waited:
                self._there.clear()
                self._listed.clear()
            self._lease = lease
            try:
                yield
            finally:
                self._lease = None

    def check_alone(self) -> None:
        if others := at_work(self._store, f"{layout.LEASES}/", self._lease_key):
            raise Conflict(
                f"{', '.join(others)}: other jobs are at work on {self.name} with the plan of before: "
                "wait for them or end them, then run the same command again"
            )

    def standing(self, stage: str, request: Any, reads: Sequence[str]) -> StageResult | None:
        key = layout.receipt_key(stage)
        self.bring([key])
        receipt = Receipt.read(self.root / key)
        if receipt is None or receipt.request != manifest.fingerprint(request) or set(reads) - set(receipt.versions):
            return None
        self._look(list(receipt.versions))
        if any(self._there[name] != (Version(*was) if was else None) for name, was in receipt.versions.items()):
            return None
        return StageResult(**receipt.result)

    def settle(self, stage: str, request: Any, reads: Sequence[str], result: StageResult) -> None:
        changed = [key for key in files.finished(self.root) if not self._is_current(key)]
        gone = [key for key in self._copies if not (self.root / key).is_file()]
        self.take(changed)
        self._delete(gone)
        self._look(list(reads))
        receipt = Receipt(
            request=manifest.fingerprint(request),
            versions={key: self._there[key] for key in sorted({*reads, *changed})},
            result=asdict(_already(result)),
        )
        receipt.write(self.root / layout.receipt_key(stage))
        self.take([layout.receipt_key(stage)])

    def _look(self, keys: list[str]) -> None:
        """Learns the versions of keys that were not asked for yet."""
        unknown = [key for key in keys if key not in self._there]
        folders = [_folder(key) for key in unknown]
        self._asked.update(folders)
        for folder in set(folders):
            if self._asked[folder] >= LISTED_AT_ONCE:
                self._list(folder)
        for key in unknown:
            if _folder(key) in self._listed:
                self._there.setdefault(key, None)
        alone = [key for key in unknown if key not in self._there]
        for key, version in in_threads(self._ask, alone):
            self._there[key] = version

    def _ask(self, key: str) -> tuple[str, Version | None]:
        facts = self._store.head(key)
        return key, facts.version if facts else None

    def _list(self, prefix: str) -> None:
        if not any(prefix.startswith(listed) for listed in self._listed):
            for stored in self._store.list(prefix):
                self._there.setdefault(stored.key, stored.version)
            self._listed.add(prefix)

    def _is_current(self, key: str) -> bool:
        copy = self._copies.get(key)
        return copy is not None and copy == (self._there.get(key), _version_here(self.root / key))

    def _keep(self, key: str, there: Version) -> None:
        here = _version_here(self.root / key)
        if here is None:
            raise BadInput(f"{self.root / key} vanished while it was in use: leave the scratch folder to one command")
        self._there[key], self._copies[key] = there, _Copy(there, here)

    def _send(self, keys: list[str]) -> None:
        records = [key for key in keys if key.endswith(".json")]
        items = [Item(key, self.root / key) for key in keys if not key.endswith(".json")]
        total = sum(item.path.stat().st_size for item in items)
        if items:
            self._move("take out", send, items, total)
        for key, version in in_threads(self._send_record, records):
            self._keep(key, version)

    def _move(self, title: str, mover: Callable[..., Iterator[Moved]], items: list[Item], total: int) -> None:
        with self._console.progress(title, total / 1e6, "MB") as progress:
            moving = mover(self._store, items, on_bytes=lambda count: progress.advance(count / 1e6))
            for number, moved in enumerate(moving, start=1):
                self._keep(moved.key, moved.version)
                progress.advance(0, f"{number} of {len(items)} files")

    def _send_record(self, key: str) -> tuple[str, Version]:
        """Stores a record with the stamps that its files have in the bucket."""
        data = (self.root / key).read_bytes()
        value = json.loads(data)
        stored = manifest.restamped(value, self._stamp)
        if stored != value:
            data = files.json_bytes(stored)
        condition = (self._there.get(key) or ABSENT) if _name(key) in SHARED_NAMES else None
        return key, self._store.write(key, data, files.sha256_bytes(data), condition)

    def _stamp(self, record: FileRecord) -> str | None:
        copy = self._copies.get(record.key) if self._is_current(record.key) else self._freed.get(record.key)
        if copy is None or copy.here != (record.size, record.stamp) or copy.there != self._there.get(record.key):
            return None
        return copy.there.stamp

    def _delete(self, keys: list[str]) -> None:
        if keys:
            self._check_lease()
            self._store.delete(keys)
        for key in keys:
            self._there[key] = None
            self._copies.pop(key, None)

    def _check_lease(self) -> None:
        if self._lease:
            self._lease.check()

    def _check_space(self, needed: int) -> None:
        free = shutil.disk_usage(self.root).free
        if free < needed + SPARE_BYTES:
            raise ConfigError(
                f"{self.root} has {free / 2**30:.2f} GiB free and this needs {(needed + SPARE_BYTES) / 2**30:.2f} GiB: "
                "name a larger folder with --scratch, or divide the work into more --shards"
            )


def _rank(key: str) -> int:
    if _name(key) in LAST_NAMES:
        return 3
    if not key.endswith(".json"):
        return 0
    return 2 if key.startswith(f"{layout.MANIFESTS}/") else 1


def _already(result: StageResult) -> StageResult:
    """What the same stage says where it has nothing to do."""
    text = result.message.partition(": ")[2] or result.message
    return replace(result, done=0, skipped=result.done + result.skipped, message=f"already done: {text}")


def _name(key: str) -> str:
    return key.rpartition("/")[2]


def _folder(key: str) -> str:
    return key.rpartition("/")[0] + "/"


def _version_here(path: Path) -> Version | None:
    try:
        return version_of(path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return None
