"""`features-<speaker>`: sidecars in tar files, with the records of the features stage and the pins of its models."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svc_core import files, layout, manifest
from svc_core.audio.prepare import RecordingRecord
from svc_core.errors import Damaged
from svc_core.hub import cards, contents, tars
from svc_core.hub.client import Hub
from svc_core.hub.contents import Contents, Entry, Member
from svc_core.hub.packing import Loose, Offer, Packed, Put, Read, Row, Sharding, read_member
from svc_core.hub.pull import Pulled, pull, stamped
from svc_core.hub.push import Pushed, push
from svc_core.hub.repos import Repo
from svc_core.hub.sharing import check_shareable, owner_facts, recorded_config
from svc_core.hub.snapshot import Snapshot
from svc_core.manifest import FileRecord
from svc_core.place import Place, as_place


def push_features(root: Path | Place, speaker: str, hub: Hub) -> Pushed:
    """Sends the sidecars of the speaker's clips, as their records vouch for them, to `<namespace>/features-<speaker>`.

    Raises as `svc_core.hub.push.push`, and ConfigError where it would be public and no consent to sharing recordings is
    on record.
    """
    place = as_place(root)
    check_shareable(place, speaker, hub)
    return push(hub, Features(Repo("features", hub.namespace, layout.check_speaker(speaker)), place))


def pull_features(
    root: Path | Place,
    speaker: str,
    hub: Hub,
    revision: str | None = None,
    made_from: Mapping[str, str] | None = None,
    parts: Mapping[str, str] | None = None,
) -> Pulled:
    """Brings sidecars, their records and missing model pins of `<namespace>/features-<speaker>` into the workspace.

    Args:
        made_from: only of these clips, key of the wav -> sha256, with just this content.
        parts: only parts that were made with settings of these fingerprints, part -> fingerprint.
    Raises as `svc_core.hub.pull.pull`.
    """

    def choose(seen: Snapshot) -> list[Entry]:
        found = [one for one in seen.contents.entries if not layout.is_model_pin(one.key)]
        found = [one for one in found if made_from is None or made_from.get(one.key) == one.inputs.get("wav")]
        return pins_of(seen) + [one for entry in found if (one := _only(entry, seen.records[entry.key], parts))]

    def pins_of(seen: Snapshot) -> list[Entry]:
        return [one for one in seen.contents.entries if layout.is_model_pin(one.key)] if made_from is None else []

    repo = Repo("features", hub.namespace, layout.check_speaker(speaker))
    return pull(hub, Features(repo, as_place(root)), revision, choose)


def pull_model_pins(root: Path | Place, speaker: str, hub: Hub, keys: Sequence[str]) -> Pulled:
    """Brings those pins of pretrained models that the workspace lacks. Raises as `svc_core.hub.pull.pull`."""
    repo = Repo("features", hub.namespace, layout.check_speaker(speaker))
    return pull(
        hub,
        Features(repo, as_place(root)),
        None,
        lambda seen: [one for one in seen.contents.entries if one.key in keys],
    )


@dataclass(frozen=True)
class Features:
    repo: Repo
    place: Place
    replaces = False

    @property
    def shards(self) -> Sharding:
        return self

    @property
    def loose(self) -> Loose:
        return self

    def offers(self) -> dict[str, Offer]:
        """Clips with a record of which every file is there, and the pins of the pretrained models."""
        found = {}
        for wav, value in self._values().items():
            records = list(_files(value))
            if records and all(self.place.check(one) is not None for one in records):
                found[wav] = offer(wav, value)
        if found:
            found |= {key: self._pin(key) for key in self._pins()}
        return found

    def outdated(self, keys: Collection[str]) -> set[str]:
        """Of clips that a recording of the workspace gave with other settings, and gives no longer."""
        manifests = self.place.keys(layout.slice_manifests_dir(self.repo.name))
        self.place.bring(manifests)
        records = [one for key in manifests if (one := RecordingRecord.read(self.place.root / key)) is not None]
        cut = {_recording_of(layout.clip_name(one.source.key, one.source.sha256, 0)) for one in records}
        clips = {clip.file.key for one in records for clip in one.clips}
        others = {key for key in keys if not layout.is_model_pin(key)} - clips
        return {key for key in others if _recording_of(layout.parse_wav_key(key).clip) in cut}

    def takes(self, key: str) -> bool:
        return not layout.is_model_pin(key)

    def build(self, rows: Sequence[Row], read: Read, folder: Path) -> Packed:
        shard = folder / "shard.tar"
        tars.write_tar(shard, (tars.Content(row.member.key, read_member(row, read)) for row in rows))
        path = f"{contents.SHARDS}/{files.sha256_file(shard)[:16]}.tar"
        return Packed(path, shard, rows, passing=True)

    def unpack(self, shard: Path, wanted: Mapping[str, Member], put: Put) -> None:
        tars.read_tar(shard, wanted, put)

    def path_of(self, member: Member, is_taken: Callable[[str], bool]) -> str:
        return f"{contents.PINS}/{member.key.rpartition('/')[2]}"

    def card(self, made: Contents, hub: Hub) -> bytes:
        config = recorded_config(self.place)
        models = (
            {"content": config.encoder, "pitch": config.svc_jobs.features.f0_predictor} if config is not None else {}
        )
        return cards.features_card(self.repo, made, hub, owner_facts(self.place, self.repo.name), models)

    def examples(self, offers: Mapping[str, Offer]) -> dict[str, bytes]:
        return {}

    def stands(self, entries: Sequence[Entry]) -> set[str]:
        here, pins = self.offers(), set(self._pins())
        standing = {one.key for one in entries if one.key in here and _covers(here[one.key].entry, one)}
        # A pin is kept: the workspace's features were made with it.
        return standing | {one.key for one in entries if one.key in pins}

    def settle(self, entry: Entry, record: str | None, written: Mapping[str, FileRecord]) -> list[str]:
        if record is None:
            return []
        value = self._parse(entry, record)
        key = layout.features_manifest(entry.key)
        before = self._value(key)
        if before is not None and before["wav"]["sha256"] == value["wav"]["sha256"]:
            value["parts"] = {**_standing(before, set(written)), **value["parts"]}
        files.write_json(self.place.root / key, stamped(value, written), durable=True)
        return [key]

    def _parse(self, entry: Entry, record: str) -> dict[str, Any]:
        """The record with the entry's parts alone. Raises Damaged where it does not fit the members."""
        value = _checked(json.loads(record))
        if value is not None:
            value["parts"] = {name: part for name, part in value["parts"].items() if name in entry.inputs}
            named = {one.key: one.sha256 for one in _files(value)}
            if value["wav"]["key"] == entry.key and named == {one.key: one.sha256 for one in entry.members}:
                return value
        raise Damaged(f"{self.repo.id} holds a record of {entry.key!r} that does not fit its files: push it again")

    def _values(self) -> dict[str, dict[str, Any]]:
        keys = self.place.keys(layout.features_manifests_dir(self.repo.name))
        self.place.bring(keys)
        values = (self._value(key) for key in keys)
        return {value["wav"]["key"]: value for value in values if value is not None}

    def _value(self, key: str) -> dict[str, Any] | None:
        self.place.bring([key])
        try:
            return _checked(json.loads((self.place.root / key).read_bytes()))
        except (FileNotFoundError, ValueError):
            return None

    def _pins(self) -> list[str]:
        return [key for key in self.place.keys(layout.model_pins_dir()) if layout.is_model_pin(key)]

    def _pin(self, key: str) -> Offer:
        self.place.bring([key])
        path = self.place.root / key
        member = Member(key=key, sha256=files.sha256_file(path), size=path.stat().st_size, path="")
        return Offer(Entry(key=key, members=(member,)))


