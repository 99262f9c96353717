"""Door: a workspace with its sidecars -> a folder that so-vits-svc 4.1 trains from unchanged (docs/compat41.md).

dataset/44k/<speaker>/<clip>.wav            the clip
dataset/44k/<speaker>/<clip>.wav.soft.pt    as ours
dataset/44k/<speaker>/<clip>.wav.f0.npy     f0 and uv in one array of objects [2, F], pickled, as 4.1 wants it
dataset/44k/<speaker>/<clip>.spec.pt        as ours
dataset/44k/<speaker>/<clip>.wav.vol.npy    as ours
filelists/{train,val}.txt                   ./dataset/44k/<speaker>/<clip>.wav
configs/config.json                         our config without `svc_jobs`
svc-jobs-export.json                        what was written, with sha256; written first and last
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from svc_core import files, layout
from svc_core.config import Config
from svc_core.errors import BadInput, ConfigError, from_os_error
from svc_core.features import sidecar
from svc_core.filelists import Filelists, Side
from svc_core.manifest import Record

MARKER = "svc-jobs-export.json"
DATASET = "dataset/44k"
LISTS: dict[Side, str] = {"train": "filelists/train.txt", "val": "filelists/val.txt"}
CONFIG = "configs/config.json"
# The content encoders that 4.1 has under the same name.
ENCODERS_OF_41 = ("vec768l12", "vec256l9")


class Marker(Record):
    """`svc-jobs-export.json`: sha256 by path; None for a file that was still to be written."""

    format: int = 1
    voice: str
    files: dict[str, str | None]


class Exported(NamedTuple):
    clips: int
    written: int
    """files that were not there yet with the same content"""
    removed: int
    kept: list[str]
    """of an earlier export, no longer part of it, and changed by somebody: left where they are"""
    notes: list[str]


class Planned(NamedTuple):
    """One file of the tree: a copy of a file of the workspace, or content made for it."""

    name: str
    key: str | None
    data: bytes | None


def export(root: Path, config: Config, lists: Filelists, target: Path) -> Exported:
    """Writes the tree into `target`, which must be absent, empty, or an earlier export.

    Raises:
        ConfigError: `target` holds something else, or a file of the earlier export was changed; a name that 4.1 cannot
            take; the folder cannot be written.
        CorruptSidecar: a sidecar is missing or damaged.
        Transient: the disk is full.
    """
    if not lists.clips:
        raise BadInput("the lists hold no clip: run filelists and features first")
    check_names(lists)
    before = _earlier(target)
    names = list(_names(lists))
    _check_unchanged(target, before, names)
    try:
        pending = {**before, **dict.fromkeys(names)}
        Marker(voice=config.svc_jobs.voice, files=pending).write(target / MARKER)
        sums: dict[str, str | None] = {}
        written = 0
        for planned in _planned(root, config, lists):
            sums[planned.name], fresh = _write(root, target, planned)
            written += fresh
        kept, removed = _remove(target, {name: digest for name, digest in before.items() if name not in sums})
        Marker(voice=config.svc_jobs.voice, files=sums).write(target / MARKER)
    except OSError as error:
        raise from_os_error(error, error.filename or target) from error
    return Exported(len(lists.clips), written, removed, kept, _notes(config))


def check_names(lists: Filelists) -> None:
    """4.1 makes the name of the spectrogram by replacing every '.wav' in the path. Raises ConfigError."""
    for clip in lists.clips:
        parsed = layout.parse_wav_key(clip.key)
        if ".wav" in parsed.speaker or ".wav" in parsed.clip:
            raise ConfigError(
                f"{clip.key} has '.wav' inside its name, with which 4.1 looks for another spectrogram: rename it"
            )


def train_config(config: Config) -> dict[str, Any]:
    """The config in 4.1's schema, with the lists where 4.1 has them."""
    values = config.model_dump(mode="json", exclude={"svc_jobs"})
    values["data"].update(training_files=LISTS["train"], validation_files=LISTS["val"])
    return values


