"""What every row of the encoder registry must do. A new row is under test as soon as it is in the registry."""

import inspect
import math
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from svc_core import registry
from svc_core.errors import ConfigError
from svc_core.features import models
from svc_core.registry import ENCODERS

# N for T samples at 16 kHz. Whisper says something of every 20 ms, HuBERT of every whole window of 25 ms.
FRAMES = {"whisper-base": lambda samples: samples // 320}


def frames_of(name: str, samples: int) -> int:
    return FRAMES.get(name, lambda n: (n - 400) // 320 + 1)(samples)


def build(name: str, backend: str = "torch", precision: str = "fp32"):
    row = ENCODERS[name]
    return registry.load(row.target, row.extra)(models.locate(name), backend, precision, "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """$SVC_MODELS with a model in miniature for every row that needs one; widths are the real ones."""
    base = tmp_path_factory.mktemp("models")
    tiny_models.write_hubert(base / "contentvec-768l12", hidden_size=768, num_attention_heads=12, projected_to=None)
    tiny_models.write_hubert(base / "contentvec-256l9")
    tiny_models.write_whisper(base / "whisper-base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SVC_MODELS", str(base))
        yield base


@pytest.fixture(scope="module", params=ENCODERS)
def row(request, folder):
    """Name and encoder of each row."""
    return request.param, build(request.param)


def voice(samples: int) -> np.ndarray:
    """A harmonic tone with some noise, [T] at 16 kHz."""
    time_s = np.arange(samples) / 16_000
    tone = sum(np.sin(2 * np.pi * 150 * k * time_s) / k for k in range(1, 12))
    return (0.1 * tone + 0.01 * np.random.default_rng(1).standard_normal(samples)).astype(np.float32)


def test_width_is_the_registrys(row):
    name, encoder = row
    assert encoder.width == ENCODERS[name].width


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(math.ceil(0.3 * 44_100), 3 * 44_100))
def test_every_length_gives_its_frames_of_finite_float32(row, samples_44k):
    name, encoder = row
    samples = -(-samples_44k * 16_000 // 44_100)
    content = encoder.encode(voice(samples))
    assert content.shape == (encoder.width, frames_of(name, samples))
    assert content.dtype == np.float32
    assert np.isfinite(content).all()
    assert encoder.frames(samples) == frames_of(name, samples)


@pytest.mark.parametrize("samples", [400, 719, 720, 1040])
def test_short_audio_gives_its_few_frames(row, samples):
    name, encoder = row
    assert encoder.encode(voice(samples)).shape == (encoder.width, frames_of(name, samples))


def test_too_short_audio_is_announced_as_no_frames(row):
    _, encoder = row
    assert encoder.frames(0) == encoder.frames(319) == 0


def test_silence_gives_finite_content(row):
    _, encoder = row
    assert np.isfinite(encoder.encode(np.zeros(16_000, dtype=np.float32))).all()


def test_equal_audio_gives_equal_content(row):
    name, encoder = row
    audio = voice(16_000)
    first = encoder.encode(audio)
    np.testing.assert_array_equal(first, encoder.encode(audio))
    np.testing.assert_array_equal(first, build(name).encode(audio))


def test_content_follows_the_audio(row):
    _, encoder = row
    audio = voice(16_000)
    assert not np.allclose(encoder.encode(audio), encoder.encode(audio[::-1].copy()))


def test_the_audio_is_left_as_it_was(row):
    _, encoder = row
    audio = voice(8000)
    before = audio.copy()
    encoder.encode(audio)
    np.testing.assert_array_equal(audio, before)


@pytest.mark.parametrize("name", [name for name, row in ENCODERS.items() if row.model])
def test_an_absent_model_is_configuration(tmp_path, monkeypatch, name):
    monkeypatch.setenv("SVC_MODELS", str(tmp_path))
    with pytest.raises(ConfigError, match=name):
        build(name)


@pytest.mark.parametrize(
    ("name", "backend", "precision"),
    [
        ("contentvec-768l12", "onnx", "bf16"),
        ("contentvec-256l9", "onnx", "bf16"),
        ("contentvec-768l12", "torch", "int8"),
        ("whisper-base", "onnx", "fp32"),
        ("whisper-base", "torch", "int8"),
        ("mel-bands", "onnx", "fp32"),
        ("mel-bands", "torch", "bf16"),
    ],
)
def test_what_does_not_go_together_is_configuration(folder, name, backend, precision):
    with pytest.raises(ConfigError, match=backend if backend == "onnx" else precision):
        build(name, backend, precision)


def test_mel_bands_say_what_they_carry():
    assert "demo and tests only" in ENCODERS["mel-bands"].summary
    assert "speaker" in ENCODERS["mel-bands"].summary


def test_mel_bands_are_a_scaled_logarithm_of_power(folder):
    encoder, loud = build("mel-bands"), voice(16_000)
    np.testing.assert_allclose(encoder.encode(np.zeros(8000, dtype=np.float32)), -1, rtol=1e-6)
    content = encoder.encode(loud)
    assert content.min() >= -1
    assert 0.3 < content.max() <= 1.3
    # A tenth of the amplitude is a hundredth of the power: log10 falls by 2, and a quarter of that is stored.
    np.testing.assert_allclose(encoder.encode(loud / 10), np.maximum(content - 0.5, -1), atol=1e-5)


def test_the_page_for_authors_shows_what_the_code_calls():
    page = (Path(__file__).parents[2] / "docs/plugins.md").read_text()
    shown: dict = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(textwrap.dedent(block), shown)
    for name, row in {"MyEncoder": ENCODERS["mel-bands"], "MyPredictor": registry.F0_PREDICTORS["dio"]}.items():
        real = registry.load(row.target, row.extra)
        methods = [method for method in vars(real) if inspect.isfunction(vars(real)[method])]
        for method in methods:
            assert inspect.signature(getattr(shown[name], method)) == inspect.signature(getattr(real, method))
