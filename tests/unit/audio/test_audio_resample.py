"""Change of rate: librosa 0.11's length and values, and what a resampler owes to sines and sweeps."""

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svc_core.audio.resample import resample

RATES_HZ = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000]


@pytest.mark.parametrize("from_hz", RATES_HZ)
def test_values_equal_librosas(from_hz):
    samples = np.random.default_rng(from_hz).uniform(-1, 1, 10_007).astype(np.float32)
    expected = librosa.resample(samples, orig_sr=from_hz, target_sr=44_100, res_type="soxr_hq")
    made = resample(samples, from_hz, 44_100)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, expected)


@settings(deadline=None)
@given(st.integers(0, 3000), st.sampled_from(RATES_HZ), st.sampled_from([16_000, 44_100]))
def test_the_length_is_rounded_up(count, from_hz, to_hz):
    made = resample(np.ones(count, np.float32), from_hz, to_hz)
    assert len(made) == -(-count * to_hz // from_hz)
    assert np.isfinite(made).all()


def test_equal_rates_change_nothing():
    samples = np.random.default_rng(0).uniform(-1, 1, 1000).astype(np.float32)
    np.testing.assert_array_equal(resample(samples, 44_100, 44_100), samples)


@pytest.mark.parametrize("from_hz", [16_000, 22_050, 48_000, 192_000])
def test_a_sine_keeps_frequency_phase_and_level(from_hz):
    def sine(rate_hz):
        return 0.5 * np.sin(2 * np.pi * 997 * np.arange(rate_hz) / rate_hz)

    made = resample(sine(from_hz).astype(np.float32), from_hz, 44_100)
    # soxr HQ is specified for 20 bits: 2**-20 of full scale, and the pass band's ripple below 0.01 dB = 1.2e-3.
    np.testing.assert_allclose(made[4000:-4000], sine(44_100)[4000:-4000], rtol=0, atol=1.2e-3 * 0.5)


def test_what_the_new_rate_cannot_hold_is_removed():
    rate_hz = 96_000
    high = np.sin(2 * np.pi * 30_000 * np.arange(rate_hz) / rate_hz).astype(np.float32)
    # HQ's stop band lies 120 dB below full scale; float32 output adds 2**-24.
    assert np.abs(resample(high, rate_hz, 44_100)[4000:-4000]).max() < 10 ** (-115 / 20)
