"""Facts for the report, from whatever exists: a stage that has not run leaves its part empty."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from svc_core import layout, manifest
from svc_core.audio.prepare import RecordingRecord
from svc_core.config import Config
from svc_core.conversion.record import Converted
from svc_core.errors import BadInput
from svc_core.evaluation.evaluate import Evaluation, MadeClip
from svc_core.features import sidecar
from svc_core.filelists import Filelists
from svc_core.files import sha256_bytes
from svc_core.plan import SlicePlan

PITCH_CLIPS_PER_SPEAKER = 200


@dataclass(frozen=True)
class Facts:
    voice: str
    config: Config
    plan: SlicePlan | None
    recordings: list[RecordingRecord]
    lists: Filelists | None
    voiced_f0_hz: dict[str, np.ndarray] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    evaluation: Evaluation | None = None
    heard: list[MadeClip] = field(default_factory=list)
    """Of the evaluation's clips those whose recording and sound are both there."""
    conversions: list[Converted] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Equal exactly when the page would be."""
        f0 = {name: sha256_bytes(values.tobytes()) for name, values in self.voiced_f0_hz.items()}
        records = [record.model_dump(mode="json") for record in (*self.recordings, *self.heard, *self.conversions)]
        return manifest.fingerprint(
            self.config, self.plan, self.lists, self.evaluation, records, f0, self.metrics, self.hashes
        )


def collect(root: Path, config: Config) -> Facts:
    """Everything that the workspace records of one voice."""
    voice = config.svc_jobs.voice
    plan = SlicePlan.read(root / layout.PREPARE_PLAN)
    lists = Filelists.read(root / layout.FILELISTS_PLAN)
    recordings = [
        record
        for speaker in config.spk
        for path in sorted((root / layout.slice_manifests_dir(speaker)).glob("*.json"))
        if (record := RecordingRecord.read(path))
    ]
    evaluation = Evaluation.read(root / layout.evaluation_key(voice))
    return Facts(
        voice=voice,
        config=config,
        plan=plan,
        recordings=_of_plan(recordings, plan),
        lists=lists,
        voiced_f0_hz=_voiced_f0(root, lists) if lists else {},
        metrics=_metrics(root / layout.metrics_key(voice)),
        evaluation=evaluation,
        heard=_heard(root, evaluation),
        conversions=_conversions(root),
        hashes=_hashes(root, voice),
    )


def _of_plan(recordings: list[RecordingRecord], plan: SlicePlan | None) -> list[RecordingRecord]:
    """Without the records of recordings that were taken out of `raw/` since."""
    if plan is None:
        return recordings
    keys = {recording.key for recording in plan.to_slice()}
    return [record for record in recordings if record.source.key in keys or record.speaker in plan.speakers_without_raw]


def _voiced_f0(root: Path, lists: Filelists) -> dict[str, np.ndarray]:
    """f0 of voiced frames by speaker, in Hz, from at most some hundred clips each."""
    found: dict[str, list[np.ndarray]] = {}
    for clip in lists.clips:
        mine = found.setdefault(clip.speaker, [])
        if len(mine) >= PITCH_CLIPS_PER_SPEAKER:
            continue
        try:
            keys = layout.sidecar_keys(clip.key)
            f0_hz, uv = sidecar.read_vector(root, keys.f0), sidecar.read_vector(root, keys.uv)
        except BadInput:
            continue
        mine.append(f0_hz[uv > 0])
    return {speaker: np.concatenate(parts) for speaker, parts in found.items() if parts}


def _metrics(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _heard(root: Path, evaluation: Evaluation | None) -> list[MadeClip]:
    audio = evaluation.audio if evaluation else []
    return [item for item in audio if (root / item.clip).is_file() and (root / item.made.key).is_file()]


def _conversions(root: Path) -> list[Converted]:
    paths = sorted((root / layout.CONVERT_MANIFESTS).glob("*.json"))
    return [record for path in paths if (record := Converted.read(path)) and (root / record.output.key).is_file()]


def _hashes(root: Path, voice: str) -> dict[str, str]:
    """sha256 of the files that pin a result: checkpoints and release."""
    hashes: dict[str, str] = {}
    sums = root / layout.release_dir(voice) / layout.SUMS_NAME
    if sums.is_file():
        for line in sums.read_text(encoding="utf-8").splitlines():
            digest, _, name = line.partition("  ")
            hashes[f"{layout.release_dir(voice)}/{name}"] = digest
    return hashes
