"""Door of the filelists stage: clips -> train and validation lists, and the plan of the features stage.

Reads no audio: what slice recorded of its clips is enough. Adding recordings never moves a clip that is listed.
"""

import hashlib
from collections.abc import Iterable
from typing import Literal

from svc_core import layout, manifest
from svc_core.audio.prepare import RecordingRecord
from svc_core.config import ShardBlock, SplitBlock
from svc_core.errors import BadInput
from svc_core.shards import count_shards
from svc_core.speakers import IF_STRAY

Side = Literal["train", "val"]
VAL_CLIPS = 2
MIN_CLIPS = VAL_CLIPS + 1
WHOLE_RECORDINGS = 10
RATE_HZ = 44_100


class ListedClip(manifest.Record):
    """One clip of the lists, with what features needs to know of it."""

    file: manifest.FileRecord
    recording: str
    start_ms: int
    seconds: float
    side: Side

    @property
    def key(self) -> str:
        return self.file.key

    @property
    def speaker(self) -> str:
        return layout.parse_wav_key(self.file.key).speaker

    @property
    def cost_s(self) -> float:
        return self.seconds


class Filelists(manifest.Record):
    """`manifests/filelists/plan.json`. The two lists are its clips by side, in the order of their keys."""

    clips: tuple[ListedClip, ...]
    shards: int

    def lines(self, side: Side) -> str:
        return "".join(f"{clip.key}\n" for clip in self.clips if clip.side == side)

    def seconds(self, side: Side) -> float:
        return sum(clip.seconds for clip in self.clips if clip.side == side)


def build(
    recordings: Iterable[RecordingRecord],
    speakers: Iterable[str],
    listed: dict[str, Side],
    split: SplitBlock,
    shards: ShardBlock,
) -> Filelists:
    """Places every clip. `listed` holds the clips of the present lists; those stay where they are.

    Raises BadInput where a speaker has too little, saying how much more is needed.
    """
    by_speaker: dict[str, list[RecordingRecord]] = {speaker: [] for speaker in speakers}
    for recording in recordings:
        by_speaker[recording.speaker].append(recording)
    clips: list[ListedClip] = []
    shortages = []
    for speaker, mine in by_speaker.items():
        placed = _place(mine, listed, split)
        if shortage := _shortage(speaker, placed):
            shortages.append(shortage)
        clips += placed
    if shortages:
        raise BadInput("; ".join([*shortages, IF_STRAY] if len(by_speaker) > 1 else shortages))
    clips.sort(key=lambda clip: clip.key)
    return Filelists(clips=tuple(clips), shards=count_shards(clips, shards.features_minutes))


def parse_list(text: str, side: Side, where: str) -> dict[str, Side]:
    """The clips of a list file. Raises BadInput for a line that is no clip's key."""
    keys = [line.strip() for line in text.splitlines() if line.strip()]
    for key in keys:
        try:
            layout.parse_wav_key(key)
        except BadInput as error:
            raise BadInput(f"{where}: {error}") from None
    return dict.fromkeys(keys, side)


def _place(recordings: list[RecordingRecord], listed: dict[str, Side], split: SplitBlock) -> list[ListedClip]:
    """Sides for one speaker's clips: listed ones stay, new ones go by hash, a first listing gets two for validation."""
    whole = len(recordings) >= WHOLE_RECORDINGS
    sides: dict[str, Side] = {}
    draws: dict[str, float] = {}
    for recording in recordings:
        followed = _side_of(recording, listed) if whole else None
        for clip in recording.clips:
            key = clip.file.key
            draws[key] = draw(recording.source.sha256, None if whole else clip.start_ms, split.seed)
            by_hash: Side = "val" if draws[key] < split.val_share else "train"
            sides[key] = listed.get(key) or followed or by_hash
    if not any(key in listed for key in sides):
        _top_up(sides, draws)
    return [
        ListedClip(
            file=clip.file,
            recording=recording.source.key,
            start_ms=clip.start_ms,
            seconds=clip.samples / RATE_HZ,
            side=sides[clip.file.key],
        )
        for recording in recordings
        for clip in recording.clips
    ]


def _side_of(recording: RecordingRecord, listed: dict[str, Side]) -> Side | None:
    """Where the recording's listed clips stand, if they all stand on one side."""
    sides = {listed[clip.file.key] for clip in recording.clips if clip.file.key in listed}
    return sides.pop() if len(sides) == 1 else None


def _top_up(sides: dict[str, Side], draws: dict[str, float]) -> None:
    """Moves clips of lowest hash to validation until it has two; clips of equal hash (one recording) go together.

    At least one hash stays in training, also where chance sent all to validation.
    """
    ordered = sorted(set(draws.values()))
    keep_training = ordered[-1:] if len(ordered) > 1 else []
    for key, value in draws.items():
        if value in keep_training:
            sides[key] = "train"
    for value in ordered:
        if sum(side == "val" for side in sides.values()) >= VAL_CLIPS or value in keep_training:
            return
        for key in (key for key in draws if draws[key] == value):
            sides[key] = "val"


def draw(source_sha256: str, start_ms: int | None, seed: int) -> float:
    """A number in [0, 1) from a clip's source, offset and the seed; the whole recording's where the offset is None."""
    digest = hashlib.sha256(f"{source_sha256}:{start_ms}:{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _shortage(speaker: str, clips: list[ListedClip]) -> str | None:
    train = sum(clip.side == "train" for clip in clips)
    val = len(clips) - train
    if train >= 1 and val >= VAL_CLIPS:
        return None
    seconds = sum(clip.seconds for clip in clips)
    missing = max(MIN_CLIPS - len(clips), VAL_CLIPS - val, 1 - train)
    return (
        f"speaker {speaker!r} has {train} training and {val} validation clips ({seconds:.1f} s in all), at least 1 and "
        f"{VAL_CLIPS} are needed: add recordings for {missing} more clips (about {missing * 5} s of speech)"
    )
