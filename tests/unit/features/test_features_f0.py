"""WORLD's and SwiftF0's rows against the reference and against signals whose pitch is known."""

import numpy as np
import pytest

from svc_core.features.f0.swift import SwiftF0
from svc_core.features.f0.world import Dio, Harvest
from svc_core.features.pitch import interpolate

NAMES = ["synth", "speech", "silence", "noise", "short", "one_voiced"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("predictor", "row"), [("dio", Dio), ("harvest", Harvest)])
def test_matches_the_reference(golden, golden_signal, name, predictor, row):
    audio = golden_signal(name)
    made = interpolate(row(None, "cpu").predict(audio, len(audio) // 512))
    # FORMATS §10: the reference interpolates over float32 seconds, which moves f0 by up to 3e-4 Hz.
    np.testing.assert_allclose(made.f0_hz, golden("f0")[f"{name}_{predictor}_f0"], atol=3e-4, rtol=0)
    np.testing.assert_array_equal(made.uv, golden("f0")[f"{name}_{predictor}_uv"])


def glide(seconds: float = 2.0) -> np.ndarray:
    """A harmonic tone whose pitch rises from 150 by 100 Hz per second."""
    time_s = np.arange(int(44_100 * seconds)) / 44_100
    phase = 2 * np.pi * (150 * time_s + 50 * time_s**2)
    return (0.3 * sum(np.sin(k * phase) / k for k in range(1, 9))).astype(np.float32)


def test_swift_is_in_time_with_the_frames():
    audio = glide()
    frames = len(audio) // 512
    track = SwiftF0(None, "cpu").predict(audio, frames)
    true_hz = 150 + 100 * np.arange(frames) * 512 / 44_100
    inner = slice(10, frames - 10)
    assert (track[inner] > 0).all()
    # A 16 ms frame of shift would be 1.6 Hz; one pitch step of the network is 4 % wide but interpolated within.
    assert abs(np.median(track[inner] - true_hz[inner])) < 0.8


@pytest.mark.parametrize("level_db", [0, -30, -60, -70])
def test_swift_hears_quiet_clips_as_loud_ones(level_db):
    audio = glide(1.0)
    frames = len(audio) // 512
    quiet = (audio / np.abs(audio).max() * 10 ** (level_db / 20)).astype(np.float32)
    predictor = SwiftF0(None, "cpu")
    loud_track, track = predictor.predict(audio, frames), predictor.predict(quiet, frames)
    both = (loud_track > 0) & (track > 0)
    assert both.sum() >= 0.9 * frames
    np.testing.assert_allclose(track[both], loud_track[both], rtol=0.01)


def test_swift_calls_the_last_bits_of_16_silence():
    dither = np.random.default_rng(1).choice([-1, 0, 1], 44_100).astype(np.float32) / 32768
    assert not SwiftF0(None, "cpu").predict(dither, 86).any()
