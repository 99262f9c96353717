"""Door of the features stage: one clip -> its five sidecars, and whether those that exist are still valid.

The sidecars come in four parts, each with a fingerprint of its own: change the f0 predictor, and only pitch is redone.
A record names what was made from which wav; whoever calls `extract` writes it last, so a killed run leaves no record of
files that it did not finish.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from svc_core import layout, registry
from svc_core.audio.io import read_clip
from svc_core.audio.resample import resample
from svc_core.config import HOP_SAMPLES, RATE_HZ, Config
from svc_core.errors import BadInput
from svc_core.features import models, pitch, sidecar, spectrogram, volume
from svc_core.features.encoders.encoder import RATE_HZ as ENCODER_RATE_HZ
from svc_core.features.encoders.encoder import Encoder
from svc_core.features.f0.predictor import F0Predictor
from svc_core.manifest import FileRecord, Record, fingerprint

# Raise a number when the code behind a part changes what it writes: everything made before is then redone.
_CODE_VERSIONS = {"content": 1, "pitch": 1, "spec": 1, "volume": 1}
PARTS = frozenset(_CODE_VERSIONS)

# 25 ms: one window of the encoder, and more than the spectrogram's mirrored ends.
_MIN_SAMPLES = 1103


Check = Callable[[FileRecord], FileRecord | None]
"""FileRecord.check, of whoever knows the files."""


class PartRecord(Record):
    fingerprint: str
    files: tuple[FileRecord, ...]


class ClipFeatures(Record):
    """What exists beside one wav: by part, with which settings it was made and which files it wrote."""

    wav: FileRecord
    parts: dict[str, PartRecord]


class Staleness(NamedTuple):
    """Parts to be made, and the record of those that stand, with fresh stamps; None where none does."""

    parts: frozenset[str]
    record: ClipFeatures | None


class Task(NamedTuple):
    """One clip for `extract_many`: as `stale_parts` found it."""

    wav: FileRecord
    parts: frozenset[str]
    standing: ClipFeatures | None


class Outcome(NamedTuple):
    """What became of one clip: its record, or why it cannot be used."""

    wav: FileRecord
    features: ClipFeatures | None
    error: BadInput | None


class Tools:
    """The encoder and the f0 predictor of a config, each loaded when first asked for and then kept.

    With a workspace `root` their weights are checked against its pins. Safe to share between threads once loaded.
    """

    def __init__(self, config: Config, device: str, root: Path | None) -> None:
        self._config = config
        self._device = device
        self._root = root

    @cached_property
    def encoder(self) -> Encoder:
        name, features = self._config.encoder, self._config.svc_jobs.features
        row = registry.ENCODERS[name]
        build = registry.load(row.target, row.extra)
        source = models.obtain(name, features.weights_sha256.get(name), self._root)
        return build(source, features.encoder_backend, features.encoder_precision, self._device)

    @cached_property
    def f0(self) -> F0Predictor:
        name = self._config.svc_jobs.features.f0_predictor
        row = registry.F0_PREDICTORS[name]
        build = registry.load(row.target, row.extra)
        source = models.obtain(name, self._config.svc_jobs.features.weights_sha256.get(name), self._root)
        return build(source, self._device)

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """Of the parts that these tools make; read after they are loaded, so that the pins exist."""
        return fingerprints(self._config, self._root)


def load_tools(config: Config, device: str = "cpu", root: Path | None = None, parts: frozenset[str] = PARTS) -> Tools:
    """The tools that `parts` need, loaded now, so that what is missing is found before the first clip.

    Raises ConfigError where a package or model is absent or another than pinned, Transient where the Hub fails.
    """
    tools = Tools(config, device, root)
    if "content" in parts:
        _ = tools.encoder
    if "pitch" in parts:
        _ = tools.f0
    return tools


def fingerprints(config: Config, root: Path | None = None) -> dict[str, str]:
    """By part, what its files depend on beside the wav. Loads and hashes nothing: weights count by their pin."""
    features = config.svc_jobs.features
    settings = {
        "content": {
            "encoder": config.encoder,
            "backend": features.encoder_backend,
            "precision": features.encoder_precision,
            "weights": _pinned(root, config.encoder),
        },
        "pitch": {"predictor": features.f0_predictor, "weights": _pinned(root, features.f0_predictor)},
        "spec": {},
        "volume": {},
    }
    return {part: fingerprint(part, version, settings[part]) for part, version in _CODE_VERSIONS.items()}


def stale_parts(check: Check, wav: FileRecord, record: ClipFeatures | None, wanted: Mapping[str, str]) -> Staleness:
    """Compares what was recorded with the wav now, the `wanted` fingerprints, and the files as `check` sees them."""
    if record is None or record.wav.sha256 != wav.sha256:
        return Staleness(PARTS, None)
    standing: dict[str, PartRecord] = {}
    for part, made in record.parts.items():
        if made.fingerprint == wanted.get(part) and (checked := _checked(check, made)):
            standing[part] = checked
    return Staleness(PARTS - set(standing), ClipFeatures(wav=wav, parts=standing) if standing else None)


def extract(
    root: Path, wav: FileRecord, tools: Tools, parts: frozenset[str], standing: ClipFeatures | None = None
) -> ClipFeatures:
    """Makes `parts` of one clip from one reading of its wav; the record returned also keeps what was `standing`.

    Raises BadInput where the wav cannot be read, is too short, or is no longer the recorded one.
    """
    current = wav.check(root)
    if current is None:
        raise BadInput(f"{wav.key} is missing or was changed after slice recorded it: run slice again")
    audio = read_clip(layout.local(root, wav.key)).samples
    if len(audio) < _MIN_SAMPLES:
        raise BadInput(f"{wav.key} has {len(audio)} samples, features need {_MIN_SAMPLES} (25 ms): remove the clip")
    made = dict(standing.parts) if standing and standing.wav.sha256 == wav.sha256 else {}
    for part in sorted(parts):
        written = _write_part(root, wav.key, part, audio, tools)
        made[part] = PartRecord(fingerprint=tools.fingerprints[part], files=written)
    return ClipFeatures(wav=current, parts=made)


def extract_many(root: Path, tasks: Sequence[Task], tools: Tools, workers: int) -> Iterator[Outcome]:
    """`extract` for every task, in order, by `workers` threads that share the tools.

    Best with one torch thread each and as many workers as cores: f0, spectrograms and files then run beside the
    encoder of another clip, and the bytes do not depend on the number of workers. A clip that cannot be used becomes an
    outcome with its error; any other error ends the run.
    """
    threads = torch.get_num_threads()

    def attempt(task: Task) -> Outcome:
        try:
            return Outcome(task.wav, extract(root, task.wav, tools, task.parts, task.standing), None)
        except BadInput as error:
            return Outcome(task.wav, None, error)

    # OpenMP keeps its number of threads per calling thread.
    pool = ThreadPoolExecutor(workers, "features", initializer=lambda: torch.set_num_threads(threads))
    try:
        yield from pool.map(attempt, tasks)
    finally:
        pool.shutdown(cancel_futures=True)


def _write_part(root: Path, wav_key: str, part: str, audio: np.ndarray, tools: Tools) -> tuple[FileRecord, ...]:
    keys = layout.sidecar_keys(wav_key)
    if part == "content":
        content = tools.encoder.encode(resample(audio, RATE_HZ, ENCODER_RATE_HZ))
        return (sidecar.write_content(root, wav_key, content),)
    if part == "pitch":
        heard = pitch.interpolate(tools.f0.predict(audio, len(audio) // HOP_SAMPLES))
        return (sidecar.write_vector(root, keys.f0, heard.f0_hz), sidecar.write_vector(root, keys.uv, heard.uv))
    if part == "spec":
        return (sidecar.write_tensor(root, keys.spec, spectrogram.linear(audio)),)
    return (sidecar.write_vector(root, keys.volume, volume.envelope(audio)),)


def _checked(check: Check, made: PartRecord) -> PartRecord | None:
    found = [check(one) for one in made.files]
    return made.model_copy(update={"files": tuple(found)}) if all(found) else None


def _pinned(root: Path | None, name: str) -> str | None:
    pin = models.read_pin(root, name) if root else None
    return pin.sha256 if pin else None
