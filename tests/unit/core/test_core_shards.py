"""How work is divided: every item once, evenly, and the same on every machine."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.errors import ConfigError
from svc_core.shards import count_shards, shard


class Item(NamedTuple):
    key: str
    cost_s: float


items = st.lists(st.floats(0, 7200), max_size=60).map(
    lambda costs: [Item(f"{n:03}", cost) for n, cost in enumerate(costs)]
)


@given(items, st.integers(1, 12))
def test_every_item_falls_into_one_part(work, count):
    parts = [shard(work, index, count) for index in range(count)]
    assert sorted(item.key for part in parts for item in part) == [item.key for item in work]


@given(items, st.integers(1, 12))
def test_no_part_is_heavier_than_the_mean_and_one_item(work, count):
    loads = [sum(item.cost_s for item in shard(work, index, count)) for index in range(count)]
    longest = max((item.cost_s for item in work), default=0)
    assert max(loads) <= sum(loads) / count + longest + 1e-6


@given(items, st.floats(0.01, 1000))
def test_there_is_a_part_and_none_without_an_item(work, minutes):
    count = count_shards(work, minutes)
    assert 1 <= count <= max(1, len(work))


@pytest.mark.parametrize(("minutes", "count"), [(60, 1), (30, 2), (15, 4), (1, 6)])
def test_parts_hold_about_the_minutes_asked_for(minutes, count):
    assert count_shards([Item(str(n), 600) for n in range(6)], minutes) == count


@pytest.mark.parametrize(("index", "count"), [(-1, 2), (2, 2), (0, 0)])
def test_a_part_that_is_none_is_refused(index, count):
    with pytest.raises(ConfigError, match="--shard must be from 0"):
        shard([], index, count)
