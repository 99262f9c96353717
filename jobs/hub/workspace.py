"""Straight through: clips go to the Hub from memory, and come back for as long as a stage works on them.

Records are in the workspace, so that every stage knows what is done, but not before the Hub's manifest names the clips
that they speak of; whether those are still there is asked of that manifest, at one commit.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

from jobs.console import StageResult
from jobs.session import Session
from jobs.workspace import Workspace
from svc_core import files, layout
from svc_core.audio.prepare import RecordingRecord
from svc_core.errors import BadInput, Conflict
from svc_core.hub import Hub, Repo, push_sliced, tables
from svc_core.hub.contents import Member
from svc_core.hub.noted import note
from svc_core.hub.packing import SHARD_BYTES, unpack
from svc_core.hub.snapshot import Snapshot, scratch, snapshot
from svc_core.manifest import FileRecord
from svc_core.raw import RawFiles


@contextmanager
def clips_to_hub(session: Session, hub: Hub) -> Iterator[Session]:
    """The session of a stage that makes clips. On a clean exit all are on the Hub, and none is in the workspace.

    Raises ConfigError where the Hub may not be written, Transient where it cannot be reached, Conflict where another
    machine sent other clips of the same recording: the same command makes and sends what is not there.
    """
    hub.check_writable()
    with _opened(session, hub) as workspace:
        left = workspace.clips_here(session.config().spk)
        yield replace(session, workspace=workspace)
        workspace.clear(left)


@contextmanager
def clips_from_hub(session: Session, hub: Hub) -> Iterator[Session]:
    """The session of a stage that reads clips. What is brought from the Hub is gone at the end."""
    with _opened(session, hub) as workspace:
        yield replace(session, workspace=workspace)


@contextmanager
def _opened(session: Session, hub: Hub) -> Iterator["HubWorkspace"]:
    workspace = HubWorkspace(session.workspace, hub)
    try:
        yield workspace
    finally:
        workspace.close()


class HubWorkspace:
    """A workspace whose clips lie in `sliced-<speaker>`; all else is where it was."""

    def __init__(self, inner: Workspace, hub: Hub) -> None:
        self._inner, self._hub = inner, hub
        self.root, self.name = inner.root, inner.name
        self._seen: dict[str, Snapshot | None] = {}
        self._there: dict[str, Member] = {}
        self._fetched: set[str] = set()
        self._made = _Made(inner.root)

    @property
    def raw(self) -> RawFiles:
        return self._inner.raw

    def keys(self, folder: str) -> list[str]:
        inside = {key for key in (*self._there, *self._made.records) if key.startswith(f"{folder}/")}
        return sorted(inside.union(self._inner.keys(folder)))

    def bring(self, keys: Iterable[str]) -> None:
        asked = [key for key in keys if key not in self._made.records]
        self._inner.bring(asked)
        by_path: dict[str, list[Member]] = {}
        for key in asked:
            if key not in self._fetched and self._on_hub(key) and not self._is_here(self._there[key]):
                by_path.setdefault(self._there[key].path, []).append(self._there[key])
        for path, members in sorted(by_path.items()):
            self._fetch(path, members)

    def check(self, record: FileRecord) -> FileRecord | None:
        if (made := self._made.records.get(record.key)) is not None:
            return made if made.sha256 == record.sha256 else None
        if here := self._inner.check(record):
            return here
        return record if self._holds(record) else None

    def read(self, key: str) -> bytes:
        return self._made.read(key) if key in self._made.records else self._inner.read(key)

    def write(self, key: str, data: bytes, *, durable: bool = False) -> FileRecord:
        """Keeps a clip, or the record of a recording's clips, until the clips are sent."""
        return self._made.write(key, data)

    def take(self, keys: Sequence[str]) -> None:
        made = self._made.records.keys() & set(keys)
        self._inner.take([key for key in keys if key not in made and not _is_clip(key)])
        if made and self._made.size >= SHARD_BYTES:
            self.send()

    def drop(self, keys: Sequence[str]) -> None:
        self._inner.drop(keys)
        for key in keys:
            self._there.pop(key, None)
            self._made.records.pop(key, None)
            self._fetched.discard(key)

    def free(self, keys: Iterable[str]) -> None:
        asked = list(keys)
        self._inner.free(key for key in asked if key not in self._fetched)
        for key in self._fetched.intersection(asked):
            layout.local(self.root, key).unlink(missing_ok=True)
            self._fetched.discard(key)

    @contextmanager
    def holding(self, stage: str, shard: str = "") -> Iterator[None]:
        with self._inner.holding(stage, shard):
            try:
                yield
            except BadInput:
                self.send()  # the recordings that can be used are done all the same
                raise
            self.send()

    def check_alone(self) -> None:
        self._inner.check_alone()

    def standing(self, stage: str, request: Any, reads: Sequence[str]) -> StageResult | None:
        return self._inner.standing(stage, request, reads)

    def settle(self, stage: str, request: Any, reads: Sequence[str], result: StageResult) -> None:
        self._forget_fetched()  # or they would be stored with what the stage made
        self._inner.settle(stage, request, reads, result)

    def send(self) -> None:
        """Sends the clips that were made, and then stores their records."""
        if not self._made.records:
            return
        clips, kept = list[FileRecord](), dict[str, RecordingRecord]()
        for key, one in self._made.records.items():
            if _is_clip(key):
                clips.append(one)
            elif record := RecordingRecord.parse(self._made.read(key)):
                kept[key] = record
        self._push([one for one in kept.values() if one.error is None])
        if other := [one.key for one in clips if not self._holds(one)]:
            raise Conflict(f"{other[0]} was replaced on the Hub by another machine meanwhile: run slice again")
        # What an earlier command left under the same keys is of other settings, or equal.
        self._inner.drop([one.key for one in clips])
        for key, record in kept.items():
            self._inner.write(key, record.to_bytes(), durable=True)
        self._made.clear()
        self._inner.take(list(kept))

    def clips_here(self, speakers: Iterable[str]) -> list[str]:
        """Clips of the workspace itself."""
        return [key for speaker in speakers for key in self._inner.keys(layout.wavs_dir(speaker)) if _is_clip(key)]

    def clear(self, clips: Iterable[str]) -> None:
        """Sends clips that an earlier command left here, and removes those that the Hub has."""
        left = set(clips)
        records = [one for name in {layout.parse_wav_key(key).speaker for key in left} for one in self._records(name)]
        self._push([one for one in records if any(clip.file.key in left for clip in one.clips)])
        self._inner.drop([key for key in left if self._on_hub(key) and self._is_here(self._there[key])])

    def close(self) -> None:
        """Forgets what was not sent, and removes what was brought from the Hub."""
        self._made.close()
        self._forget_fetched()

    def _forget_fetched(self) -> None:
        self.free(list(self._fetched))

    def _records(self, speaker: str) -> Iterator[RecordingRecord]:
        """Of the speaker's recordings whose clips are all there, as recorded."""
        keys = self._inner.keys(layout.slice_manifests_dir(speaker))
        self._inner.bring(keys)
        for key in keys:
            record = RecordingRecord.parse(self._inner.read(key))
            if record is not None and record.error is None and all(self.check(clip.file) for clip in record.clips):
                yield record

    def _push(self, records: Iterable[RecordingRecord]) -> None:
        """Sends the clips of these records alone: what others say may be of settings that are no more."""
        by_speaker: dict[str, list[str]] = {}
        for record in records:
            by_speaker.setdefault(record.speaker, []).append(record.source.key)
        for speaker, recordings in by_speaker.items():
            push_sliced(self, speaker, self._hub, recordings)
            self._look(speaker)

    def _is_here(self, member: Member) -> bool:
        """Whether the workspace itself has what the Hub has."""
        record = FileRecord(key=member.key, sha256=member.sha256, size=member.size, stamp="")
        return self._inner.check(record) is not None

    def _holds(self, record: FileRecord) -> bool:
        return self._on_hub(record.key) and self._there[record.key].sha256 == record.sha256

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
            members = (one for entry in seen.contents.entries for one in entry.members)
            self._there |= {one.key: one for one in members if one.path in seen.whole}

    def _fetch(self, path: str, members: Sequence[Member]) -> None:
        seen = self._seen[layout.parse_wav_key(members[0].key).speaker]
        if seen is None:
            raise BadInput(f"{members[0].key} is no longer on the Hub: run slice again")

        def put(member: Member, data: bytes) -> None:
            files.write_bytes(layout.local(self.root, member.key), data)
            self._fetched.add(member.key)

        with scratch(self.root, f"clips-{Path(path).stem}", keep=True) as folder:
            shard = seen.fetch(seen.contents.by_path[path], folder)
            unpack(tables.read_table, shard, members, put)
        note(self._inner, seen.repo, pulled=seen.commit)


class _Made:
    """Files that were never written, in memory up to the size of a shard.

    What a long recording gives beyond that goes to a file without a name, which the system removes with the process.
    """

    def __init__(self, folder: Path) -> None:
        self._new = partial(SpooledTemporaryFile[bytes], max_size=SHARD_BYTES, dir=str(folder))
        self._data = self._new()
        self.records: dict[str, FileRecord] = {}
        self._starts: dict[str, int] = {}
        self.size = 0

    def clear(self) -> None:
        self.close()
        self._data, self.size = self._new(), 0
        self.records.clear()
        self._starts.clear()

    def close(self) -> None:
        self._data.close()

    def write(self, key: str, data: bytes) -> FileRecord:
        self._data.seek(self.size)
        self._data.write(data)
        self._starts[key], self.size = self.size, self.size + len(data)
        # Without a stamp: whoever has the file later compares its content.
        made = FileRecord(key=key, sha256=files.sha256_bytes(data), size=len(data), stamp="")
        self.records[key] = made
        return made

    def read(self, key: str) -> bytes:
        self._data.seek(self._starts[key])
        return self._data.read(self.records[key].size)


def _is_clip(key: str) -> bool:
    try:
        layout.parse_wav_key(key)
    except BadInput:
        return False
    return True
