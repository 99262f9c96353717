"""The door of the features stage, with an encoder that needs no weights."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from svc_core import layout
from svc_core.audio.io import encode_pcm16
from svc_core.config import RATE_HZ, parse
from svc_core.errors import BadInput, ConfigError, Transient
from svc_core.features import extract as door
from svc_core.features import sidecar
from svc_core.features.extract import PARTS, ClipFeatures, Task, extract, extract_many, load_tools, stale_parts
from svc_core.features.models import Pin
from svc_core.manifest import FileRecord
from svc_core.registry import ENCODERS

FILES = {
    "content": ("content",),
    "pitch": ("f0", "uv"),
    "spec": ("spec",),
    "volume": ("volume",),
}


def config(f0: str = "dio", encoder: str = "mel-bands", **features):
    row = ENCODERS[encoder]
    model = {"speech_encoder": row.config_name, "ssl_dim": row.width, "gin_channels": row.width}
    return parse(
        {
            "model": model,
            "spk": {"alice": 0},
            "svc_jobs": {"voice": "alice", "features": {"f0_predictor": f0, **features}},
        },
        "test",
    )


def tone(seconds: float, f0_hz: float = 150) -> np.ndarray:
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return (0.1 * sum(np.sin(2 * np.pi * f0_hz * k * time_s) / k for k in range(1, 9))).astype(np.float32)


def put(root: Path, samples: np.ndarray, clip: str = "tone-01234567-0") -> FileRecord:
    key = layout.wav_key("alice", clip)
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_pcm16(samples))
    return FileRecord.of(root, key)


def bytes_of(root: Path, wav: FileRecord) -> dict[str, bytes]:
    keys = layout.sidecar_keys(wav.key)._asdict()
    return {name: (root / key).read_bytes() for name, key in keys.items() if (root / key).is_file()}


def stamps_of(root: Path, wav: FileRecord) -> dict[str, int]:
    return {name: (root / key).stat().st_mtime_ns for name, key in layout.sidecar_keys(wav.key)._asdict().items()}


@pytest.fixture
def tools(tmp_path):
    return load_tools(config(), root=tmp_path)


@pytest.fixture
def wav(tmp_path):
    return put(tmp_path, tone(0.7))


def fingerprints(root: Path, **changes) -> dict[str, str]:
    return door.fingerprints(config(**changes), root)


@pytest.mark.parametrize("seconds", [0.03, 0.3, 0.5, 0.999, 1.7])
def test_all_sidecars_have_the_shapes_of_the_workspace(tmp_path, tools, seconds):
    samples = tone(seconds)
    wav = put(tmp_path, samples)
    extract(tmp_path, wav, tools, PARTS)
    made = sidecar.read_all(tmp_path, wav.key)
    frames = len(samples) // 512
    encoder_frames = (-(-len(samples) * 16_000 // 44_100) - 400) // 320 + 1
    assert made.content.shape == (80, encoder_frames)
    assert made.spec.shape == (1025, frames)
    assert made.f0_hz.shape == made.uv.shape == made.volume.shape == (frames,)
    keys = layout.sidecar_keys(wav.key)
    assert torch.load(tmp_path / keys.content, weights_only=True).shape == (1, 80, encoder_frames)
    assert sorted(path.name for path in (tmp_path / wav.key).parent.iterdir()) == sorted(
        Path(key).name for key in (wav.key, *keys)
    )


def test_pitch_is_the_tones(tmp_path, tools, wav):
    extract(tmp_path, wav, tools, frozenset({"pitch"}))
    keys = layout.sidecar_keys(wav.key)
    f0_hz, uv = (sidecar.read_vector(tmp_path, key) for key in (keys.f0, keys.uv))
    assert uv[5:-5].all()
    np.testing.assert_allclose(f0_hz[5:-5], 150, rtol=0.01)
    assert set(bytes_of(tmp_path, wav)) == {"f0", "uv"}


def test_the_record_names_every_file_and_makes_the_clip_done(tmp_path, tools, wav):
    record = extract(tmp_path, wav, tools, PARTS)
    keys = layout.sidecar_keys(wav.key)
    named = {part: tuple(one.key for one in made.files) for part, made in record.parts.items()}
    assert named == {part: tuple(getattr(keys, name) for name in names) for part, names in FILES.items()}
    for made in record.parts.values():
        for one in made.files:
            assert one.sha256 == hashlib.sha256((tmp_path / one.key).read_bytes()).hexdigest()
    path = tmp_path / layout.features_manifest(wav.key)
    record.write(path)
    staleness = stale_parts(lambda made: made.check(tmp_path), wav, ClipFeatures.read(path), fingerprints(tmp_path))
    assert staleness.parts == frozenset()
    assert staleness.record == record


def test_nothing_recorded_means_everything_to_do(tmp_path, wav):
    assert stale_parts(lambda made: made.check(tmp_path), wav, None, fingerprints(tmp_path)) == (PARTS, None)


def test_another_f0_predictor_redoes_only_pitch(tmp_path, tools, wav):
    record = extract(tmp_path, wav, tools, PARTS)
    before = stamps_of(tmp_path, wav)
    staleness = stale_parts(lambda made: made.check(tmp_path), wav, record, fingerprints(tmp_path, f0="harvest"))
    assert staleness.parts == {"pitch"}
    others = load_tools(config("harvest"), root=tmp_path, parts=staleness.parts)
    second = extract(tmp_path, wav, others, staleness.parts, staleness.record)
    after = stamps_of(tmp_path, wav)
    assert {name for name in after if after[name] != before[name]} == {"f0", "uv"}
    assert (
        stale_parts(lambda made: made.check(tmp_path), wav, second, fingerprints(tmp_path, f0="harvest")).parts
        == frozenset()
    )


@pytest.mark.parametrize("part", sorted(PARTS))
def test_each_part_falls_by_its_own_files(tmp_path, tools, wav, part):
    record = extract(tmp_path, wav, tools, PARTS)
    for name in FILES[part]:
        path = tmp_path / getattr(layout.sidecar_keys(wav.key), name)
        good = path.read_bytes()
        for damaged in (None, good[:-1], good[:-1] + bytes([good[-1] ^ 1])):
            path.unlink()
            if damaged is not None:
                path.write_bytes(damaged)
            staleness = stale_parts(lambda made: made.check(tmp_path), wav, record, fingerprints(tmp_path))
            assert staleness.parts == {part}
            assert set(staleness.record.parts) == PARTS - {part}
            path.write_bytes(good)


def test_a_copied_workspace_is_still_done_and_its_record_refreshed(tmp_path, tools, wav):
    record = extract(tmp_path, wav, tools, PARTS)
    for key in layout.sidecar_keys(wav.key):
        data = (tmp_path / key).read_bytes()
        (tmp_path / key).unlink()
        (tmp_path / key).write_bytes(data)
    staleness = stale_parts(lambda made: made.check(tmp_path), wav, record, fingerprints(tmp_path))
    assert staleness.parts == frozenset()
    assert staleness.record != record
    assert stale_parts(lambda made: made.check(tmp_path), wav, staleness.record, fingerprints(tmp_path)) == staleness


def test_another_wav_makes_everything_stale(tmp_path, tools, wav):
    record = extract(tmp_path, wav, tools, PARTS)
    other = put(tmp_path, tone(0.7, f0_hz=200))
    assert stale_parts(lambda made: made.check(tmp_path), other, record, fingerprints(tmp_path)) == (PARTS, None)
    assert set(extract(tmp_path, other, tools, frozenset({"spec"}), record).parts) == {"spec"}


def test_settings_change_the_fingerprint_of_their_own_part(tmp_path):
    plain = fingerprints(tmp_path, encoder="whisper-base")
    assert len(set(plain.values())) == len(PARTS)

    def changed(**changes) -> set[str]:
        now = fingerprints(tmp_path, **({"encoder": "whisper-base"} | changes))
        return {part for part in now if now[part] != plain[part]}

    assert changed(f0="harvest") == {"pitch"}
    assert changed(encoder="mel-bands") == {"content"}
    assert changed(encoder_precision="bf16") == {"content"}
    assert changed(encoder_backend="onnx") == {"content"}


def test_the_pinned_weights_count_without_being_read(tmp_path):
    before = fingerprints(tmp_path, f0="rmvpe")
    Pin(repo=None, revision=None, file="rmvpe.onnx", sha256="0" * 64).write(tmp_path / layout.model_pin("rmvpe"))
    after = fingerprints(tmp_path, f0="rmvpe")
    assert {part for part in PARTS if before[part] != after[part]} == {"pitch"}


def test_equal_inputs_give_equal_bytes(tmp_path):
    made = []
    for name in ("first", "second"):
        root = tmp_path / name
        wav = put(root, tone(0.7))
        extract(root, wav, load_tools(config("swift-f0"), root=root), PARTS)
        made.append(bytes_of(root, wav))
    assert set(made[0]) == {"content", "f0", "uv", "spec", "volume"}
    assert made[0] == made[1]


@pytest.mark.parametrize("workers", [1, 3])
def test_many_clips_come_in_order_and_a_poison_clip_stops_no_other(tmp_path, tools, workers):
    wavs = [put(tmp_path, tone(0.3 + 0.2 * number), f"tone-01234567-{number}") for number in range(5)]
    (tmp_path / wavs[2].key).write_bytes(b"RIFF not a wav")
    wavs[2] = FileRecord.of(tmp_path, wavs[2].key)
    wavs[3] = wavs[3].model_copy(update={"sha256": "0" * 64, "stamp": "mtime:0"})
    outcomes = list(extract_many(tmp_path, [Task(wav, PARTS, None) for wav in wavs], tools, workers))
    assert [outcome.wav for outcome in outcomes] == wavs
    assert [outcome.error is None for outcome in outcomes] == [True, True, False, False, True]
    for outcome in outcomes[2:4]:
        assert outcome.features is None
        assert isinstance(outcome.error, BadInput)
        assert outcome.wav.key in str(outcome.error)
    for outcome in (outcomes[0], outcomes[1], outcomes[4]):
        assert outcome.features == extract(tmp_path, outcome.wav, tools, frozenset(), outcome.features)
        sidecar.read_all(tmp_path, outcome.wav.key)


def test_the_bytes_do_not_depend_on_the_number_of_workers(tmp_path):
    made = []
    for workers in (1, 3):
        root = tmp_path / str(workers)
        wavs = [put(root, tone(0.5, 120 + 30 * number), f"tone-01234567-{number}") for number in range(4)]
        list(extract_many(root, [Task(wav, PARTS, None) for wav in wavs], load_tools(config(), root=root), workers))
        made.append([bytes_of(root, wav) for wav in wavs])
    assert made[0] == made[1]


def test_an_error_that_is_not_the_clips_ends_the_run(tmp_path, tools, wav):
    """A folder where a sidecar should go: the workspace is at fault, not the clip."""
    blocked = put(tmp_path, tone(0.5), "blocked-01234567-0")
    (tmp_path / layout.sidecar_keys(blocked.key).content / "x").mkdir(parents=True)
    outcomes = extract_many(tmp_path, [Task(wav, PARTS, None), Task(blocked, PARTS, None)], tools, 1)
    assert next(outcomes).error is None
    with pytest.raises(Transient, match=r"blocked.*soft\.pt"):
        next(outcomes)


@pytest.mark.parametrize("samples", [1, 511, 1102])
def test_a_clip_below_25_ms_is_bad_input(tmp_path, tools, samples):
    wav = put(tmp_path, tone(1)[:samples])
    with pytest.raises(BadInput, match=f"{wav.key} has {samples} samples"):
        extract(tmp_path, wav, tools, PARTS)
    assert not bytes_of(tmp_path, wav)


def test_a_missing_or_changed_wav_is_bad_input(tmp_path, tools, wav):
    (tmp_path / wav.key).write_bytes(encode_pcm16(tone(0.7, 99)))
    with pytest.raises(BadInput, match="changed"):
        extract(tmp_path, wav, tools, PARTS)
    (tmp_path / wav.key).unlink()
    with pytest.raises(BadInput, match="missing"):
        extract(tmp_path, wav, tools, PARTS)


def test_tools_are_loaded_only_for_the_parts_that_need_them(tmp_path):
    """Whisper's weights are not here: only whoever asks for content hears of it."""
    wrong = config(encoder="whisper-base")
    load_tools(wrong, root=tmp_path, parts=frozenset({"pitch", "spec", "volume"}))
    with pytest.raises(ConfigError, match="whisper-base"):
        load_tools(wrong, root=tmp_path)
    with pytest.raises(ConfigError, match="rmvpe"):
        load_tools(config("rmvpe"), root=tmp_path, parts=frozenset({"pitch"}))


def test_loading_tools_pins_their_weights(tmp_path):
    tools = load_tools(config("swift-f0"), root=tmp_path)
    assert (tmp_path / layout.model_pin("swift-f0")).is_file()
    assert tools.fingerprints == fingerprints(tmp_path, f0="swift-f0")
    wanted = config("swift-f0", weights_sha256={"swift-f0": "0" * 64})
    with pytest.raises(ConfigError, match="weights_sha256"):
        load_tools(wanted, root=tmp_path)
