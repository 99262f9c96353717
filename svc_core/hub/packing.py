"""What the kinds of repositories do each in its own way, and how files are divided into shards."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from svc_core import files
from svc_core.errors import Damaged, changed_meanwhile
from svc_core.hub.client import Hub
from svc_core.hub.contents import Contents, Entry, Member
from svc_core.hub.repos import Repo
from svc_core.place import Place

SHARD_BYTES = 400_000_000
"""A shard is closed before it would pass this; the Hub likes 256 to 512 MB."""


class Offer(NamedTuple):
    """An entry that the workspace has, its members still without a path; and its record, where it has one."""

    entry: Entry
    record: str | None = None


class Row(NamedTuple):
    """One file on its way into the repository."""

    offer: Offer
    member: Member


class Packed(NamedTuple):
    """One file for the repository, and the rows that lie in it. `passing`: the file goes once it is sent."""

    path: str
    file: Path
    rows: Sequence[Row]
    passing: bool


Read = Callable[[str], bytes]
"""The content of a member's key."""
Put = Callable[[Member, bytes], None]
Open = Callable[[Path, Mapping[str, Member], Put], None]
"""Hands over the wanted members of a shard by key."""


class Sharding(Protocol):
    """Many files of the workspace in one of the repository."""

    def takes(self, key: str) -> bool:
        """Whether a file goes into a shard; others travel as they are."""

    def build(self, rows: Sequence[Row], read: Read, folder: Path) -> Packed:
        """One shard of these rows, below `folder`. Equal rows give equal bytes."""

    def unpack(self, shard: Path, wanted: Mapping[str, Member], put: Put) -> None:
        """Hands over the wanted members by key. Raises Damaged for a shard that holds anything unexpected."""


class Loose(Protocol):
    """Files of the workspace that travel as they are."""

    def path_of(self, member: Member, is_taken: Callable[[str], bool]) -> str:
        """Where the file goes. `is_taken`: another content lies, or lay, under a path."""


class Packing(Protocol):
    """What a kind of repository decides for itself."""

    @property
    def repo(self) -> Repo: ...

    @property
    def place(self) -> Place: ...

    @property
    def replaces(self) -> bool:
        """Whether entries that the workspace does not have leave the repository: a release is a whole."""

    def offers(self) -> dict[str, Offer]:
        """By key, what the workspace has and vouches for."""

    def outdated(self, keys: Collection[str]) -> set[str]:
        """Which entries of the repository the workspace knows to be of something that is no more."""

    @property
    def shards(self) -> Sharding | None:
        """None where every file travels as it is."""

    @property
    def loose(self) -> Loose | None:
        """None where every file goes into a shard."""

    def card(self, made: Contents, hub: Hub) -> bytes | None:
        """README.md, None where it is a file of the part itself."""

    def examples(self, offers: Mapping[str, Offer]) -> dict[str, bytes]:
        """By path, some sounds to hear on the card."""


def in_shard(shards: Sharding | None, key: str) -> bool:
    return shards is not None and shards.takes(key)


def unpack(
    opened: Callable[[Path, Mapping[str, Member], Put], None], shard: Path, wanted: Sequence[Member], put: Put
) -> None:
    """Hands over all of the wanted members. Raises Damaged where one is absent, or not what the manifest says."""
    by_key = {member.key: member for member in wanted}
    missing = set(by_key)

    def check(member: Member, data: bytes) -> None:
        if len(data) != member.size or files.sha256_bytes(data) != member.sha256:
            raise Damaged(f"{member.key} in {member.path} is not what its manifest says: push it again")
        missing.discard(member.key)
        put(member, data)

    opened(shard, by_key, check)
    if missing:
        raise Damaged(f"{by_key[min(missing)].path} lacks {min(missing)}: push it again")


def is_small(size: int) -> bool:
    """Whether a shard of so many bytes is better put together with others."""
    return size < SHARD_BYTES / 4


def read_member(row: Row, read: Read) -> bytes:
    """The file's content. Raises BadInput where it is no longer the recorded one."""
    data = read(row.member.key)
    if files.sha256_bytes(data) != row.member.sha256:
        raise changed_meanwhile(row.member.key)
    return data


def shard_groups(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows in their order, cut before a group would pass SHARD_BYTES; an entry stays together where it fits alone."""
    group: list[Row] = []
    size = 0
    for unit in _units(rows):
        weight = sum(row.member.size for row in unit)
        if group and size + weight > SHARD_BYTES:
            yield group
            group, size = [], 0
        group, size = [*group, *unit], size + weight
    if group:
        yield group


def _units(rows: Sequence[Row]) -> Iterator[list[Row]]:
    by_entry: dict[str, list[Row]] = {}
    for row in rows:
        by_entry.setdefault(row.offer.entry.key, []).append(row)
    for unit in by_entry.values():
        if sum(row.member.size for row in unit) <= SHARD_BYTES:
            yield unit
        else:
            yield from ([row] for row in unit)
