from pathlib import Path

import numpy as np
import pytest

from svc_core.conversion.envelope import follow

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "loudness.npz")


@pytest.mark.parametrize(("name", "own_share"), [("rate0", 0.0), ("rate3", 0.3), ("rate10", 1.0)])
def test_equals_4_1(name, own_share):
    made = follow(GOLDEN["src"], GOLDEN["out"], own_share)
    # Values up to 1 from two powers and two products in float32, each within 2^-24 of its value: below 4 * 6e-8.
    assert np.abs(made - GOLDEN[name]).max() < 2.5e-7


def test_a_silent_voice_stays_silent_and_finite():
    made = follow(np.ones(1000, np.float32), np.zeros(1000, np.float32), 0.0)
    assert made.tolist() == [0.0] * 1000


def test_takes_the_loudness_of_the_source():
    rng = np.random.default_rng(1)
    voice = rng.standard_normal(5 * 44_100).astype(np.float32) * 0.1
    made = follow(voice * 4, voice, 0.0)
    np.testing.assert_allclose(made, voice * 4, rtol=1e-5)
