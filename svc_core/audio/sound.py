"""An opened sound file, as both decoders hand it to `io`, and the sentences about a broken one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from svc_core.errors import BadInput


@dataclass(frozen=True)
class AudioHeader:
    """What a sound file says of itself. `duration_s` is None where only decoding can tell."""

    container: str
    rate_hz: int
    channels: int
    duration_s: float | None


@dataclass(frozen=True)
class Sound:
    """A header, and `blocks(samples)`: mono float32 blocks [n] of about that many samples, once, to the end.

    `blocks` raises BadInput for damage and for a file that ends before its header says.
    """

    header: AudioHeader
    blocks: Callable[[int], Iterator[np.ndarray]]


def mix_down(rows: np.ndarray) -> np.ndarray:
    """rows [n, channels] float32 -> [n], the mean of the channels."""
    channels = rows.shape[1]
    return rows[:, 0] if channels == 1 else rows @ np.full(channels, 1 / channels, dtype=np.float32)


def damaged(path: Path, at_s: float, reason: object) -> BadInput:
    return BadInput(f"{path} is damaged after {at_s:.1f} s ({reason}): upload it again, or remove it")


def truncated(path: Path, got_s: float, promised_s: float) -> BadInput:
    return BadInput(
        f"{path} is truncated (its header promises {promised_s:.2f} s, it holds {got_s:.2f} s): "
        "upload it again, or remove it"
    )
