"""Loudness, true peak and gain: against pyloudnorm, the recommendation's own figures, and exhaustive computation."""

import numpy as np
import pyloudnorm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import sosfilt

from svc_core.audio.loudness import Loudness, LoudnessMeter, gain_db
from svc_core.audio.true_peak import PHASES, TruePeakMeter
from svc_core.audio.weighting import KWeighting, k_weighting
from svc_core.config import LoudnessBlock


def measure(samples: np.ndarray, rate_hz: int, block: int = 50_000) -> Loudness:
    meter = LoudnessMeter(rate_hz)
    for start in range(0, len(samples), block):
        meter.add(samples[start : start + block])
    return meter.result()


def varied(duration_s: float, rate_hz: int) -> np.ndarray:
    """Noise in passages of 0 to -60 dB, so that both gates have something to reject."""
    rng = np.random.default_rng(rate_hz)
    levels = 0.3 * 10 ** (-3 * rng.random(40))
    count = round(duration_s * rate_hz)
    return (np.repeat(levels, -(-count // 40))[:count] * rng.standard_normal(count)).astype(np.float32)


def test_filters_at_48_khz_are_those_of_the_recommendation():
    shelf, high_pass = k_weighting(48_000)
    table_1 = [1.53512485958697, -2.69169618940638, 1.19839281085285, -1.69065929318241, 0.73248077421585]
    table_2 = [1.0, -2.0, 1.0, -1.99004745483398, 0.99007225036621]
    # The tables have 14 decimals.
    for section, table in ((shelf, table_1), (high_pass, table_2)):
        values = [section.b0, section.b1, section.b2, section.a1, section.a2]
        np.testing.assert_allclose(values, table, rtol=0, atol=1e-14)


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 48_000, 192_000])
def test_filtering_in_chunks_equals_filtering_sample_by_sample(rate_hz):
    samples = (np.random.default_rng(1).standard_normal(3 * rate_hz + 17) + 0.5).astype(np.float32)
    weighting, start, parts = KWeighting(rate_hz), 0, []
    for length in (0, 1, 63, 64, 65, 1000, 50_000, len(samples)):
        parts.append(weighting.add(samples[start : start + length]))
        start += length
    parts.append(weighting.rest())
    sections = [[s.b0, s.b1, s.b2, 1, s.a1, s.a2] for s in k_weighting(rate_hz)]
    expected = sosfilt(sections, samples.astype(np.float64))
    made = np.concatenate(parts)
    assert len(made) == len(samples)
    # Sums of 64 float32 products of samples up to 5 with responses that add up to at most 4: 64 * 20 * 2**-24.
    np.testing.assert_allclose(made, expected, rtol=0, atol=64 * 20 * 2**-24)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_loudness_equals_pyloudnorms(rate_hz):
    samples = varied(9, rate_hz)
    expected = pyloudnorm.Meter(rate_hz, filter_class="DeMan").integrated_loudness(samples.astype(np.float64))
    # float32 sums over a step of 100 ms (up to 19200 squares): 1e-6 of the power, 10 * log10(1 + 1e-6) = 4e-6 dB; the
    # edges of steps that are no whole samples may differ by one of 1102: 1 / 4410 of a block, 1e-3 dB.
    tolerance = 1e-3 if rate_hz % 10 else 2e-5
    assert measure(samples, rate_hz).integrated_lufs == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("rate_hz", [16_000, 44_100, 48_000])
def test_a_full_scale_sine_reads_as_the_recommendation_says(rate_hz):
    sine = np.sin(2 * np.pi * 997 * np.arange(5 * rate_hz) / rate_hz).astype(np.float32)
    # BS.1770-4: -3.01 LKFS at 48 kHz; the bilinear transform bends the shelf's edge by some hundredths at 16 kHz.
    assert measure(sine, rate_hz).integrated_lufs == pytest.approx(-3.01, abs=0.005 if rate_hz > 16_000 else 0.05)
    assert measure(sine / 10, rate_hz).integrated_lufs == pytest.approx(-23.01, abs=0.05)


def test_silence_around_speech_is_gated():
    speech = varied(5, 48_000)[:96_000]
    around = np.concatenate([np.zeros(480_000, np.float32), speech, np.zeros(480_000, np.float32)])
    # Up to three blocks at each end hold part of the speech; ungated, 22 s for 2 s would read 10.4 dB less.
    assert measure(around, 48_000).integrated_lufs == pytest.approx(measure(speech, 48_000).integrated_lufs, abs=1.5)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 30_000), min_size=1, max_size=8))
