"""A part of a workspace -> its repository: what is new is sent, with the manifest in the commit of the last file.

Whatever other machines sent stays: entries are a union, and for the same key ours take the place of theirs. Every
commit names its parent; where somebody else was faster, the manifest is read again and merged with what they did.
No path ever changes its content while a manifest names it, so that a reader never meets half a push.
"""

import hashlib
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete

from svc_core import files, layout, manifest
from svc_core.errors import BadInput, Conflict, changed_meanwhile
from svc_core.hub import contents, noted
from svc_core.hub.client import Blob, Hub, Operation
from svc_core.hub.contents import Contents, Entry, HubFile, Member
from svc_core.hub.packing import Loose, Offer, Packed, Packing, Row, Sharding, in_shard, is_small, shard_groups, unpack
from svc_core.hub.snapshot import Snapshot, scratch, snapshot

COMMIT_FILES = 90
"""The Hub likes fewer than 100 files a commit."""
LAST_FILES = 10
"""Room in the last commit for manifest, records, card and examples."""
REPO_FILES = 98_000
SMALL_SHARDS = 16
"""So many shards of less than a quarter of the size are put together at the next push."""
TRIES = 24
_PAUSE_S, _LONGEST_S = 0.5, 8.0


class Pushed(manifest.Record):
    """What a push did: files and bytes of the repository that were new to it. `already`: there was nothing to send."""

    repo: str
    revision: str
    files: int
    bytes: int
    already: bool


def push(hub: Hub, packing: Packing) -> Pushed:
    """Sends what the repository lacks, in as many tries as other machines make necessary.

    Raises:
        BadInput: there is nothing to send, or the repository is not one of ours.
        ConfigError: no token with the right to write, offline, or a public repository where a private one was meant.
        Conflict, Transient: others keep changing it, or the Hub cannot be reached; what was sent is not sent again.
    """
    hub.check_writable()
    offers, repo = _offers(packing), packing.repo
    for attempt in range(TRIES):
        hub.create(repo)
        if (seen := snapshot(hub, repo)) is None:
            continue
        try:
            with scratch(packing.place.root, f"push-{repo.id.replace('/', '-')}") as folder:
                pushed = _Push(hub, packing, seen, offers, folder, seen.commit).run()
        except Conflict:
            time.sleep(random.uniform(0, min(_LONGEST_S, _PAUSE_S * 2**attempt)))  # noqa: S311
            continue
        noted.note(packing.place, repo, pushed=pushed.revision)
        return pushed
    raise Conflict(f"{repo.id} was changed by others {TRIES} times meanwhile: run the same command again")


def _offers(packing: Packing) -> dict[str, Offer]:
    """Raises BadInput where the workspace has nothing of this kind."""
    if offers := packing.offers():
        return offers
    repo = packing.repo
    first = f"put recordings into {layout.raw_dir(repo.name)}/" if repo.kind == "raw" else "run the stage that makes it"
    raise BadInput(f"{packing.place.name} has no {repo.kind} of {repo.name!r} to push: {first}")


def _kept(seen: Snapshot, offers: Mapping[str, Offer], packing: Packing) -> dict[str, Entry]:
    """Entries that stay as they are: not ours, or ours with the same content; and their files are really there.

    A member has one owner: an entry that holds some of ours (a recording that was moved gives the same clips) goes.
    """
    mine = {one.key for offer in offers.values() for one in offer.entry.members}
    outdated = packing.outdated(seen.contents.by_key.keys() - offers.keys())
    kept = {}
    for key, entry in seen.contents.by_key.items():
        ours = offers.get(key)
        if ours is None:
            taken = any(one.key in mine for one in entry.members)
            stays = not (packing.replaces or taken or key in outdated)
        else:
            stays = ours.entry.same(entry)
        if stays and _paths(entry) <= seen.whole:
            kept[key] = entry
    return kept


