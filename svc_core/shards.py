"""Parts of the work for machines that share it."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from svc_core.errors import ConfigError


class Weighted(Protocol):
    @property
    def key(self) -> str: ...
    @property
    def cost_s(self) -> float: ...


Work = TypeVar("Work", bound=Weighted)


def count_shards(items: Sequence[Weighted], minutes_each: float) -> int:
    """How many parts of about `minutes_each` the work makes: at least one, and none without an item."""
    parts = round(sum(item.cost_s for item in items) / 60 / minutes_each)
    return max(1, min(parts, len(items)))


def shard(items: Sequence[Work], index: int, count: int) -> list[Work]:
    """Part `index` of `count` of the work, balanced by duration (longest first onto the lightest part).

    Every item falls into exactly one part; the result depends on the items alone, so N machines agree.
    """
    if count < 1 or not 0 <= index < count:
        raise ConfigError(f"--shard must be from 0 to {max(count, 1) - 1} with --shards {count}: it is {index}")
    loads = [0.0] * count
    mine = []
    for item in sorted(items, key=lambda item: (-item.cost_s, item.key)):
        lightest = loads.index(min(loads))
        loads[lightest] += item.cost_s
        if lightest == index:
            mine.append(item)
    return sorted(mine, key=lambda item: item.key)
