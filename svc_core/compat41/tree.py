"""Door: a tree that so-vits-svc 4.1 trains from -> a workspace: config, ids, clips with their records, lists.

Sidecars are not read: they carry no record of what they were made with, and 4.1's f0 is a pickle. The features stage
makes them anew.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from svc_core import config as configs
from svc_core import files, layout, speakers
from svc_core.audio import io
from svc_core.audio.prepare import ClipRecord, RecordingRecord
from svc_core.compat41.export import CONFIG, DATASET, LISTS
from svc_core.config import RATE_HZ, Block, Config, DataBlock, ModelBlock, TrainBlock
from svc_core.errors import BadInput, ConfigError, from_os_error
from svc_core.manifest import FileRecord

_SETTINGS = "imported from so-vits-svc 4.1"
_STAMP = "imported"
_FLOOR_DB = -200.0
_SHOWN_CHARS = 200


class Imported(NamedTuple):
    config: Config
    keys: list[str]
    """all that was written, records last"""
    clips: int
    left_out: list[str]
    """a sentence for each file or line that was not taken"""
    notes: list[str]


class _Clip(NamedTuple):
    speaker: str
    name: str
    """of the file in the tree"""
    record: RecordingRecord

    @property
    def key(self) -> str:
        return self.record.clips[0].file.key


def import_tree(tree: Path, root: Path, voice: str | None) -> Imported:
    """Fills a workspace without a voice. A killed import is repeated whole; config and ids are written last.

    Raises:
        BadInput: the tree holds no clips, or no config.
        ConfigError: its config or a speaker's name cannot be used here; the workspace has a voice already; or several
            speakers and no `voice`.
        Transient: the disk is full.
    """
    _check_free(root)
    values = _values(tree / CONFIG)
    folders = _folders(tree / DATASET)
    ids = speakers.assign_ids(_ids(values, tree / CONFIG), folders)
    name = speakers.find_voice(root, voice, list(ids))
    notes: list[str] = []
    config = _config(values, ids, name, notes, str(tree / CONFIG))
    left_out: list[str] = []
    try:
        clips = [clip for speaker in folders for clip in _clips(tree, root, speaker, left_out)]
        if not clips:
            raise BadInput(f"{tree / DATASET} holds no clip that can be used: {left_out[0] if left_out else 'no .wav'}")
        keys = [clip.key for clip in clips]
        keys += [*_lists(tree, root, clips, left_out), *(_write_record(root, clip) for clip in clips)]
        files.write_json(root / layout.SPEAKER_MAP, ids, durable=True)
        configs.save(config, root / layout.config_key(name))
    except OSError as error:
        raise from_os_error(error, error.filename or root) from error
    return Imported(config, [*keys, layout.SPEAKER_MAP, layout.config_key(name)], len(clips), left_out, notes)


def _check_free(root: Path) -> None:
    folder = root / layout.CONFIGS
    if (root / layout.SPEAKER_MAP).exists() or (folder.is_dir() and any(folder.iterdir())):
        raise ConfigError(f"{root} is a voice's workspace already: name an empty folder with -w")


def _values(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(f"{path} does not exist: give a folder that 4.1's preprocessing has filled") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON ({error}): write it again with 4.1's preprocessing") from None
    if not isinstance(values, dict) or not all(
        isinstance(values.get(part), dict) for part in ("train", "data", "model")
    ):
        raise ConfigError(f"{path} lacks the blocks train, data and model: write it again with 4.1's preprocessing")
    return values


def _folders(dataset: Path) -> list[str]:
    found = sorted(entry.name for entry in dataset.iterdir() if entry.is_dir()) if dataset.is_dir() else []
    if not found:
        raise BadInput(f"{dataset} has no speaker's folder: give a folder that 4.1's preprocessing has filled")
    return [layout.check_speaker(name) for name in found if not name.startswith(".")]


def _ids(values: dict[str, Any], path: Path) -> dict[str, int]:
    ids = values.get("spk", {})
    if not isinstance(ids, dict) or not all(type(number) is int and number >= 0 for number in ids.values()):
        raise ConfigError(f"{path}: spk must map speakers to ids: correct it")
    return {layout.check_speaker(name): number for name, number in ids.items()}


def _config(values: dict[str, Any], ids: dict[str, int], voice: str, notes: list[str], where: str) -> Config:
    """4.1's settings under our rules; what a fork added is left out and named."""
    train = _known(values["train"], TrainBlock, "train", notes)
    data = _known(values["data"], DataBlock, "data", notes)
    model = _known(values["model"], ModelBlock, "model", notes)
    if train.get("fp16_run") and train.get("half_type", "fp16") == "fp16":
        train["fp16_run"] = False
        notes.append("train.fp16_run was on with fp16, which diverges here: training is in fp32")
    for name in ("training_files", "validation_files"):
        data.pop(name, None)
    rows = model.setdefault("n_speakers", 0)
    if type(rows) is int:  # anything else is for the config's own checks to name
        model["n_speakers"] = max(rows, max(ids.values()) + 1)
    block = {"voice": voice}
    return configs.parse({"train": train, "data": data, "model": model, "spk": ids, "svc_jobs": block}, where)


