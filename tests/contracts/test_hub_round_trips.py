"""Each kind there and back, byte for byte, on every Hub there is: loopback, and the real one where a token is given."""

import io
import json

import pytest
import soundfile
from hub_workspace import agree, content, write_release

from svc_core import layout
from svc_core.audio.prepare import RecordingRecord
from svc_core.consent import Use
from svc_core.errors import BadInput, ConfigError
from svc_core.features.extract import ClipFeatures
from svc_core.hub import (
    Hub,
    Repo,
    pull_features,
    pull_model,
    pull_raw,
    pull_sliced,
    push_features,
    push_model,
    push_raw,
    push_sliced,
)
from svc_core.hub.noted import HubRecord
from svc_core.manifest import restamped

PAIRS = {
    "raw": (push_raw, pull_raw, ("raw", "consents")),
    "sliced": (push_sliced, pull_sliced, ("data/44k",)),
    "features": (push_features, pull_features, ("data/44k",)),
    "model": (push_model, pull_model, ("models",)),
}


def wanted(root, kind: str) -> dict[str, bytes]:
    found = content(root, *PAIRS[kind][2])
    if kind == "sliced":
        return {key: data for key, data in found.items() if key.endswith(".wav")}
    if kind == "features":
        return {key: data for key, data in found.items() if key.endswith((".pt", ".npy"))}
    return found


@pytest.mark.parametrize("kind", PAIRS)
def test_what_is_pulled_is_what_was_pushed(hub, made, empty, kind):
    agree(made.root, made.speaker)
    push, pull, _ = PAIRS[kind]
    pushed = push(made.root, made.speaker, hub)
    pulled = pull(empty, made.speaker, hub)
    assert content(empty, *PAIRS[kind][2]) == wanted(made.root, kind)
    assert not pushed.already
    assert pulled.files == len(wanted(made.root, kind))
    assert pulled.revision == pushed.revision
    noted = HubRecord.read(empty / layout.hub_record(kind, made.speaker))
    assert (noted.repo, noted.pulled) == (Repo(kind, hub.namespace, made.speaker).id, pushed.revision)
    assert HubRecord.read(made.root / layout.hub_record(kind, made.speaker)).pushed == pushed.revision


@pytest.mark.parametrize("kind", PAIRS)
def test_the_second_time_there_is_nothing_to_do(hub, made, kind):
    agree(made.root, made.speaker)
    push, pull, _ = PAIRS[kind]
    first = push(made.root, made.speaker, hub)
    again = push(made.root, made.speaker, hub)
    assert (again.already, again.files, again.revision) == (True, 0, first.revision)
    pulled = pull(made.root, made.speaker, hub)
    assert (pulled.files, pulled.bytes) == (0, 0)
    assert pulled.skipped > 0


def test_pulled_records_are_those_of_the_stages(hub, made, empty):
    for kind in ("sliced", "features"):
        PAIRS[kind][0](made.root, made.speaker, hub)
        PAIRS[kind][1](empty, made.speaker, hub)
    for folder, record in (("slice", RecordingRecord), ("features", ClipFeatures)):
        paths = sorted((made.root / layout.MANIFESTS / folder).rglob("*.json"))
        assert paths
        for path in paths:
            there = empty / path.relative_to(made.root)
            assert record.read(there) is not None
            ours, theirs = (restamped(json.loads(one.read_bytes()), lambda _: "") for one in (path, there))
            assert ours == theirs


def test_clips_stream_as_a_data_set_with_sound(hub, made, tmp_path):
    import datasets

    push_sliced(made.root, made.speaker, hub)
    repo = Repo("sliced", hub.namespace, made.speaker)
    found = datasets.load_dataset(repo.id, split="train", streaming=True, token=hub.token)
    assert isinstance(found.features["audio"], datasets.Audio)
    # torchcodec, which decodes for `datasets`, is not among our packages: the bytes are read as they are.
    rows = list(found.cast_column("audio", datasets.Audio(decode=False)))
    wavs = wanted(made.root, "sliced")
    assert {row["clip"]: row["audio"]["bytes"] for row in rows} == wavs
    assert {row["speaker"] for row in rows} == {made.speaker}
    assert {row["split"] for row in rows} == {"train", "val"}
    for row in rows:
        sound, rate_hz = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
        assert rate_hz == 44_100
        assert len(sound) / rate_hz == pytest.approx(row["seconds"], abs=1 / rate_hz)
        assert f"-{round(row['offset_s'] * 1000)}.wav" in row["clip"]
        assert (made.root / row["source"]).is_file()


