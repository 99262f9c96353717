import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from svc_core.features.align import stretch


def golden_cases(arrays) -> list[tuple[str, int, str]]:
    names = [name.split("_") for name in arrays.files if name.count("_") == 2]
    return [(source, int(frames), mode) for source, mode, frames in names]


def test_matches_both_modes_of_the_reference_exactly(golden):
    arrays = golden("repeat_expand")
    cases = golden_cases(arrays)
    assert len(cases) == 16
    for source, frames, mode in cases:
        made = stretch(arrays[source], frames, mode)
        np.testing.assert_array_equal(made, arrays[f"{source}_{mode}_{frames}"], err_msg=f"{source} {mode} {frames}")


def test_linear_matches_the_reference(golden):
    arrays = golden("repeat_expand")
    # Positions up to 49 carry a float32 error of 49 * 2^-24 = 3e-6 frames; neighbours differ by up to about 6.
    np.testing.assert_allclose(stretch(arrays["linear_in"], 86, "linear"), arrays["linear_86"], atol=2e-5, rtol=0)


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_nearest_is_torchs_own_rounding(source, frames):
    index = torch.nn.functional.interpolate(torch.arange(source).float()[None, None], frames, mode="nearest")[0]
    np.testing.assert_array_equal(stretch(np.arange(source, dtype=np.float32)[None], frames, "nearest"), index)


@given(st.integers(1, 400), st.integers(0, 700), st.sampled_from(["nearest", "left", "linear"]))
def test_keeps_channels_order_and_range(source, frames, mode):
    rising = np.arange(source, dtype=np.float32)
    made = stretch(np.stack([rising, -rising]), frames, mode)
    assert made.shape == (2, frames)
    assert made.dtype == np.float32
    assert (np.diff(made[0]) >= 0).all()
    np.testing.assert_array_equal(made[1], -made[0])
    assert frames == 0 or (made[0].min() >= 0 and made[0].max() <= source - 1)


@pytest.mark.parametrize("mode", ["nearest", "left", "linear"])
def test_equal_lengths_change_nothing(mode):
    content = np.random.default_rng(1).standard_normal((3, 57)).astype(np.float32)
    np.testing.assert_array_equal(stretch(content, 57, mode), content)
