"""A repository at one commit -> the workspace: what is not there already, each file checked, records last."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from svc_core import files, layout, manifest
from svc_core.errors import from_os_error
from svc_core.hub import noted
from svc_core.hub.client import Hub
from svc_core.hub.contents import Entry, Member
from svc_core.hub.packing import Sharding, unpack
from svc_core.hub.repos import Repo
from svc_core.hub.snapshot import Snapshot, existing, scratch
from svc_core.manifest import FileRecord
from svc_core.place import Place


class Pulled(manifest.Record):
    """What a pull did: files and bytes written to the workspace, and entries that stood there already."""

    repo: str
    revision: str
    files: int
    bytes: int
    skipped: int


Choose = Callable[[Snapshot], Sequence[Entry]]
"""Which entries to pull, and of them which members."""


class Landing(Protocol):
    """What the kinds do each in its own way."""

    @property
    def repo(self) -> Repo: ...

    @property
    def place(self) -> Place: ...

    @property
    def shards(self) -> Sharding | None: ...

    def stands(self, entries: Sequence[Entry]) -> set[str]:
        """Keys of those entries that the workspace has with the same content. Raises BadInput for what it must keep."""

    def settle(self, entry: Entry, record: str | None, written: Mapping[str, FileRecord]) -> list[str]:
        """Writes the entry's record, its files being there; returns the keys of what it wrote."""


def pull(hub: Hub, landing: Landing, revision: str | None, choose: Choose | None = None) -> Pulled:
    """Brings what the repository holds at `revision` (default: main), or what is chosen of it, into the workspace.

    Everything is read at the one commit that the revision stands for when it begins.

    Raises:
        BadInput: there is no such repository or revision, or a raw file differs from the workspace's own.
        Damaged: a file is not what the manifest says, or a shard holds what it must not; no record then names it.
        ConfigError, Transient: the Hub may not be read, or cannot be reached; the same call goes on with what is there.
    """
    seen = existing(hub, landing.repo, revision)
    entries = list(seen.contents.entries if choose is None else choose(seen))
    standing = landing.stands(entries)
    noted.begin(landing.place, landing.repo)
    with scratch(landing.place.root, f"pull-{landing.repo.id.replace('/', '-')}", keep=True) as folder:
        work = _Pull(landing, seen, folder)
        try:
            work.run([entry for entry in entries if entry.key not in standing])
        except OSError as error:
            raise from_os_error(error, error.filename or landing.place.root) from error
    repo = landing.repo
    noted.note(landing.place, repo, pulled=seen.commit)
    return Pulled(
        repo=repo.id,
        revision=seen.commit,
        files=work.count,
        bytes=work.size,
        skipped=sum(one.key in standing for one in entries),
    )


@dataclass
class _Pull:
    landing: Landing
    seen: Snapshot
    folder: Path
    written: dict[str, FileRecord] = field(default_factory=dict)
    count: int = 0
    size: int = 0

    def run(self, entries: Sequence[Entry]) -> None:
        owner = {member.key: entry for entry in entries for member in entry.members}
        missing = {entry.key: len(entry.members) for entry in entries}
        by_path: dict[str, list[Member]] = defaultdict(list)
        for entry in entries:
            for member in entry.members:
                by_path[member.path].append(member)
            if not entry.members:
                self._settle(entry)
        # What says that the files of a release are whole goes last.
        for path in sorted(by_path, key=lambda name: (name == layout.SUMS_NAME, name)):
            for member in self._land(path, by_path[path]):
                entry = owner[member.key]
                missing[entry.key] -= 1
                if not missing[entry.key]:
                    self._settle(entry)

    def _land(self, path: str, members: Sequence[Member]) -> list[Member]:
        """Writes the members that lie in one file of the repository."""
        file = self.seen.fetch(self.seen.contents.by_path[path], self.folder)
        try:
            shards = self.landing.shards
            if shards is not None and shards.takes(members[0].key):
                unpack(shards.unpack, file, members, self._put)
            else:
                for member in members:
                    self._move(file, member)
        finally:
            file.unlink(missing_ok=True)
        return list(members)

    def _put(self, member: Member, data: bytes) -> None:
        files.write_bytes(layout.local(self.landing.place.root, member.key), data)
        self._count(member)

    def _move(self, file: Path, member: Member) -> None:
        target = layout.local(self.landing.place.root, member.key)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
        self._count(member)

    def _count(self, member: Member) -> None:
        self.written[member.key] = FileRecord.of(self.landing.place.root, member.key, member.sha256)
        self.count, self.size = self.count + 1, self.size + member.size

    def _settle(self, entry: Entry) -> None:
        here = self.landing.place
        record = self.seen.records.get(entry.key) if entry.record is not None else None
        mine = {member.key: self.written[member.key] for member in entry.members}
        keys = [*mine, *self.landing.settle(entry, record, mine)]
        here.take(keys)
        here.free(keys)


def stamped(record: object, written: Mapping[str, FileRecord]) -> object:
    """A stage's record with the stamps that its files have in this workspace."""

    def stamp(file: FileRecord) -> str | None:
        here = written.get(file.key)
        return here.stamp if here is not None and here.sha256 == file.sha256 else None

    return manifest.restamped(record, stamp)
