"""Trimming equals `librosa.effects.trim`."""

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svc_core.audio.trim import sounding


def librosas(samples: np.ndarray, top_db: float) -> slice:
    return slice(*librosa.effects.trim(samples, top_db=top_db, frame_length=2048, hop_length=512)[1].tolist())


@settings(deadline=None)
@given(st.integers(1, 20_000), st.integers(0, 2**32 - 1), st.sampled_from([20.0, 40.0, 60.0]))
def test_the_part_is_librosas(count, seed, top_db):
    rng = np.random.default_rng(seed)
    # Levels in steps of 512 samples from -120 to 0 dB, so that the border falls anywhere.
    levels = 10 ** (-rng.uniform(0, 6, -(-count // 512)))
    samples = (np.repeat(levels, 512)[:count] * rng.uniform(-1, 1, count)).astype(np.float32)
    assert sounding(samples, top_db) == librosas(samples, top_db)


@pytest.mark.parametrize("count", [1, 511, 512, 513, 2047, 2048, 30_001])
@pytest.mark.parametrize("value", [0.0, 1e-6, 0.5, 3.0])
def test_constant_sound_stays_whole(count, value):
    samples = np.full(count, value, np.float32)
    assert sounding(samples, 40) == slice(0, count) == librosas(samples, 40)


def test_quiet_ends_are_cut():
    samples = np.zeros(20_000, np.float32)
    samples[8_000:12_000] = 0.5
    # The first frame that reaches into the sound is centred at 14 * 512, the last at 25 * 512 (+ 512 for its hop).
    assert sounding(samples, 40) == slice(14 * 512, 26 * 512)
