import numpy as np
import pytest

from svc_core.features import models
from svc_core.features.f0.crepe import Crepe, masked_mean, masked_median
from svc_core.features.pitch import interpolate


@pytest.fixture(scope="module")
def crepe():
    return Crepe(models.locate("crepe"), "cpu")


@pytest.mark.parametrize("name", ["synth", "speech", "silence", "noise", "short", "one_voiced"])
def test_matches_the_reference_but_for_its_dither(golden, golden_signal, crepe, name):
    audio = golden_signal(name)
    made = interpolate(crepe.predict(audio, len(audio) // 512))
    np.testing.assert_array_equal(made.uv, golden("f0")[f"{name}_crepe_uv"])
    wanted_hz = golden("f0")[f"{name}_crepe_f0"]
    if not made.uv.any():
        assert not wanted_hz.any()
        return
    cents = 1200 * np.log2(made.f0_hz / wanted_hz)
    # The reference adds triangular noise of at most 20 cents to each frame and takes the mean of three, so no frame can
    # differ by more, if the same bins were found. Its spread is 20 / sqrt(6) / sqrt(3) = 4.7 cents; with only a few
    # distinct frames (short, one_voiced) the mean square is itself uncertain, so it is bounded by three times that.
    assert np.abs(cents).max() <= 20
    assert np.sqrt(np.mean(cents**2)) <= (2 if len(cents) > 100 else 3) * 4.7


def test_median_of_three_ignores_nan_and_takes_the_lower_of_two():
    made = masked_median(np.array([3.0, 1.0, 2.0, np.nan, np.nan, np.nan, 5.0]))
    np.testing.assert_array_equal(made, [1, 2, 1, 2, np.nan, 5, 5])


def test_mean_of_three_ignores_nan():
    made = masked_mean(np.array([3.0, 1.0, 2.0, np.nan, np.nan, np.nan, 5.0]))
    np.testing.assert_array_equal(made, [2, 2, 1.5, 2, np.nan, 5, 5])
