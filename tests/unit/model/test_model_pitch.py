import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_goldens import arrays

from svc_core.model import pitch

F0_HZ = st.floats(50, 1100, width=32)


def test_coarse_bins_are_the_reference_ones_but_above_the_range():
    golden = arrays("f0_coarse")
    f0, expected = torch.from_numpy(golden["f0"]), golden["coarse"]
    coarse = pitch.coarse_f0(f0).numpy()
    fell_to_0 = expected == 0
    # docs/adr/0002-f0-above-1100-hz.md: 4.1 falls to bin 0 there, we stay in the last bin.
    assert (f0[fell_to_0] > 1100).all()
    assert fell_to_0.sum() == 7
    assert (coarse[fell_to_0] == 255).all()
    assert (coarse[~fell_to_0] == expected[~fell_to_0]).all()


@given(f0_hz=st.floats(0, 1e5, width=32))
def test_coarse_bins_stay_in_the_table(f0_hz):
    assert 1 <= pitch.coarse_f0(torch.tensor([f0_hz])).item() <= 255


@given(low_hz=F0_HZ, high_hz=F0_HZ)
def test_coarse_bins_rise_with_f0(low_hz, high_hz):
    low, high = pitch.coarse_f0(torch.tensor(sorted([low_hz, high_hz]))).tolist()
    assert low <= high


def test_the_range_fills_the_bins():
    assert pitch.coarse_f0(torch.tensor([0.0, 49.0, 50.0, 1100.0, 1200.0])).tolist() == [1, 1, 1, 255, 255]


def test_log_scale_is_the_reference_one():
    golden = arrays("normalize_f0")
    lf0 = pitch.f0_to_lf0(torch.from_numpy(golden["f0"])).unsqueeze(1)
    np.testing.assert_allclose(lf0, golden["lf0"], rtol=1e-6)


@given(f0_hz=F0_HZ)
def test_log_scale_returns(f0_hz):
    f0 = torch.tensor([f0_hz])
    # One unit in the last place of 10^x in 1..4, 2^-22, times 700 Hz is 1.7e-4 Hz; x itself adds about as much.
    assert pitch.lf0_to_f0(pitch.f0_to_lf0(f0)).item() == pytest.approx(f0_hz, abs=1e-3)


def golden_rows():
    golden = arrays("normalize_f0")
    return golden, [torch.from_numpy(golden[key]) for key in ("lf0", "uv", "mask")]


def test_normalised_pitch_is_the_reference_one():
    golden, rows = golden_rows()
    np.testing.assert_allclose(pitch.normalize_lf0(*rows, random_factor=False), golden["norm"], rtol=1e-6, atol=1e-7)


def test_normalised_pitch_with_a_drawn_factor_is_the_reference_one():
    golden, rows = golden_rows()
    torch.manual_seed(int(golden["seed"]))
    norm = pitch.normalize_lf0(*rows, random_factor=True)
    np.testing.assert_allclose(norm, golden["norm_random_seeded"], rtol=1e-6, atol=1e-7)


def test_a_row_with_no_voiced_frame_keeps_its_values():
    lf0 = torch.tensor([[[0.5, 0.6, 0.7]]])
    norm = pitch.normalize_lf0(lf0, torch.zeros(1, 3), torch.tensor([[[1.0, 1.0, 0.0]]]), random_factor=False)
    assert torch.equal(norm, torch.tensor([[[0.5, 0.6, 0.0]]]))


@given(shift=st.floats(-0.5, 0.5, width=32))
def test_normalised_pitch_does_not_know_the_key(shift):
    lf0 = torch.linspace(0.2, 0.6, 9).view(1, 1, 9)
    uv, mask = torch.ones(1, 9), torch.ones(1, 1, 9)
    moved = pitch.normalize_lf0(lf0 + shift, uv, mask, random_factor=False)
    np.testing.assert_allclose(moved, pitch.normalize_lf0(lf0, uv, mask, random_factor=False), atol=1e-6)
