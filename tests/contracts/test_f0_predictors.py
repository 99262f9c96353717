"""What every row of the f0 registry must do. A new row is under test as soon as it is in the registry."""

import math

import numpy as np
import pytest
import tiny_models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from svc_core import registry
from svc_core.errors import ConfigError
from svc_core.features import models
from svc_core.features.pitch import interpolate
from svc_core.registry import F0_PREDICTORS

BRINGS_ITS_WEIGHTS = [name for name, row in F0_PREDICTORS.items() if row.model is None or row.model.package]
# CREPE takes 3 s of CPU for a second of audio: it is tried on few and short signals.
EXAMPLES = {"crepe": 1}
LONGEST_S = {"crepe": 0.4}


def build(name: str):
    row = F0_PREDICTORS[name]
    return registry.load(row.target, row.extra)(models.locate(name), "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """$SVC_MODELS with a stand-in for the weights that the user must bring."""
    base = tmp_path_factory.mktemp("models")
    tiny_models.write_rmvpe(base / "rmvpe" / "rmvpe.onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SVC_MODELS", str(base))
        yield base


@pytest.fixture(scope="module", params=F0_PREDICTORS)
def row(request, folder):
    """Name and predictor of each row."""
    return request.param, build(request.param)


def harmonic(f0_hz: float, samples: int) -> np.ndarray:
    time_s = np.arange(samples) / 44_100
    return (0.2 * sum(np.sin(2 * np.pi * f0_hz * k * time_s) / k for k in range(1, 9))).astype(np.float32)


def test_every_length_gives_its_frames_of_plausible_float32(row):
    name, predictor = row

    @settings(max_examples=EXAMPLES.get(name, 6), deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(math.ceil(0.3 * 44_100), int(LONGEST_S.get(name, 3) * 44_100)))
    def check(samples):
        track = predictor.predict(harmonic(180, samples), samples // 512)
        assert track.shape == (samples // 512,)
        assert track.dtype == np.float32
        assert np.isfinite(track).all()
        voiced = track[track > 0]
        assert ((voiced >= 50 * 0.99) & (voiced <= 1100 * 1.01)).all()
        assert (track >= 0).all()

    check()


@pytest.mark.parametrize("samples", [0, 1, 511, 512, 700, 1023, 1024, 1500])
def test_clips_shorter_than_a_window_do_not_break(row, samples):
    _, predictor = row
    for audio in (harmonic(220, samples), np.zeros(samples, dtype=np.float32)):
        track = predictor.predict(audio, samples // 512)
        assert track.shape == (samples // 512,)
        assert np.isfinite(interpolate(track).f0_hz).all()


def test_silence_is_unvoiced(row):
    name, predictor = row
    samples = int(LONGEST_S.get(name, 1) * 44_100)
    made = interpolate(predictor.predict(np.zeros(samples, dtype=np.float32), samples // 512))
    assert not made.uv.any()
    assert not made.f0_hz.any()


def test_equal_audio_gives_an_equal_track(row):
    name, predictor = row
    samples = int(LONGEST_S.get(name, 1) * 44_100)
    audio = harmonic(170, samples)
    first = predictor.predict(audio, samples // 512)
    np.testing.assert_array_equal(first, predictor.predict(audio, samples // 512))
    np.testing.assert_array_equal(first, build(name).predict(audio, samples // 512))


@pytest.mark.parametrize("name", BRINGS_ITS_WEIGHTS)
def test_a_harmonic_tone_of_220_hz_is_heard(name):
    samples = int(LONGEST_S.get(name, 1) * 44_100)
    frames = samples // 512
    track = build(name).predict(harmonic(220, samples), frames)
    inner = track[5:-5]
    assert (inner > 0).mean() >= 0.9
    np.testing.assert_allclose(np.median(inner[inner > 0]), 220, rtol=0.03)


@pytest.mark.parametrize(
    "name", [name for name, row in F0_PREDICTORS.items() if row.model and row.model.package is None]
)
def test_absent_weights_are_configuration(tmp_path, monkeypatch, name):
    monkeypatch.setenv("SVC_MODELS", str(tmp_path))
    with pytest.raises(ConfigError, match=name):
        build(name)
