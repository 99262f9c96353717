"""Door of the prepare stage: who the speakers are, and which recordings there are to slice.

Reads the listing of `raw/` and the headers of its files, never their sound.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from svc_core import layout, manifest
from svc_core.audio.prepare import settings_fingerprint
from svc_core.config import Config
from svc_core.errors import BadInput
from svc_core.raw import RawFile, RawFiles, is_companion, is_junk
from svc_core.shards import count_shards
from svc_core.speakers import IF_STRAY


class Recording(manifest.Record):
    """One raw file as its header describes it. `seconds` is None where the header does not say."""

    key: str
    speaker: str
    size: int
    stamp: str
    seconds: float | None = None
    rate_hz: int | None = None
    channels: int | None = None
    container: str | None = None
    sha256: str | None = None
    error: str | None = None
    duplicate_of: str | None = None

    @property
    def usable(self) -> bool:
        return self.error is None and self.duplicate_of is None

    @property
    def cost_s(self) -> float:
        """Seconds of work to expect, for balancing; a guess of 16 kB/s where the header is silent."""
        return self.seconds if self.seconds is not None else self.size / 16_000


class Ignored(manifest.Record):
    key: str
    reason: str


class SlicePlan(manifest.Record):
    """`manifests/prepare/plan.json`: everything found under `raw/`, and the settings it was found with."""

    voice: str
    recordings: tuple[Recording, ...]
    ignored: tuple[Ignored, ...]
    speakers_without_raw: tuple[str, ...]
    shards: int
    settings: dict[str, str]

    def to_slice(self) -> list[Recording]:
        return [recording for recording in self.recordings if recording.usable]


class Listed(NamedTuple):
    file: RawFile
    speaker: str


def listing(raw: RawFiles, speakers: Sequence[str]) -> list[Listed]:
    """Every file below the speakers' raw folders, by speaker and key."""
    return [Listed(file, speaker) for speaker in speakers for file in raw.files(speaker)]


def scan(raw: RawFiles, listed: Iterable[Listed], previous: SlicePlan | None) -> "Scan":
    """Probes the listed files that can be recordings.

    A file that the previous plan knows with the same size and stamp is not opened again.
    """
    known = {recording.key: recording for recording in previous.recordings} if previous else {}
    recordings, ignored = [], []
    for file, speaker in listed:
        if reason := _ignore_reason(file.key):
            ignored.append(Ignored(key=_printable(file.key), reason=reason))
        else:
            recordings.append(_probe(raw, file, speaker, known.get(file.key)))
    return Scan(recordings=tuple(_mark_duplicates(raw, recordings)), ignored=tuple(ignored))


class Scan(manifest.Record):
    recordings: tuple[Recording, ...]
    ignored: tuple[Ignored, ...]


def settings_facts(config: Config) -> dict[str, str]:
    """What later stages depend on, one fingerprint each, to say what a changed setting makes redo."""
    ours = config.svc_jobs
    return {
        "slicing or loudness": settings_fingerprint(ours.slice, ours.loudness),
        "encoder": manifest.fingerprint(
            config.model.speech_encoder, ours.features.encoder_backend, ours.features.encoder_precision
        ),
        "f0 predictor": manifest.fingerprint(ours.features.f0_predictor),
        "network": config.training_digest(),
    }


REDOES = {
    "slicing or loudness": "every recording is sliced again, and its sidecars with it",
    "encoder": "every .soft.pt is made again",
    "f0 predictor": "every .f0.npy and .uv.npy is made again",
    "network": "checkpoints of the old settings cannot be continued, train will say so",
}


def consequences(previous: SlicePlan | None, settings: dict[str, str]) -> list[str]:
    """One sentence for each group of settings that differs from the last time."""
    if previous is None:
        return []
    changed = [name for name, value in settings.items() if previous.settings.get(name, value) != value]
    return [f"{name} changed: {REDOES[name]}" for name in changed]


def make(raw: RawFiles, config: Config, scanned: Scan, has_clips: Callable[[str], bool]) -> SlicePlan:
    """The plan. `has_clips` says of a speaker without raw recordings whether there are clips from before.

    Raises BadInput where there is nothing to work with.
    """
    folders = raw.speakers()
    plan = SlicePlan(
        voice=config.svc_jobs.voice,
        recordings=scanned.recordings,
        ignored=scanned.ignored,
        speakers_without_raw=tuple(name for name in config.spk if name not in folders),
        shards=1,
        settings=settings_facts(config),
    )
    for speaker in config.spk:
        place = f"{raw.name}/{layout.raw_dir(speaker)}"
        mine = [recording for recording in plan.recordings if recording.speaker == speaker]
        if speaker in plan.speakers_without_raw:
            if not has_clips(speaker):
                raise BadInput(f"{place} does not exist: put the recordings of {speaker!r} into it; {IF_STRAY}")
        elif not any(recording.usable for recording in mine):
            files = "1 file" if len(mine) == 1 else f"{len(mine)} files"
            raise BadInput(f"{place} has no usable audio among {files}: {_why_unusable(mine)}")
    return plan.model_copy(update={"shards": count_shards(plan.to_slice(), config.svc_jobs.shards.slice_minutes)})


def _why_unusable(recordings: Sequence[Recording]) -> str:
    """What to tell of a speaker none of whose recordings is usable."""
    if error := next((recording.error for recording in recordings if recording.error), None):
        return error
    if recordings:
        return f"{recordings[0].key} has the content of {recordings[0].duplicate_of}, put other recordings into it"
    return "put recordings into it, or remove it"


def _ignore_reason(key: str) -> str | None:
    name = key.rpartition("/")[2]
    if is_junk(name):
        return "hidden or left by the system"
    if is_companion(name):
        return "not audio by its name"
    return None


def _printable(key: str) -> str:
    return key.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _probe(raw: RawFiles, file: RawFile, speaker: str, known: Recording | None) -> Recording:
    facts = {"key": _printable(file.key), "speaker": speaker, "size": file.size, "stamp": file.stamp}
    if known and known.error is None and (known.size, known.stamp) == (file.size, file.stamp):
        return known.model_copy(update={"duplicate_of": None})
    if facts["key"] != file.key:
        return Recording(**facts, error="its name is not UTF-8: rename it")
    try:
        header = raw.probe(file.key)
    except BadInput as error:
        return Recording(**facts, error=str(error))
    return Recording(
        **facts,
        seconds=header.duration_s,
        rate_hz=header.rate_hz,
        channels=header.channels,
        container=header.container,
    )


def _mark_duplicates(raw: RawFiles, recordings: list[Recording]) -> list[Recording]:
    """Marks files with the content of an earlier one. Only files of equal size are read, and only once."""
    by_size: dict[int, list[Recording]] = {}
    for recording in recordings:
        if recording.error is None:
            by_size.setdefault(recording.size, []).append(recording)
    originals: dict[str, str] = {}
    found: dict[str, dict[str, str | None]] = {}
    for group in by_size.values():
        for recording in group if len(group) > 1 else []:
            content = recording.sha256 or raw.sha256(recording.key)
            original = originals.setdefault(content, recording.key)
            found[recording.key] = {"sha256": content, "duplicate_of": original if original != recording.key else None}
    return [recording.model_copy(update=found.get(recording.key, {})) for recording in recordings]