def pack_pitch(f0_hz: np.ndarray, uv: np.ndarray) -> bytes:
    """The content of 4.1's `.f0.npy`: f0 [F] and uv [F] as rows of an array of Python floats, held by a pickle."""
    buffer = io.BytesIO()
    np.save(buffer, np.stack([f0_hz, uv]).astype(object), allow_pickle=True)
    return buffer.getvalue()


def _clip_names(key: str) -> list[str]:
    parsed = layout.parse_wav_key(key)
    wav = f"{DATASET}/{parsed.speaker}/{parsed.clip}.wav"
    return [wav, f"{wav}.soft.pt", f"{wav}.f0.npy", f"{wav.removesuffix('.wav')}.spec.pt", f"{wav}.vol.npy"]


def _names(lists: Filelists) -> Iterator[str]:
    for clip in lists.clips:
        yield from _clip_names(clip.key)
    yield from (*LISTS.values(), CONFIG)


def _planned(root: Path, config: Config, lists: Filelists) -> Iterator[Planned]:
    for clip in lists.clips:
        whole = sidecar.read_all(root, clip.key)
        keys = layout.sidecar_keys(clip.key)
        wav, content, pitch, spec, volume = _clip_names(clip.key)
        yield Planned(wav, clip.key, None)
        yield Planned(content, keys.content, None)
        yield Planned(pitch, None, pack_pitch(whole.f0_hz, whole.uv))
        yield Planned(spec, keys.spec, None)
        yield Planned(volume, keys.volume, None)
    for side, name in LISTS.items():
        lines = [f"./{_clip_names(clip.key)[0]}\n" for clip in lists.clips if clip.side == side]
        yield Planned(name, None, "".join(lines).encode())
    yield Planned(CONFIG, None, files.json_bytes(train_config(config)))


def _write(root: Path, target: Path, planned: Planned) -> tuple[str, bool]:
    """sha256, and whether the file had to be written."""
    # One clip's file fits into memory; a copy, since 4.1 may write to its own.
    data = planned.data if planned.key is None else (root / planned.key).read_bytes()
    assert data is not None  # noqa: S101
    digest, path = files.sha256_bytes(data), layout.local(target, planned.name)
    if path.is_file() and path.stat().st_size == len(data) and files.sha256_file(path) == digest:
        return digest, False
    files.write_bytes(path, data)
    return digest, True


def _earlier(target: Path) -> dict[str, str | None]:
    """What an earlier export wrote. Raises ConfigError where the folder is somebody else's."""
    if not target.exists():
        return {}
    if not target.is_dir():
        raise ConfigError(f"{target} is a file: name a folder for the export")
    marker = Marker.read(target / MARKER)
    if marker is None and any(target.iterdir()):
        raise ConfigError(f"{target} is not empty and no earlier export (no {MARKER}): name another folder")
    return marker.files if marker else {}


def _check_unchanged(target: Path, before: dict[str, str | None], names: list[str]) -> None:
    """Nothing of others is overwritten. Raises ConfigError that names the file."""
    for name in names:
        path = layout.local(target, name)
        if not path.exists():
            continue
        digest = before.get(name, "")
        if digest is None:
            continue
        if digest == "" or not path.is_file() or files.sha256_file(path) != digest:
            raise ConfigError(
                f"{path} was not written by the export, or changed since: move it away, or export elsewhere"
            )


def _remove(target: Path, gone: dict[str, str | None]) -> tuple[list[str], int]:
    """Removes what the earlier export wrote and this one does not, where it is unchanged."""
    kept, removed = [], 0
    for name, digest in gone.items():
        path = layout.local(target, name)
        if not path.is_file():
            continue
        if digest is not None and files.sha256_file(path) != digest:
            kept.append(name)
            continue
        path.unlink()
        removed += 1
    return kept, removed


def _notes(config: Config) -> list[str]:
    notes = []
    if config.model.speech_encoder not in ENCODERS_OF_41:
        notes.append(f"4.1 can train from this, but has no encoder {config.model.speech_encoder!r} to convert with")
    if config.svc_jobs.discriminator_divisor != 1:
        notes.append("4.1 trains with its own, larger discriminators")
    return notes