def test_only_what_these_inputs_and_settings_gave_is_pulled(hub, made, empty):
    push_sliced(made.root, made.speaker, hub)
    records = [RecordingRecord.read(path) for path in (made.root / layout.slice_manifests_dir(made.speaker)).iterdir()]
    one = records[0]
    from_one = {one.source.key: one.source.sha256}
    assert pull_sliced(empty, made.speaker, hub, made_from=from_one, settings="0" * 32).files == 0
    assert pull_sliced(empty, made.speaker, hub, made_from={one.source.key: "0" * 64}).files == 0
    assert pull_sliced(empty, made.speaker, hub, made_from=from_one, settings=one.settings).files == len(one.clips)


def test_only_the_parts_of_these_settings_are_pulled(hub, made, empty):
    push_features(made.root, made.speaker, hub)
    paths = sorted((made.root / layout.features_manifests_dir(made.speaker)).iterdir())
    records = [ClipFeatures.read(path) for path in paths]
    parts = {"spec": records[0].parts["spec"].fingerprint, "pitch": "of other settings"}
    made_from = {record.wav.key: record.wav.sha256 for record in records[:2]}
    assert pull_features(empty, made.speaker, hub, made_from=made_from, parts=parts).files == 2
    pulled = ClipFeatures.read(empty / layout.features_manifest(records[0].wav.key))
    assert set(pulled.parts) == {"spec"}
    pull_features(empty, made.speaker, hub)
    assert content(empty, "data/44k") == wanted(made.root, "features")


def test_a_recording_of_the_workspace_is_never_replaced(hub, made, empty):
    push_raw(made.root, made.speaker, hub)
    mine = empty / "raw" / made.speaker / "take 0.flac"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(BadInput, match=r"take 0\.flac.*never replaced"):
        pull_raw(empty, made.speaker, hub)
    assert content(empty, "raw") == {f"raw/{made.speaker}/take 0.flac": b"mine"}


def test_a_recording_changed_under_its_name_stands_beside_the_old_commit(hub, made, empty, tmp_path):
    first = push_raw(made.root, made.speaker, hub)
    old = wanted(made.root, "raw")
    (made.root / "raw" / made.speaker / "take 0.flac").write_bytes(b"another take")
    push_raw(made.root, made.speaker, hub)
    pull_raw(empty, made.speaker, hub)
    assert content(empty, "raw") == wanted(made.root, "raw")
    before = tmp_path / "before"
    before.mkdir()
    pull_raw(before, made.speaker, hub, revision=first.revision)
    assert content(before, "raw") == old


def test_a_release_is_a_whole_and_its_tag_stays(hub, made, empty):
    agree(made.root, made.speaker)
    push_model(made.root, made.speaker, hub)
    pull_model(empty, made.speaker, hub)
    (made.root / "models" / made.speaker / "G_6.pth").unlink()
    write_release(made.root, made.speaker, step=9, weights=b"better" * 1000)
    push_model(made.root, made.speaker, hub)
    pull_model(empty, made.speaker, hub)
    assert content(empty, "models") == content(made.root, "models")
    pull_model(empty, made.speaker, hub, revision="step-6")
    assert (empty / "models" / made.speaker / "G_6.pth").is_file()
    assert not (empty / "models" / made.speaker / "G_9.pth").exists()


def test_a_file_of_the_owner_beside_a_release_outlives_a_pull(hub, made, empty):
    agree(made.root, made.speaker)
    push_model(made.root, made.speaker, hub)
    mine = empty / "models" / made.speaker / "LICENSE"
    write_release(empty, made.speaker, step=3)
    mine.write_text("mine")
    pull_model(empty, made.speaker, hub)
    assert mine.read_text() == "mine"
    assert not mine.with_name("G_3.pth").exists()
    mine.unlink()
    assert content(empty, "models") == content(made.root, "models")


def test_nothing_is_shared_without_consent(hub, made):
    with pytest.raises(ConfigError, match="svc-jobs consent"):
        push_model(made.root, made.speaker, hub)
    public = Hub(hub.namespace, private=False, token=hub.token)
    for push in (push_raw, push_sliced, push_features):
        with pytest.raises(ConfigError, match="share-recordings"):
            push(made.root, made.speaker, public)
    agree(made.root, made.speaker, Use.SHARE_RECORDINGS)
    assert not push_raw(made.root, made.speaker, public).already
    with pytest.raises(ConfigError, match="is public"):
        push_raw(made.root, made.speaker, hub)


def test_nothing_to_push_or_to_pull_is_said(hub, empty):
    with pytest.raises(BadInput, match="does not exist"):
        pull_raw(empty, "nobody", hub)
    with pytest.raises(BadInput, match="no sliced of 'nobody' to push"):
        push_sliced(empty, "nobody", hub)
