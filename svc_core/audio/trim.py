"""The quiet ends of a clip, found as `librosa.effects.trim` does (ref = max, frames of 2048 samples every 512)."""

import numpy as np

from svc_core.audio.slicer import window_sums

_FRAME, _HOP = 2048, 512
_LEAST_POWER = 1e-10
"""librosa's floor: clips quieter than -100 dB throughout are not trimmed."""


def sounding(samples: np.ndarray, below_peak_db: float) -> slice:
    """samples [n] -> the part from the first to the last frame louder than the loudest frame less `below_peak_db`."""
    padded = np.pad(samples, _FRAME // 2)
    frames = 1 + len(samples) // _HOP
    power = window_sums(padded[: (frames - 1) * _HOP + _FRAME], _HOP, _FRAME) / _FRAME
    level_db = 10 * np.log10(np.maximum(power, _LEAST_POWER))
    loud = np.flatnonzero(level_db - level_db.max() > -below_peak_db)
    return slice(int(loud[0]) * _HOP, min(len(samples), (int(loud[-1]) + 1) * _HOP))
