"""Ten hours of clips stay within what the Hub likes: fewer than 10,000 files a folder, 100 a commit, 100,000 in all."""

import json
from collections import Counter

import pytest
from hub_workspace import content

from svc_core import files, layout
from svc_core.audio.prepare import ClipRecord, RecordingRecord
from svc_core.hub import packing, pull_features, pull_sliced, push_features, push_sliced
from svc_core.manifest import FileRecord

RECORDINGS, CLIPS = 100, 45
"""4,500 clips of 8 s."""
SECONDS = 8
WAV_BYTES, SIDECAR_BYTES = 100, 120


@pytest.fixture(scope="session")
def ten_hours(tmp_path_factory):
    """Ten hours by number; the bytes are few. A clip has 100, each of its sidecars 120: six times the wav, as real."""
    root = tmp_path_factory.mktemp("ten hours")
    for number in range(RECORDINGS):
        key, sha256 = f"raw/bob/{number}.wav", files.sha256_bytes(b"%d" % number)
        clips = []
        for index in range(CLIPS):
            wav = layout.wav_key("bob", layout.clip_name(key, sha256, 8000 * index))
            clips.append(write_clip(root, wav, number * CLIPS + index, 8000 * index))
        source = FileRecord(key=key, sha256=sha256, size=1, stamp="x")
        made = RecordingRecord(source=source, speaker="bob", settings="s", clips=tuple(clips))
        files.write_json(root / layout.slice_manifest(key), made.model_dump(mode="json"))
    return root


def write_clip(root, wav: str, number: int, start_ms: int) -> ClipRecord:
    data = b"%0100d" % number
    files.write_bytes(root / wav, data)
    file = FileRecord.of(root, wav, files.sha256_bytes(data))
    made = []
    for key in layout.sidecar_keys(wav):
        files.write_bytes(root / key, data + b"12345678901234567890")
        made.append(FileRecord.of(root, key).model_dump())
    value = {"wav": file.model_dump(), "parts": {"all": {"fingerprint": "f", "files": made}}}
    files.write_json(root / layout.features_manifest(wav), value)
    end = start_ms + 1000 * SECONDS
    times = {"start_ms": start_ms, "end_ms": end, "first_sample": 0, "end_sample": 1, "samples": SECONDS * 44_100}
    return ClipRecord(file=file, **times, peak_dbfs=-1, rms_dbfs=-20)


@pytest.mark.parametrize(
    ("push", "pull", "kind", "real_bytes", "shards"),
    [
        # A shard takes as many of these small files as it would of real ones.
        (push_sliced, pull_sliced, "sliced", SECONDS * 88_200 + 44, 9),
        (push_features, pull_features, "features", 6 * SECONDS * 88_200, 48),
    ],
)
def test_ten_hours_stay_within_the_limits(
    hub_server, hub_here, ten_hours, empty, monkeypatch, push, pull, kind, real_bytes, shards
):
    from svc_core.hub import Hub

    small = 5 * SIDECAR_BYTES if kind == "features" else WAV_BYTES
    monkeypatch.setattr(packing, "SHARD_BYTES", packing.SHARD_BYTES * small // real_bytes)
    hub = Hub(hub_server.namespace)
    pushed = push(ten_hours, "bob", hub)
    there = hub_server.repo("dataset", f"{hub.namespace}/{kind}-bob")
    names = there.files()
    folders = Counter(name.rpartition("/")[0] for name in names)
    counts = {"files": len(names), "largest folder": max(folders.values()), "files pushed": pushed.files}
    print(f"{kind}: {counts}, {len(there.commits())} commits")  # shown with -rP  # noqa: T201
    assert sum(name.endswith((".tar", ".parquet")) for name in names) == shards
    assert len(names) <= shards + 7, "beside the shards: manifest, records, card, .gitattributes, three examples"
    assert max(folders.values()) <= 100
    assert pushed.files < 100, "one commit"
    assert len(json.loads(names["svc-jobs.json"])["entries"]) == (
        RECORDINGS if kind == "sliced" else RECORDINGS * CLIPS
    )
    pull(empty, "bob", hub)
    found = content(ten_hours, "data/44k")
    assert content(empty, "data/44k") == {
        key: data for key, data in found.items() if key.endswith(".wav") == (kind == "sliced")
    }
