"""From encoder frames (50 Hz) to spectrogram frames (512 samples at 44.1 kHz): FORMATS §3, "Alignment"."""

from typing import Literal

import numpy as np

Mode = Literal["nearest", "left", "linear"]


def stretch(content: np.ndarray, frames: int, mode: Mode) -> np.ndarray:
    """`content` [D, N] with `frames` columns, [D, F]: some repeated or dropped, or interpolated; N is at least 1."""
    source = content.shape[1]
    if mode == "linear":
        return _linear(content, frames)
    return content[:, _nearest(source, frames) if mode == "nearest" else _left(source, frames)]


def _nearest(source: int, frames: int) -> np.ndarray:
    # Single precision on purpose: 4.1's rounding now and then differs by one frame from exact arithmetic.
    scale = np.float32(source) / np.float32(max(frames, 1))
    position = np.floor(np.arange(frames, dtype=np.float32) * scale).astype(np.int64)
    return np.minimum(position, source - 1)


def _left(source: int, frames: int) -> np.ndarray:
    # A pointer that moves by at most one per frame, so a shrinking stretch never reaches the end: 4.1's quirk.
    index = np.zeros(frames, dtype=np.int64)
    pointer = 0
    for frame in range(frames):
        if frame * source >= (pointer + 1) * frames:
            pointer += 1
        index[frame] = pointer
    return index


def _linear(content: np.ndarray, frames: int) -> np.ndarray:
    # Both grids cover the same time, their samples sit in the middle of their cells.
    source = content.shape[1]
    scale = np.float32(source) / np.float32(max(frames, 1))
    half = np.float32(0.5)
    position = np.clip((np.arange(frames, dtype=np.float32) + half) * scale - half, 0, source - 1)
    left = np.minimum(position.astype(np.int64), max(source - 2, 0))
    right = np.minimum(left + 1, source - 1)
    share = (position - left).astype(np.float32)
    return content[:, left] * (1 - share) + content[:, right] * share
