import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from svc_core.errors import BadInput
from svc_core.model import segments


@given(lengths=st.lists(st.integers(1, 200), min_size=1, max_size=8), seed=st.integers(0, 2**32 - 1))
def test_starts_leave_room_for_the_segment(lengths, seed):
    torch.manual_seed(seed)
    for length, start in zip(lengths, segments.random_starts(torch.tensor(lengths), 20).tolist(), strict=True):
        assert 0 <= start <= max(0, length - 20)


def test_every_place_can_be_drawn():
    torch.manual_seed(0)
    starts = segments.random_starts(torch.full((2000,), 24), 20)
    # Five places, 400 draws each expected; a count below 300 is five standard deviations of sqrt(400 * 0.8) = 18 off.
    assert starts.bincount(minlength=5).min() > 300
    assert len(starts.unique()) == 5


def test_take_cuts_each_row_at_its_own_start():
    x = torch.arange(20).view(2, 1, 10)
    taken = segments.take(x, torch.tensor([0, 7]), 3)
    assert taken.tolist() == [[[0, 1, 2]], [[17, 18, 19]]]
    assert segments.take(x.squeeze(1), torch.tensor([1, 2]), 2).tolist() == [[1, 2], [12, 13]]


def test_a_batch_shorter_than_the_segment_is_named():
    with pytest.raises(BadInput, match="19 steps is shorter than the segment of 20"):
        segments.take(torch.zeros(1, 4, 19), torch.tensor([0]), 20)