@dataclass
class _Push:
    """One try, on top of one commit; `parent` is the newest commit of ours."""

    hub: Hub
    packing: Packing
    seen: Snapshot
    offers: dict[str, Offer]
    folder: Path
    parent: str
    waiting: list[Operation] = field(default_factory=list)
    sent_files: int = 0
    sent_bytes: int = 0

    def run(self) -> Pushed:
        kept = _kept(self.seen, self.offers, self.packing)
        fresh = [offer for key, offer in self.offers.items() if key not in kept]
        if not fresh and kept.keys() == self.seen.contents.by_key.keys():
            return self._pushed(already=True)
        moved = self._to_move(kept)
        entries = {key: entry for key, entry in kept.items() if key not in moved}
        used = set[str]().union(*(_paths(entry) for entry in entries.values()))
        made = {path: file for path, file in self.seen.contents.by_path.items() if path in used}
        for packed in self._pack([*fresh, *moved.values()], made):
            if len(self.waiting) >= COMMIT_FILES - LAST_FILES and not self.packing.replaces:
                self._commit()
            made[packed.path] = self._add(packed.path, packed.file)
            if packed.passing:
                packed.file.unlink()
            elif made[packed.path].sha256 != packed.rows[0].member.sha256:
                raise changed_meanwhile(packed.file)
            _place_rows(packed, entries)
        for offer in (*fresh, *moved.values()):
            entries.setdefault(offer.entry.key, offer.entry)
        self._finish(entries, made)
        return self._pushed(already=False)

    def _to_move(self, kept: Mapping[str, Entry]) -> dict[str, Offer]:
        """What is packed again: its shard holds something outdated too, or is one of many small ones."""
        members = (one for entry in self.seen.contents.entries for one in entry.members)
        shards = {one.path for one in members if in_shard(self.packing.shards, one.key)}
        leaving = [entry for key, entry in self.seen.contents.by_key.items() if key not in kept]
        again = {path for entry in leaving for path in _paths(entry)} & shards
        again |= self._small(shards, kept)
        moving: list[Entry] = []
        while True:  # an entry takes along the other shards that it lies in
            moving = [entry for entry in kept.values() if _paths(entry) & again]
            wider = again | {path for entry in moving for path in _paths(entry)} & shards
            if wider == again:
                break
            again = wider
        absent = [entry for entry in moving if entry.key not in self.offers]
        self._bring_back(absent)
        theirs = {entry.key: Offer(entry, self.seen.records.get(entry.key)) for entry in absent}
        return {entry.key: self.offers.get(entry.key) or theirs[entry.key] for entry in moving}

    def _small(self, shards: Collection[str], kept: Mapping[str, Entry]) -> set[str]:
        by_path = self.seen.contents.by_path
        theirs = {path for key, entry in kept.items() if key not in self.offers for path in _paths(entry)}
        small = {path for path in shards if path not in theirs and is_small(by_path[path].size)}
        return small if len(small) >= SMALL_SHARDS else set()

    def _bring_back(self, entries: Sequence[Entry]) -> None:
        """Downloads what only the repository has, into the scratch folder under its own keys."""
        if (shards := self.packing.shards) is None:
            return
        members = [one for entry in entries for one in entry.members]
        for path in sorted({one.path for one in members}):
            shard = self.seen.fetch(self.seen.contents.by_path[path], self.folder / "shards")
            wanted = [one for one in members if one.path == path]
            unpack(shards.unpack, shard, wanted, lambda one, data: files.write_bytes(self._rescued(one.key), data))
            shard.unlink()

    def _rescued(self, key: str) -> Path:
        return self.folder / "theirs" / key

    def _read(self, key: str) -> bytes:
        rescued = self._rescued(key)
        return rescued.read_bytes() if rescued.is_file() else self.packing.place.read(key)

    def _pack(self, offers: Sequence[Offer], made: Mapping[str, HubFile]) -> Iterator[Packed]:
        rows = [
            Row(offer, one) for offer in sorted(offers, key=lambda one: one.entry.key) for one in offer.entry.members
        ]
        if (shards := self.packing.shards) is not None:
            yield from self._shards([row for row in rows if shards.takes(row.member.key)], shards)
        if (loose := self.packing.loose) is not None:
            alone = [row for row in rows if not in_shard(shards, row.member.key)]
            yield from self._as_they_are(alone, loose, made)

    def _shards(self, rows: Sequence[Row], shards: Sharding) -> Iterator[Packed]:
        here = self.packing.place
        for group in shard_groups(rows):
            keys = [row.member.key for row in group if not self._rescued(row.member.key).is_file()]
            here.bring(keys)
            packed = shards.build(group, self._read, self.folder)
            here.free(keys)
            yield packed

    def _as_they_are(self, rows: Sequence[Row], loose: Loose, made: Mapping[str, HubFile]) -> Iterator[Packed]:
        here = self.packing.place
        for row in rows:
            here.bring([row.member.key])
            path = loose.path_of(row.member, self._taken_for(row.member, made))
            yield Packed(path, here.root / row.member.key, [row], passing=False)
            here.free([row.member.key])

    def _taken_for(self, member: Member, made: Mapping[str, HubFile]) -> Callable[[str], bool]:
        """Says of a path whether another content lies there, also of a push that never came to its end."""
        local, before = self.packing.place.root / member.key, self.seen.contents.by_path

        def is_taken(path: str) -> bool:
            if file := made.get(path) or before.get(path):
                return file.sha256 != member.sha256
            blob = self.seen.tree.get(path)
            return blob is not None and not _is_there(blob, _described(path, local), local)

        return is_taken

    def _finish(self, entries: Mapping[str, Entry], made: dict[str, HubFile]) -> None:
        for path, example in self._examples(entries, made).items():
            made[path] = self._add(path, example)
        lines = {key: line for key in entries if (line := self._record(key)) is not None}
        if lines:
            made[contents.RECORDS] = self._add(contents.RECORDS, contents.records_bytes(lines))
        described = Contents(
            kind=self.packing.repo.kind,
            name=self.packing.repo.name,
            entries=tuple(sorted(entries.values(), key=lambda one: one.key)),
            files=tuple(sorted(made.values(), key=lambda one: one.path)),
        )
        if (card := self.packing.card(described, self.hub)) is not None:
            self._add(contents.CARD, card)
        dead = sorted(path for path in self.seen.contents.by_path if path not in made and path in self.seen.tree)
        if len(self.seen.tree) + self.sent_files - len(dead) > REPO_FILES:
            raise BadInput(f"{self.packing.repo.id} would hold more than {REPO_FILES} files: pack small ones together")
        contents.check(described, self.packing.repo)  # what a reader would refuse is never sent
        self._add(contents.FILE, described.to_bytes())
        # Old files go with the manifest that no longer names them, as many as its commit may hold.
        fitting = len(dead) if self.packing.replaces else max(COMMIT_FILES - len(self.waiting), 0)
        self._delete(dead[:fitting])
        for start in range(fitting, len(dead), COMMIT_FILES):
            self._delete(dead[start : start + COMMIT_FILES])

    def _examples(self, entries: Mapping[str, Entry], made: dict[str, HubFile]) -> dict[str, bytes]:
        """New ones only where none of those that are there belongs to a clip that stays."""
        names = {one.key.rpartition("/")[2] for entry in entries.values() for one in entry.members}
        for path, file in self.seen.contents.by_path.items():
            folder, _, name = path.rpartition("/")
            if folder == contents.EXAMPLES and name in names and path in self.seen.tree:
                made[path] = file
        has_some = any(path.startswith(f"{contents.EXAMPLES}/") for path in made)
        return {} if has_some else self.packing.examples(self.offers)

    def _record(self, key: str) -> str | None:
        ours = self.offers.get(key)
        return ours.record if ours is not None else self.seen.records.get(key)

    def _add(self, path: str, file: Path | bytes) -> HubFile:
        """Sends the content of a file where it is not there, for the next commit to name it."""
        described = _described(path, file)
        if not _is_there(self.seen.tree.get(path), described, file):
            addition = CommitOperationAdd(path, file)
            if not self.hub.preupload(self.packing.repo, addition) and isinstance(file, Path):
                # A small file that goes with the commit itself, which may come when the file is gone.
                addition.path_or_fileobj = file.read_bytes()
            self.waiting.append(addition)
            self.sent_files, self.sent_bytes = self.sent_files + 1, self.sent_bytes + described.size
        return described

    def _delete(self, paths: Sequence[str]) -> None:
        self.waiting += [CommitOperationDelete(path) for path in paths]
        self._commit()

    def _commit(self) -> None:
        repo = self.packing.repo
        if self.waiting:
            message = f"svc-jobs: {repo.kind} of {repo.name}, {len(self.waiting)} files"
            self.parent = self.hub.commit(repo, self.waiting, message, self.parent)
            self.waiting = []

    def _pushed(self, *, already: bool) -> Pushed:
        return Pushed(
            repo=self.packing.repo.id,
            revision=self.parent,
            files=self.sent_files,
            bytes=self.sent_bytes,
            already=already,
        )


def _paths(entry: Entry) -> set[str]:
    return {one.path for one in entry.members}


def _described(path: str, file: Path | bytes) -> HubFile:
    if isinstance(file, bytes):
        return HubFile(path=path, sha256=files.sha256_bytes(file), size=len(file))
    return HubFile(path=path, sha256=files.sha256_file(file), size=file.stat().st_size)


def _is_there(blob: Blob | None, described: HubFile, file: Path | bytes) -> bool:
    """Whether the Hub has this very content: it names large files by sha256, small ones as git does."""
    if blob is None or blob.size != described.size:
        return False
    if blob.sha256 is not None:
        return blob.sha256 == described.sha256
    data = file if isinstance(file, bytes) else file.read_bytes()
    return hashlib.sha1(b"blob %d\0%b" % (len(data), data), usedforsecurity=False).hexdigest() == blob.git_sha1


def _place_rows(packed: Packed, entries: dict[str, Entry]) -> None:
    """Writes into the entries which file these members lie in."""
    for row in packed.rows:
        key = row.offer.entry.key
        entry = entries.get(key) or row.offer.entry.model_copy(update={"members": ()})
        member = row.member.model_copy(update={"path": packed.path})
        entries[key] = entry.model_copy(update={"members": (*entry.members, member)})