def test_loudness_does_not_depend_on_the_blocks(lengths):
    samples = varied(2, 16_000)
    meter, start = LoudnessMeter(16_000), 0
    for length in [*lengths, len(samples)]:
        meter.add(samples[start : start + length])
        start += length
    whole = measure(samples, 16_000)
    # Only the order of float32 sums differs.
    assert meter.result().integrated_lufs == pytest.approx(whole.integrated_lufs, abs=1e-5)
    assert whole.integrated_lufs is not None


@pytest.mark.parametrize("samples", [np.zeros(96_000), np.full(96_000, 1e-5), np.ones(19_199), np.ones(1), np.ones(0)])
def test_what_is_gated_or_shorter_than_a_block_has_no_loudness(samples):
    assert measure(samples.astype(np.float32), 48_000).integrated_lufs is None


def test_four_tenths_of_a_second_are_enough():
    assert measure(varied(0.4, 48_000), 48_000).integrated_lufs is not None


def exhaustive(samples: np.ndarray) -> float:
    values = [np.abs(np.convolve(samples.astype(np.float64), taps)).max() for taps in PHASES.astype(np.float64)]
    return max(np.abs(samples).max(), *values)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3000), st.lists(st.integers(1, 900), max_size=6))
def test_true_peak_equals_that_of_interpolating_everything(seed, count, lengths):
    rng = np.random.default_rng(seed)
    # Clicks and steps between quiet noise: where a bound that is too small would skip the peak.
    samples = (rng.standard_normal(count) * 10 ** rng.uniform(-3, 0, count) ** 3).astype(np.float32)
    meter, start = TruePeakMeter(), 0
    for length in [*lengths, count]:
        meter.add(samples[start : start + length])
        start += length
    # Twelve float32 products: 12 * 2**-24.
    assert meter.result() == pytest.approx(exhaustive(samples), rel=1e-6)


@pytest.mark.parametrize("rate_hz", [8_000, 48_000, 192_000])
def test_a_peak_between_the_samples_is_found(rate_hz):
    # A sine of a quarter of the rate at 45 degrees: its samples stay 3 dB below its peak. Faded, so that no edge rings.
    time = np.arange(rate_hz)
    sine = np.sin(np.pi / 2 * time + np.pi / 4) * np.hanning(rate_hz)
    found = measure(sine.astype(np.float32), rate_hz).true_peak
    # EBU Tech 3341, minimum requirements 15 to 23: +0.2 and -0.4 dB.
    assert -0.4 <= 20 * np.log10(found) <= 0.2
    assert np.abs(sine).max() < 0.71


def test_true_peak_of_silence_and_of_a_click():
    assert measure(np.zeros(1000, np.float32), 48_000).true_peak == 0
    assert measure(np.zeros(1000, np.float32), 48_000).true_peak_dbtp is None
    # The largest tap is below 1: the sample itself decides.
    assert measure(np.array([0, 0, -0.5, 0], np.float32), 48_000).true_peak == 0.5


@settings(deadline=None)
@given(st.floats(-69, 5), st.floats(1e-3, 30), st.floats(-60, -5), st.floats(-20, 0))
def test_the_gain_reaches_the_target_unless_the_ceiling_is_lower(lufs, true_peak, target_lufs, ceiling_dbtp):
    block = LoudnessBlock(target_lufs=target_lufs, true_peak_dbtp=ceiling_dbtp)
    gain = gain_db(Loudness(lufs, true_peak), block)
    peak_dbtp = 20 * np.log10(true_peak * gain.factor)
    assert peak_dbtp <= ceiling_dbtp + 1e-9
    wanted_db = target_lufs - lufs
    # Rounded down to 0.01 dB.
    assert gain.db <= wanted_db + 1e-9
    assert gain.db > wanted_db - 0.01 - 1e-9 or peak_dbtp > ceiling_dbtp - 0.01 - 1e-9
    assert round(gain.db, 2) == gain.db


def test_the_gain_says_what_a_reader_should_know():
    block = LoudnessBlock()
    assert gain_db(Loudness(-25, 0.1), block).note is None
    assert gain_db(Loudness(-25, 0.1), block).db == 2
    assert "lowered by 1.0 dB to keep the true peak at -1 dBTP" in gain_db(Loudness(-24, 10 ** (-1 / 20)), block).note
    assert "raised by 37.0 dB" in gain_db(Loudness(-60, 1e-3), block).note
    left = gain_db(Loudness(None, 0.5), block)
    assert left.db == 0
    assert "gain left at 0 dB" in left.note


@pytest.mark.parametrize("mode", ["peak", "none"])
def test_other_modes_have_no_gain_for_the_recording(mode):
    gain = gain_db(Loudness(-60, 2.0), LoudnessBlock(mode=mode))
    assert (gain.db, gain.factor, gain.note) == (0, 1, None)