def _known(values: dict[str, Any], block: type[Block], name: str, notes: list[str]) -> dict[str, Any]:
    unknown = sorted(set(values) - set(block.model_fields))
    if unknown:
        notes.append(f"left out of {name}: {', '.join(unknown)}")
    return {key: value for key, value in values.items() if key in block.model_fields and value is not None}


def _clips(tree: Path, root: Path, speaker: str, left_out: list[str]) -> Iterator[_Clip]:
    """Copies a speaker's clips, one at a time; those of another format or with the same content are named."""
    seen: dict[str, str] = {}
    for path in sorted((tree / DATASET / speaker).iterdir()):
        if path.suffix != ".wav" or path.name.startswith(".") or not path.is_file():
            continue
        try:
            samples = io.read_clip(path).samples
        except BadInput as error:
            left_out.append(str(error).removesuffix(": run slice again"))
            continue
        data = path.read_bytes()
        digest = files.sha256_bytes(data)
        if digest in seen:
            left_out.append(f"{path} has the content of {seen[digest]}")
            continue
        seen[digest] = path.name
        source = f"{layout.raw_dir(speaker)}/{path.name}"
        stem = path.name.removesuffix(".wav")
        clip = stem if layout.is_clip_name(stem) else layout.clip_name(source, digest, 0)
        key = layout.wav_key(speaker, clip)
        files.write_bytes(root / key, data)
        yield _Clip(speaker, path.name, _record(root, source, key, digest, len(data), samples))


def _record(root: Path, source: str, key: str, digest: str, size: int, samples: np.ndarray) -> RecordingRecord:
    """As if the clip were a recording of its own, which was cut into one piece and then taken away."""
    length_ms = len(samples) * 1000 // RATE_HZ
    clip = ClipRecord(
        file=FileRecord.of(root, key, digest),
        start_ms=0,
        end_ms=length_ms,
        first_sample=0,
        end_sample=len(samples),
        samples=len(samples),
        peak_dbfs=_level_db(float(np.abs(samples).max())),
        rms_dbfs=_level_db(float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))),
    )
    return RecordingRecord(
        source=FileRecord(key=source, sha256=digest, size=size, stamp=_STAMP),
        speaker=layout.recording_speaker(source),
        settings=_SETTINGS,
        container="WAV",
        rate_hz=RATE_HZ,
        channels=1,
        duration_s=round(len(samples) / RATE_HZ, 3),
        clips=(clip,),
    )


def _level_db(amplitude: float) -> float:
    return round(20 * math.log10(amplitude), 2) if amplitude else _FLOOR_DB


def _write_record(root: Path, clip: _Clip) -> str:
    key = layout.slice_manifest(clip.record.source.key)
    clip.record.write(root / key)
    return key


def _lists(tree: Path, root: Path, clips: list[_Clip], left_out: list[str]) -> list[str]:
    """Both lists with our keys, in their order; clips in neither are placed by the filelists stage."""
    by_place = {(clip.speaker, clip.name): clip.key for clip in clips}
    written = []
    for side, name in LISTS.items():
        path = tree / name
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        found = []
        for line in filter(None, map(str.strip, lines)):
            place = PurePosixPath(line.partition("|")[0].replace("\\", "/"))
            listed = by_place.get((place.parent.name, place.name))
            if listed is None:
                left_out.append(f"{name} lists {line[:_SHOWN_CHARS]!r}, which was not taken")
            else:
                found.append(listed)
        key = layout.TRAIN_LIST if side == "train" else layout.VAL_LIST
        files.write_text(root / key, "".join(f"{one}\n" for one in sorted(found)))
        written.append(key)
    return written
