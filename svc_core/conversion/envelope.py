"""Lays the source's loudness envelope over the converted voice, 4.1's `-lea`."""

import numpy as np

from svc_core.config import RATE_HZ

_HOP_SAMPLES = RATE_HZ // 2
_WINDOW_SAMPLES = 2 * _HOP_SAMPLES
_FLOOR = 1e-6


def follow(source: np.ndarray, made: np.ndarray, own_share: float) -> np.ndarray:
    """made [T] scaled by (source's envelope / its own envelope)^(1 - own_share), [T] float32.

    Args:
        source: [T'] float32 at 44.1 kHz, the same sound as `made`.
        made: [T] float32 at 44.1 kHz.
        own_share: 1 leaves `made` as it is, 0 gives it the source's envelope.
    """
    if own_share == 1:
        return made
    wanted = _stretch(_rms(source), len(made))
    own = np.maximum(_stretch(_rms(made), len(made)), np.float32(_FLOOR))
    return (made * wanted ** (1 - own_share) * own ** (own_share - 1)).astype(np.float32)


def _rms(samples: np.ndarray) -> np.ndarray:
    """RMS of centred windows of one second every half second, zeros beyond the ends: [floor(T / hop) + 1]."""
    squares = np.pad(samples.astype(np.float64) ** 2, _HOP_SAMPLES)
    sums = np.concatenate([[0.0], np.cumsum(squares)])
    starts = np.arange(0, len(samples) + 1, _HOP_SAMPLES)
    mean = (sums[starts + _WINDOW_SAMPLES] - sums[starts]) / _WINDOW_SAMPLES
    return np.sqrt(np.maximum(mean, 0)).astype(np.float32)


def _stretch(values: np.ndarray, samples: int) -> np.ndarray:
    """Linear interpolation with the values at the middle of equal parts of [0, samples), held beyond the outer ones."""
    at = (np.arange(samples) + 0.5) * (len(values) / samples) - 0.5
    return np.interp(at, np.arange(len(values)), values).astype(np.float32)
