import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.features.volume import envelope


@pytest.mark.parametrize("name", ["synth", "speech", "silence", "noise", "short", "one_voiced"])
def test_matches_the_reference(golden, golden_signal, name):
    # FORMATS §10: 4e-8, half a step of float32 below 1.
    np.testing.assert_allclose(envelope(golden_signal(name)), golden("volume")[name], atol=4e-8, rtol=0)


@given(st.integers(0, 5000), st.floats(0, 1, width=32))
def test_a_constant_signal_has_its_own_level_in_every_frame(samples, level):
    made = envelope(np.full(samples, level, dtype=np.float32))
    assert made.shape == (samples // 512,)
    assert made.dtype == np.float32
    # Squaring, summing and rooting round to 2^-24 of the value each; squares below 1e-38 vanish.
    np.testing.assert_allclose(made, level, rtol=1e-6, atol=1e-18)


def test_a_full_scale_sine_has_rms_of_root_half():
    sine = np.sin(2 * np.pi * 4410 * np.arange(44_100) / 44_100).astype(np.float32)
    # A window of 512 samples holds 51.2 periods: the fifth left over is at most 1 / (2 pi 51.2) = 0.3 % of the power.
    np.testing.assert_allclose(envelope(sine)[1:], np.sqrt(0.5), rtol=2e-3)
