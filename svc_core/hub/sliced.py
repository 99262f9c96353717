"""`sliced-<speaker>`: the clips in parquet, with the records of the slice stage."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from svc_core import layout
from svc_core.audio.prepare import RecordingRecord, settings_fingerprint
from svc_core.config import RATE_HZ
from svc_core.errors import Damaged
from svc_core.filelists import Filelists
from svc_core.hub import cards, contents, tables
from svc_core.hub.client import Hub
from svc_core.hub.contents import Contents, Entry, Member
from svc_core.hub.packing import Offer, Packed, Put, Read, Row, Sharding, read_member
from svc_core.hub.pull import Pulled, pull, stamped
from svc_core.hub.push import Pushed, push
from svc_core.hub.repos import Repo
from svc_core.hub.sharing import check_shareable, owner_facts, recorded_config
from svc_core.hub.snapshot import Snapshot
from svc_core.manifest import FileRecord
from svc_core.place import Place, as_place

EXAMPLES = 3


def push_sliced(root: Path | Place, speaker: str, hub: Hub, recordings: Collection[str] | None = None) -> Pushed:
    """Sends the speaker's clips, as their records vouch for them, to `<namespace>/sliced-<speaker>`.

    A recording that was cut anew takes the place of its old clips. With `recordings` only the clips of those keys are
    sent. Raises as `svc_core.hub.push.push`, and ConfigError where it would be public and no consent to sharing
    recordings is on record.
    """
    place = as_place(root)
    check_shareable(place, speaker, hub)
    return push(hub, Sliced(Repo("sliced", hub.namespace, layout.check_speaker(speaker)), place, recordings))


def pull_sliced(
    root: Path | Place,
    speaker: str,
    hub: Hub,
    revision: str | None = None,
    made_from: Mapping[str, str] | None = None,
    settings: str | None = None,
) -> Pulled:
    """Brings clips and records of `<namespace>/sliced-<speaker>` into the workspace.

    Args:
        made_from: only clips of these recordings, key -> sha256, with just this content.
        settings: only clips that were cut with settings of this fingerprint.
    Raises as `svc_core.hub.pull.pull`.
    """

    def choose(seen: Snapshot) -> list[Entry]:
        found = [one for one in seen.contents.entries if settings in (None, one.inputs.get("settings"))]
        return [one for one in found if made_from is None or made_from.get(one.key) == one.inputs.get("source")]

    return pull(
        hub, Sliced(Repo("sliced", hub.namespace, layout.check_speaker(speaker)), as_place(root)), revision, choose
    )


@dataclass(frozen=True)
class Sliced:
    repo: Repo
    place: Place
    recordings: Collection[str] | None = None
    replaces = False
    loose = None

    @property
    def shards(self) -> Sharding:
        return self

    def offers(self) -> dict[str, Offer]:
        """Recordings that were cut without error and whose clips are all there, as recorded.

        A recording that was moved left a record with the same clips: the one that is still in raw/ has them.
        """
        found, owned = dict[str, Offer](), set[str]()
        there = {file.key for file in self.place.raw.files(self.repo.name)}
        for key, record in sorted(self._records().items(), key=lambda item: (item[0] not in there, item[0])):
            clips = {clip.file.key for clip in record.clips}
            if record.error is None and record.source.size >= 0 and not clips & owned and all(self._is_whole(record)):
                found[key] = offer(record)
                owned |= clips
        return found

    def outdated(self, keys: Collection[str]) -> set[str]:
        return set()

    def takes(self, key: str) -> bool:
        return True

    def build(self, rows: Sequence[Row], read: Read, folder: Path) -> Packed:
        shard = folder / "shard.parquet"
        tables.write_table(shard, (self._row(row, read_member(row, read)) for row in rows))
        return Packed(f"{contents.TABLES}/{tables.shard_name(shard)}", shard, rows, passing=True)

    def unpack(self, shard: Path, wanted: Mapping[str, Member], put: Put) -> None:
        tables.read_table(shard, wanted, put)

    def card(self, made: Contents, hub: Hub) -> bytes:
        prints = sorted({entry.inputs["settings"] for entry in made.entries})
        settings = {"fingerprint": ", ".join(f"`{one}`" for one in prints)}
        config = recorded_config(self.place)
        if config and prints == [settings_fingerprint(config.svc_jobs.slice, config.svc_jobs.loudness)]:
            blocks = {"slice": config.svc_jobs.slice, "loudness": config.svc_jobs.loudness}
            settings |= {f"{name}.{key}": str(one) for name, block in blocks.items() for key, one in block}
        return cards.sliced_card(self.repo, made, hub, owner_facts(self.place, self.repo.name), settings)

    def examples(self, offers: Mapping[str, Offer]) -> dict[str, bytes]:
        keys = [one.key for offer in offers.values() for one in offer.entry.members][:EXAMPLES]
        self.place.bring(keys)
        return {f"{contents.EXAMPLES}/{key.rpartition('/')[2]}": self.place.read(key) for key in keys}

    def stands(self, entries: Sequence[Entry]) -> set[str]:
        here = self.offers()
        return {one.key for one in entries if one.key in here and here[one.key].entry.same(one)}

    def settle(self, entry: Entry, record: str | None, written: Mapping[str, FileRecord]) -> list[str]:
        made = self._parse(entry, record)
        before = self._record(layout.slice_manifest(entry.key))
        kept = {clip.file.key for clip in made.clips}
        for clip in before.clips if before else ():
            if clip.file.key not in kept:
                wav = clip.file.key
                self.place.drop([layout.features_manifest(wav), *layout.sidecar_keys(wav), wav])
        key = layout.slice_manifest(entry.key)
        RecordingRecord.model_validate(stamped(made.model_dump(mode="json"), written)).write(self.place.root / key)
        return [key]

    def _parse(self, entry: Entry, record: str | None) -> RecordingRecord:
        """Raises Damaged where the record is not that of this entry and its members."""
        try:
            made = RecordingRecord.model_validate_json(record or "")
        except ValidationError:
            made = None
        if (
            made is None
            or (made.source.key, made.speaker) != (entry.key, self.repo.name)
            or layout.recording_speaker(entry.key) != self.repo.name
            or {clip.file.key: clip.file.sha256 for clip in made.clips}
            != {one.key: one.sha256 for one in entry.members}
        ):
            raise Damaged(f"{self.repo.id} holds a record of {entry.key!r} that does not fit its clips: push it again")
        return made

    def _records(self) -> dict[str, RecordingRecord]:
        if self.recordings is None:
            keys = self.place.keys(layout.slice_manifests_dir(self.repo.name))
        else:
            keys = [layout.slice_manifest(key) for key in self.recordings]
        self.place.bring(keys)
        return {record.source.key: record for key in keys if (record := self._record(key)) is not None}

    def _record(self, key: str) -> RecordingRecord | None:
        self.place.bring([key])
        try:
            return RecordingRecord.parse(self.place.read(key))
        except FileNotFoundError:
            return None

    def _is_whole(self, record: RecordingRecord) -> Iterator[bool]:
        return (self.place.check(clip.file) is not None for clip in record.clips)

    def _row(self, row: Row, data: bytes) -> dict[str, Any]:
        clips = {one["file"]["key"]: one for one in json.loads(row.offer.record or "{}").get("clips", ())}
        clip, key = clips[row.member.key], row.member.key
        return {
            "audio": {"bytes": data, "path": key.rpartition("/")[2]},
            "speaker": self.repo.name,
            "source": row.offer.entry.key,
            "offset_s": clip["start_ms"] / 1000,
            "seconds": clip["samples"] / RATE_HZ,
            "split": self._sides.get(key),
            "clip": key,
            "sha256": row.member.sha256,
        }

    @cached_property
    def _sides(self) -> dict[str, str]:
        """train or val by clip, as the lists say now; a clip in none of them has no split."""
        self.place.bring([layout.FILELISTS_PLAN])
        plan = Filelists.read(self.place.root / layout.FILELISTS_PLAN)
        return {clip.key: clip.side for clip in plan.clips} if plan else {}


def offer(record: RecordingRecord) -> Offer:
    """What a recording's record promises, without a look at its files."""
    line = contents.record_line(record.model_dump(mode="json"))
    members = tuple(
        Member(key=clip.file.key, sha256=clip.file.sha256, size=clip.file.size, path="") for clip in record.clips
    )
    inputs = {"source": record.source.sha256, "settings": record.settings}
    entry = Entry(key=record.source.key, members=members, inputs=inputs, record=contents.record_digest(line))
    return Offer(entry, line)
