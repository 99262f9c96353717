"""Straight through: clips go to the Hub as they are made, and come back for as long as a stage works on them.

At most one shard of clips lies in the workspace at a time while slicing. Records stay there, so that every stage knows
what is done; whether a clip is really on the Hub is asked of its manifest, at one commit.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from jobs.console import StageResult
from jobs.session import Session
from jobs.workspace import Workspace
from svc_core import files, layout
from svc_core.errors import BadInput
from svc_core.hub import Hub, Repo, push_sliced, tables
from svc_core.hub.contents import Member
from svc_core.hub.packing import SHARD_BYTES
from svc_core.hub.snapshot import Snapshot, scratch, snapshot
from svc_core.manifest import FileRecord
from svc_core.raw import RawFiles

_AT_ONCE = 100
"""So many clips are brought in before it is asked whether they make a shard."""


@contextmanager
def straight_through(session: Session, hub: Hub) -> Iterator[Session]:
    """The session with its clips on the Hub. On a clean exit all are sent; none stays in the workspace.

    Raises ConfigError where the Hub may not be written, Transient where it cannot be reached: the clips that are not
    there yet stay, and the same command sends them.
    """
    hub.check_writable()
    workspace = HubWorkspace(session.workspace, hub)
    try:
        yield replace(session, workspace=workspace)
        workspace.collect(session.config().spk)
        workspace.send()
    finally:
        workspace.forget_fetched()


class HubWorkspace:
    """A workspace whose clips lie in `sliced-<speaker>`; all else is where it was."""

    def __init__(self, inner: Workspace, hub: Hub) -> None:
        self._inner, self._hub = inner, hub
        self.root, self.name = inner.root, inner.name
        self._seen: dict[str, Snapshot | None] = {}
        self._there: dict[str, Member] = {}
        self._fetched: set[str] = set()
        self._held: dict[str, int] = {}

    @property
    def raw(self) -> RawFiles:
        return self._inner.raw

    def keys(self, folder: str) -> list[str]:
        inside = {key for key in self._there if key.startswith(f"{folder}/")}
        return sorted(inside.union(self._inner.keys(folder)))

    def bring(self, keys: Iterable[str]) -> None:
        asked = list(keys)
        self._inner.bring(asked)
        absent = [self._there[key] for key in asked if self._on_hub(key) and not (self.root / key).is_file()]
        by_path: dict[str, list[Member]] = {}
        for member in absent:
            by_path.setdefault(member.path, []).append(member)
        for path, members in sorted(by_path.items()):
            self._fetch(path, members)

    def check(self, record: FileRecord) -> FileRecord | None:
        if here := self._inner.check(record):
            return here
        return record if self._on_hub(record.key) and self._there[record.key].sha256 == record.sha256 else None

    def take(self, keys: Sequence[str]) -> None:
        self._inner.take([key for key in keys if not _is_clip(key)])
        for key in keys:
            if _is_clip(key) and key not in self._fetched and (path := self.root / key).is_file():
                self._held[key] = path.stat().st_size
        if sum(self._held.values()) >= SHARD_BYTES:
            self.send()

    def drop(self, keys: Sequence[str]) -> None:
        self._inner.drop(keys)
        for key in keys:
            self._there.pop(key, None)
            self._held.pop(key, None)
            self._fetched.discard(key)

    def free(self, keys: Iterable[str]) -> None:
        asked = list(keys)
        self._inner.free(key for key in asked if key not in self._fetched)
        for key in self._fetched.intersection(asked):
            layout.local(self.root, key).unlink(missing_ok=True)
            self._fetched.discard(key)

    def holding(self, stage: str, shard: str = "") -> AbstractContextManager[None]:
        return self._inner.holding(stage, shard)

    def check_alone(self) -> None:
        self._inner.check_alone()

    def standing(self, stage: str, request: Any, reads: Sequence[str]) -> StageResult | None:
        return self._inner.standing(stage, request, reads)

    def settle(self, stage: str, request: Any, reads: Sequence[str], result: StageResult) -> None:
        self._inner.settle(stage, request, reads, result)

    def collect(self, speakers: Iterable[str]) -> None:
        """Counts clips that an earlier command left here as made."""
        for speaker in speakers:
            here = [key for key in self._inner.keys(layout.wavs_dir(speaker)) if _is_clip(key)]
            for start in range(0, len(here), _AT_ONCE):
                self._inner.bring(here[start : start + _AT_ONCE])
                self.take(here[start : start + _AT_ONCE])

    def send(self) -> None:
        """Sends the clips that were made, and removes those that the Hub's manifest then names."""
        speakers = sorted({layout.parse_wav_key(key).speaker for key in self._held})
        for speaker in speakers:
            push_sliced(self, speaker, self._hub)
            self._look(speaker)
        for key in list(self._held):
            if (member := self._there.get(key)) and files.sha256_file(self.root / key) == member.sha256:
                self._inner.drop([key])
                del self._held[key]

    def forget_fetched(self) -> None:
        self.free(list(self._fetched))

    def _on_hub(self, key: str) -> bool:
        if not _is_clip(key):
            return False
        speaker = layout.parse_wav_key(key).speaker
        if speaker not in self._seen:
            self._look(speaker)
        return key in self._there

    def _look(self, speaker: str) -> None:
        seen = self._seen[speaker] = snapshot(self._hub, Repo("sliced", self._hub.namespace, speaker))
        self._there = {key: one for key, one in self._there.items() if layout.parse_wav_key(key).speaker != speaker}
        if seen is not None:
            self._there |= {one.key: one for entry in seen.contents.entries for one in entry.members}

    def _fetch(self, path: str, members: Sequence[Member]) -> None:
        seen = self._seen[layout.parse_wav_key(members[0].key).speaker]
        if seen is None:
            raise BadInput(f"{members[0].key} is no longer on the Hub: run slice again")

        def put(member: Member, data: bytes) -> None:
            files.write_bytes(layout.local(self.root, member.key), data)
            self._fetched.add(member.key)

        with scratch(self.root, f"clips-{Path(path).stem}", keep=True) as folder:
            shard = seen.fetch(seen.contents.by_path[path], folder)
            tables.read_table(shard, {one.key: one for one in members}, put)


def _is_clip(key: str) -> bool:
    try:
        layout.parse_wav_key(key)
    except BadInput:
        return False
    return True
