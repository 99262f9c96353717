"""`facts.json`: what a release says of its voice in numbers, and where those of the data come from."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from svc_core import layout, manifest
from svc_core.config import HOP_SAMPLES, RATE_HZ
from svc_core.errors import BadInput
from svc_core.features import sidecar
from svc_core.filelists import parse_list

FACTS_FILE = "facts.json"


class SpeakerFacts(manifest.Record):
    """One speaker's training data: clips, their length, and the median f0 of voiced frames (None: nothing voiced)."""

    clips: int
    seconds: float
    median_f0_hz: float | None


class Facts(manifest.Record):
    """`inputs` is equal exactly when a new release would be; hashes are sha256, of files by their key."""

    format: int = 1
    voice: str
    step: int
    epoch: int
    speakers: dict[str, SpeakerFacts]
    metrics: dict[str, float | None]
    demo_only: bool
    hashes: dict[str, str]
    inputs: str


def training_clips(root: Path) -> list[str]:
    """The wav keys of train.txt. Raises BadInput where it is absent or damaged."""
    path = root / layout.TRAIN_LIST
    if not path.is_file():
        raise BadInput(f"{path} does not exist: run filelists first")
    return list(parse_list(path.read_text(encoding="utf-8"), "train", layout.TRAIN_LIST))


def speaker_facts(root: Path, wav_keys: Iterable[str]) -> dict[str, SpeakerFacts]:
    """Facts by speaker, in the order of their names, from the f0 and uv sidecars. Raises CorruptSidecar."""
    frames: dict[str, list[int]] = {}
    voiced: dict[str, list[np.ndarray]] = {}
    for key in wav_keys:
        keys, speaker = layout.sidecar_keys(key), layout.parse_wav_key(key).speaker
        f0_hz, uv = sidecar.read_vector(root, keys.f0), sidecar.read_vector(root, keys.uv)
        if len(f0_hz) != len(uv):
            raise sidecar.CorruptSidecar(f"{keys.f0} and {keys.uv} differ in length: run the features stage again")
        frames.setdefault(speaker, []).append(len(f0_hz))
        voiced.setdefault(speaker, []).append(f0_hz[uv > 0])
    return {
        speaker: SpeakerFacts(
            clips=len(frames[speaker]),
            seconds=round(sum(frames[speaker]) * HOP_SAMPLES / RATE_HZ, 3),
            median_f0_hz=_median(voiced[speaker]),
        )
        for speaker in sorted(frames)
    }


def _median(parts: list[np.ndarray]) -> float | None:
    values = np.concatenate(parts)
    return round(float(np.median(values)), 2) if len(values) else None
