import numpy as np
import pytest

from svc_core.config import DataBlock
from svc_core.evaluation.metrics import Tally, Track, compare

FRAMES = 40
DATA = DataBlock()


def noise(seed: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(512 * FRAMES)).astype(np.float32)


def track(f0_hz: float, voiced_from: int = 0) -> Track:
    return Track(np.full(FRAMES, f0_hz, np.float32), np.arange(FRAMES) >= voiced_from)


def test_equal_sound_has_no_distance():
    metrics = compare(noise(1), noise(1), track(200), track(200), DATA).metrics()
    assert metrics.model_dump() == {
        "mel_distance": 0,
        "f0_error_cents": 0,
        "voicing_error": 0,
        "loudness_error_db": 0,
        "frames": FRAMES,
    }


def test_a_gain_moves_mel_by_its_logarithm_and_loudness_by_its_decibels():
    metrics = compare(noise(1), 2 * noise(1), track(200), track(200), DATA).metrics()
    # The spectrogram's floor sqrt(1e-6) under magnitudes around 0.1 * sqrt(2048 * 0.375) = 2.8: relative 1e-7; and
    # float32 logarithms to about 1e-6.
    assert metrics.mel_distance == pytest.approx(np.log(2), abs=1e-4)
    assert metrics.loudness_error_db == pytest.approx(20 * np.log10(2), abs=1e-4)


def test_loudness_below_60_db_counts_as_silence():
    silence = np.zeros(512 * FRAMES, np.float32)
    hiss = (1e-4 * np.sign(noise(2))).astype(np.float32)
    assert compare(silence, hiss, track(1, FRAMES), track(1, FRAMES), DATA).metrics().loudness_error_db == 0


@pytest.mark.parametrize(("found_hz", "cents"), [(200, 0), (400, 1200), (100, 1200), (200 * 2 ** (1 / 12), 100)])
def test_f0_error_is_in_cents_either_way(found_hz, cents):
    metrics = compare(noise(1), noise(1), track(200), track(found_hz), DATA).metrics()
    # f0 in float32: 2^-24 of its value is 1e-4 cents.
    assert metrics.f0_error_cents == pytest.approx(cents, abs=3e-4)


def test_voicing_is_counted_apart_from_pitch():
    metrics = compare(noise(1), noise(1), track(200), track(400, voiced_from=10), DATA).metrics()
    assert metrics.voicing_error == 10 / FRAMES
    assert metrics.f0_error_cents == pytest.approx(1200)


def test_without_common_voiced_frames_there_is_no_f0_error():
    metrics = compare(noise(1), noise(1), track(200), track(0, voiced_from=FRAMES), DATA).metrics()
    assert metrics.f0_error_cents is None
    assert metrics.voicing_error == 1


def test_tallies_weigh_by_frames():
    short = Tally(frames=1, mel=4.0, cents=10.0, pitched_frames=1)
    long = Tally(frames=3, mel=0.0, cents=30.0, pitched_frames=3)
    metrics = (short + long).metrics()
    assert (metrics.mel_distance, metrics.f0_error_cents, metrics.frames) == (1.0, 10.0, 4)
