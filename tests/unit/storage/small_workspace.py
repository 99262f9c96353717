"""A workspace of a few hundred bytes whose records are of the right shape, in any store."""

from pathlib import Path
from typing import Any

from svc_core import files
from svc_core.manifest import FileRecord
from svc_core.storage.folder import FolderStore

RAW = ("raw/alice/monday.flac", "raw/alice/more/tuesday.flac")
CLIPS = tuple(f"data/44k/alice/wavs/take-0123abcd-{number}.wav" for number in (0, 5000, 9000))
SUFFIXES = (".wav.soft.pt", ".wav.f0.npy", ".wav.uv.npy", ".spec.pt", ".wav.vol.npy")
PLAN = "data/prep/manifests/prepare/plan.json"
SLICE = "data/prep/manifests/slice/alice/monday-1.json"
LISTS = "data/prep/manifests/filelists/plan.json"
LATEST = "logs/44k/alice/latest.json"
SUMS = "models/alice/SHA256SUMS"
CONVERTED = "converted/alice/song-1-alice.wav"


def features_record(clip: str) -> str:
    return f"data/prep/manifests/features/alice/{Path(clip).stem}.json"


def sidecars(clip: str) -> list[str]:
    return [clip.removesuffix(".wav") + suffix for suffix in SUFFIXES]


def put(root: Path, key: str, text: str | None = None) -> dict[str, Any]:
    """Writes a file (its own key is its content) and returns its record."""
    files.write_text(root / key, key if text is None else text)
    return FileRecord.of(root, key).model_dump()


def record(root: Path, key: str, value: Any) -> None:
    files.write_json(root / key, value)


def make(root: Path) -> FolderStore:
    recordings = [put(root, key) for key in RAW]
    clips = [put(root, key) for key in CLIPS]
    plan = [{**item, "speaker": "alice", "seconds": 30.0, "sha256": None} for item in recordings]
    record(root, PLAN, {"voice": "alice", "recordings": plan})
    cut = [{"file": clip, "samples": 441_000, "start_ms": 0} for clip in clips]
    record(root, SLICE, {"source": recordings[0], "speaker": "alice", "clips": cut})
    record(root, LISTS, {"clips": [{"file": clip, "seconds": 10.0} for clip in clips]})
    for clip in clips:
        parts = {"all": {"fingerprint": "x", "files": [put(root, key) for key in sidecars(clip["key"])]}}
        record(root, features_record(clip["key"]), {"wav": clip, "parts": parts})
    three = {part: put(root, f"logs/44k/alice/{part}_10.pth") for part in ("G", "D", "state")}
    record(root, LATEST, {"checkpoints": [{"step": 10, "epoch": 1, **three}]})
    model = put(root, "models/alice/model.safetensors")
    sums = put(root, SUMS, f"{model['sha256']}  model.safetensors\n")
    conversion = {"source": {**recordings[0], "key": "song.wav"}, "release": sums, "output": put(root, CONVERTED)}
    record(root, "data/prep/manifests/convert/song-1-alice.json", {**conversion, "conversion": {"samples": 88_200}})
    page = put(root, "reports/alice/index.html")
    record(root, "reports/alice/report.json", {"page": page})
    put(root, "data/44k/spk_map.json", '{"alice": 0}')
    put(root, "app/configs/44k/config_colab_alice.json", "{}")
    put(root, "data/prep/filelists/train.txt")
    return FolderStore(root)


def keys(store: Any) -> list[str]:
    return sorted(item.key for item in store.list())


def pour(source: FolderStore, target: Any) -> Any:
    """Every object as it is, records with the stamps of the source: what a plain copy gives."""
    for key in keys(source):
        data = (source.root / key).read_bytes()
        target.write(key, data, files.sha256_bytes(data))
    return target