def offer(wav: str, value: dict[str, Any]) -> Offer:
    line = contents.record_line(value)
    members = tuple(Member(key=one.key, sha256=one.sha256, size=one.size, path="") for one in _files(value))
    inputs = {"wav": value["wav"]["sha256"], **{name: part["fingerprint"] for name, part in value["parts"].items()}}
    return Offer(Entry(key=wav, members=members, inputs=inputs, record=contents.record_digest(line)), line)


def _recording_of(clip: str) -> str:
    """The part of a clip's name that all clips of its recording share."""
    return clip.rpartition("-")[0]


def _only(entry: Entry, record: str, parts: Mapping[str, str] | None) -> Entry | None:
    """The entry with the parts of these fingerprints alone, None where it has none of them."""
    if parts is None:
        return entry
    fitting = {name for name in entry.inputs if name in parts and entry.inputs[name] == parts[name]}
    value = _checked(json.loads(record))
    if value is None or not fitting:
        return None
    keys = {one.key for name in fitting for one in manifest.file_records(value["parts"].get(name))}
    return entry.model_copy(
        update={
            "members": tuple(one for one in entry.members if one.key in keys),
            "inputs": {name: text for name, text in entry.inputs.items() if name == "wav" or name in fitting},
        }
    )


def _covers(ours: Entry, theirs: Entry) -> bool:
    """Whether all that the repository's entry offers is here, beside what else there may be."""
    here = {one.key: one.sha256 for one in ours.members}
    return theirs.inputs.items() <= ours.inputs.items() and all(
        here.get(one.key) == one.sha256 for one in theirs.members
    )


def _standing(record: dict[str, Any], written: set[str]) -> dict[str, Any]:
    """Parts of the workspace's own record whose files were not written anew."""
    return {
        name: part
        for name, part in record["parts"].items()
        if not any(one.key in written for one in manifest.file_records(part))
    }


def _files(value: dict[str, Any]) -> Iterator[FileRecord]:
    return manifest.file_records(value["parts"])


def _checked(value: Any) -> dict[str, Any] | None:
    """The value where it has the shape of a record of the features stage (`ClipFeatures`, which would bring torch)."""
    if not isinstance(value, dict) or value.keys() != {"wav", "parts"}:
        return None
    wav, parts = value["wav"], value["parts"]
    if not list(manifest.file_records(wav)) or not isinstance(parts, dict):
        return None
    shaped = all(isinstance(one, dict) and one.keys() == {"fingerprint", "files"} for one in parts.values())
    return value if shaped else None
