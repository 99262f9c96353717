import io

import numpy as np
import pytest
import torch

from svc_core import layout
from svc_core.errors import BadInput
from svc_core.features import sidecar, spectrogram, volume
from svc_core.features.sidecar import CorruptSidecar

WAV = "data/44k/alice/wavs/hello-01234567-0.wav"
KEYS = layout.sidecar_keys(WAV)


def arrays(frames: int = 20, encoder_frames: int = 12) -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    return {
        "content": random.standard_normal((24, encoder_frames)).astype(np.float32),
        "f0": random.uniform(80, 300, frames).astype(np.float32),
        "uv": (random.random(frames) > 0.5).astype(np.float32),
        "spec": random.random((1025, frames)).astype(np.float32),
        "volume": random.random(frames).astype(np.float32),
    }


def write(root, values) -> None:
    sidecar.write_content(root, WAV, values["content"])
    sidecar.write_tensor(root, KEYS.spec, values["spec"])
    for name in ("f0", "uv", "volume"):
        sidecar.write_vector(root, getattr(KEYS, name), values[name])


def test_what_is_written_is_read(tmp_path):
    values = arrays()
    write(tmp_path, values)
    read = sidecar.read_all(tmp_path, WAV)
    for name, field in (("content", "content"), ("f0", "f0_hz"), ("uv", "uv"), ("spec", "spec"), ("volume", "volume")):
        np.testing.assert_array_equal(getattr(read, field), values[name])


def test_record_names_the_bytes_on_the_disk(tmp_path):
    record = sidecar.write_content(tmp_path, WAV, arrays()["content"])
    assert record.key == KEYS.content
    assert record.check(tmp_path) == record
    data = (tmp_path / KEYS.content).read_bytes()
    assert record.size == len(data)


def test_bytes_depend_on_the_content_alone(tmp_path):
    content = arrays()["content"]
    first = sidecar.write_content(tmp_path, WAV, content)
    # The same values as a view of something larger, under another name.
    larger = np.zeros((48, 24), dtype=np.float32)
    larger[::2, ::2] = content
    second = sidecar.write_content(tmp_path, WAV.replace("alice", "bob"), larger[::2, ::2])
    assert first.sha256 == second.sha256


def test_files_have_the_form_of_so_vits_svc_41(tmp_path, golden):
    """Its own file of a clip and ours of the same values: equal shape, type and content once loaded."""
    theirs = {name: golden("sidecar_bytes")[f"bytes_{name}"].tobytes() for name in ("soft_pt", "spec_pt", "vol_npy")}
    soft = torch.load(io.BytesIO(theirs["soft_pt"]), weights_only=True)
    sidecar.write_content(tmp_path, WAV, soft[0].numpy())
    ours = torch.load(tmp_path / KEYS.content, weights_only=True)
    assert ours.dtype == soft.dtype == torch.float32
    assert torch.equal(ours, soft)
    for key, name in ((KEYS.spec, "spec_pt"), (KEYS.volume, "vol_npy")):
        path = tmp_path / key
        path.write_bytes(theirs[name])
    frames = np.load(io.BytesIO(theirs["vol_npy"]), allow_pickle=False)
    np.testing.assert_array_equal(sidecar.read_vector(tmp_path, KEYS.volume), frames)
    assert sidecar.read_spec(tmp_path, KEYS.spec).shape == (1025, len(frames))


def test_spec_and_volume_equal_the_references_files(golden):
    data = golden("sidecar_bytes")
    audio = np.frombuffer(data["bytes_wav"].tobytes()[44:], dtype="<i2").astype(np.float32) / np.float32(32768)
    spec = torch.load(io.BytesIO(data["bytes_spec_pt"].tobytes()), weights_only=True).numpy()
    made = spectrogram.linear(audio)
    assert made.shape == spec.shape
    assert made.dtype == np.float32
    # FORMATS §10 says 3e-5; values reach 250, whose last digit in float32 is worth 1.5e-5.
    np.testing.assert_allclose(made, spec, atol=3e-5, rtol=2**-22)
    loudness = np.load(io.BytesIO(data["bytes_vol_npy"].tobytes()), allow_pickle=False)
    np.testing.assert_allclose(volume.envelope(audio), loudness, atol=4e-8, rtol=0)  # FORMATS §10


def test_pickled_pair_of_41_is_refused_by_name(tmp_path, golden):
    (tmp_path / KEYS.f0).parent.mkdir(parents=True)
    (tmp_path / KEYS.f0).write_bytes(golden("sidecar_bytes")["bytes_f0_npy"].tobytes())
    with pytest.raises(CorruptSidecar, match=KEYS.f0):
        sidecar.read_vector(tmp_path, KEYS.f0)


@pytest.mark.parametrize("part", ["content", "f0", "uv", "spec", "volume"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text", "flipped"])
def test_damage_is_named(tmp_path, part, damage):
    write(tmp_path, arrays())
    key = getattr(KEYS, part)
    path = tmp_path / key
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        flipped = bytes(byte ^ 0xFF for byte in data[: len(data) // 2]) + data[len(data) // 2 :]
        path.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "text": b"hello", "flipped": flipped}[damage])
    with pytest.raises(CorruptSidecar, match=key) as caught:
        sidecar.read_all(tmp_path, WAV)
    assert caught.value.exit_code == BadInput.exit_code == 66
    assert "features" in str(caught.value)


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("content", np.zeros((24, 12), np.float32)),
        ("content", np.zeros((2, 24, 12), np.float32)),
        ("content", np.zeros((1, 24, 0), np.float32)),
        ("content", np.full((1, 24, 12), np.nan, np.float32)),
        ("spec", np.zeros((513, 20), np.float32)),
        ("spec", np.full((1025, 20), np.inf, np.float32)),
        ("f0", np.zeros((20, 1), np.float32)),
        ("f0", np.zeros(19, np.float32)),
        ("uv", np.zeros(21, np.float32)),
        ("volume", np.full(20, np.nan, np.float32)),
    ],
)
def test_wrong_shape_or_values_are_named(tmp_path, part, values):
    write(tmp_path, arrays())
    writer = sidecar.write_tensor if part in ("content", "spec") else sidecar.write_vector
    writer(tmp_path, getattr(KEYS, part), values)
    with pytest.raises(CorruptSidecar, match=getattr(KEYS, part)):
        sidecar.read_all(tmp_path, WAV)


@pytest.mark.parametrize("part", ["content", "f0"])
def test_wrong_type_is_named(tmp_path, part):
    write(tmp_path, arrays())
    path = tmp_path / getattr(KEYS, part)
    if part == "content":
        torch.save(torch.zeros(1, 24, 12, dtype=torch.float16), path)
    else:
        np.save(path, np.zeros(20))
    with pytest.raises(CorruptSidecar, match="instead of float32"):
        sidecar.read_all(tmp_path, WAV)


def test_code_in_a_tensor_file_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    (tmp_path / KEYS.content).parent.mkdir(parents=True)
    torch.save(Trap(), tmp_path / KEYS.content)
    with pytest.raises(CorruptSidecar, match=KEYS.content):
        sidecar.read_content(tmp_path, KEYS.content)
    assert not (tmp_path / "ran").exists()
