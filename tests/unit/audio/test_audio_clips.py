"""Our own wavs: written as 4.1 writes them, and read back whole or not at all."""

import io as bytesio

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from svc_core.audio.io import encode_pcm16, read_clip
from svc_core.errors import BadInput


def test_bytes_equal_those_of_the_reference(golden, tmp_path):
    content = golden("sidecar_bytes")["bytes_wav"].tobytes()
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    clip = read_clip(path)
    assert (clip.rate_hz, len(clip.samples)) == (44_100, 20_577)
    assert clip.duration_s == 20_577 / 44_100
    # Half a step on, away from zero, so that truncation cannot fall below.
    values = np.frombuffer(content[44:], "<i2").astype(np.float32)
    assert encode_pcm16((values + 0.5 * np.sign(values)) / np.float32(32_767)) == content


def test_values_are_truncated_toward_zero_and_saturate():
    steps = np.array([0, 0.9, 1.0, 1.9, -0.9, -1.9, 32_767, 40_000, -32_768, -40_000], np.float32)
    data = np.frombuffer(encode_pcm16(steps / np.float32(32_767))[44:], "<i2")
    assert data.tolist() == [0, 0, 1, 1, 0, -1, 32_767, 32_767, -32_768, -32_768]


@settings(deadline=None)
@given(arrays(np.float32, st.integers(1, 300), elements=st.floats(-2, 2, width=32)))
def test_a_clip_comes_back_within_one_step(samples):
    data, rate_hz = soundfile.read(bytesio.BytesIO(encode_pcm16(samples)), dtype="int16")
    assert rate_hz == 44_100
    # Truncation loses less than one step; float32 products of up to 2**15 are exact to 2**-9.
    assert np.abs(data - np.clip(samples * 32_767.0, -32_768, 32_767)).max() <= 1 + 2**-9


def test_read_values_are_over_32768(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([-32_768, -1, 0, 1, 32_767], np.int16), 44_100)
    samples = read_clip(tmp_path / "a.wav").samples
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, np.array([-32_768, -1, 0, 1, 32_767], np.float32) / 32_768)


def broken_clips(folder):
    samples = np.zeros(1000)
    soundfile.write(folder / "rate.wav", samples, 48_000)
    soundfile.write(folder / "stereo.wav", np.zeros((1000, 2)), 44_100)
    soundfile.write(folder / "deep.wav", samples, 44_100, subtype="PCM_24")
    soundfile.write(folder / "float.wav", samples, 44_100, subtype="FLOAT")
    soundfile.write(folder / "flac.wav", samples, 44_100, format="FLAC")
    soundfile.write(folder / "none.wav", samples[:0], 44_100)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("hello")
    (folder / "cut.wav").write_bytes(encode_pcm16(samples)[:-1])
    (folder / "header.wav").write_bytes(encode_pcm16(samples)[:30])
    (folder / "folder.wav").mkdir()


NAMES = ["rate", "stereo", "deep", "float", "flac", "none", "empty", "text", "cut", "header", "folder", "missing"]


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_that_is_not_ours_is_refused(tmp_path, name):
    broken_clips(tmp_path)
    path = tmp_path / f"{name}.wav"
    with pytest.raises(BadInput, match="run slice again") as caught:
        read_clip(path)
    assert str(caught.value).startswith(str(path))
