"""WORLD's two estimators, DIO (Morise et al. 2009) and Harvest (Morise 2017), each refined by StoneMask: FORMATS §4."""

from collections.abc import Callable

import numpy as np
import pyworld

from svc_core.config import HOP_SAMPLES, RATE_HZ
from svc_core.features.f0.predictor import F0_MAX_HZ, F0_MIN_HZ
from svc_core.features.models import Located

_PERIOD_MS = 1000 * HOP_SAMPLES / RATE_HZ


class Dio:
    def __init__(self, source: Located | None, device: str) -> None: ...

    def predict(self, audio: np.ndarray, frames: int) -> np.ndarray:
        """[F] Hz, 0 where unvoiced, in steps of 0.1 Hz before the length match, as 4.1 rounds it."""
        return _fit(np.round(_track(pyworld.dio, audio), 1), frames)


class Harvest:
    def __init__(self, source: Located | None, device: str) -> None: ...

    def predict(self, audio: np.ndarray, frames: int) -> np.ndarray:
        """[F] Hz, 0 where unvoiced."""
        return _fit(_track(pyworld.harvest, audio), frames)


def _track(estimate: Callable[..., tuple[np.ndarray, np.ndarray]], audio: np.ndarray) -> np.ndarray:
    if len(audio) < HOP_SAMPLES:  # less than one frame: Harvest would ask for a negative amount of memory
        return np.zeros(1)
    samples = audio.astype(np.float64)
    f0_hz, times_s = estimate(samples, RATE_HZ, f0_floor=F0_MIN_HZ, f0_ceil=F0_MAX_HZ, frame_period=_PERIOD_MS)
    return pyworld.stonemask(samples, f0_hz, times_s, RATE_HZ)


def _fit(track: np.ndarray, frames: int) -> np.ndarray:
    """Resamples a track to `frames`; between a voiced and an unvoiced value is unvoiced, by 4.1's NaN arithmetic."""
    known = np.where(track < 0.001, np.nan, track)
    at = np.arange(frames) * len(track) / max(frames, 1)
    return np.nan_to_num(np.interp(at, np.arange(len(track)), known)).astype(np.float32)
