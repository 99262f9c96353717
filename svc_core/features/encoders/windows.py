"""Long audio through a network in overlapping windows, so that memory stays bounded and no frame is lost or doubled."""

from collections.abc import Callable

import numpy as np

from svc_core.features.encoders.encoder import HOP_SAMPLES, RATE_HZ

WINDOW_SAMPLES = 30 * RATE_HZ
_OVERLAP_SAMPLES = 2 * RATE_HZ


def in_windows(run: Callable[[np.ndarray], np.ndarray], audio: np.ndarray) -> np.ndarray:
    """`run` maps audio [T] to content [D, N], one frame per 320 samples. Up to 30 s it is called once: [D, N].

    Longer audio is cut into windows of 30 s that share 2 s with the next; the joint lies in the middle of what they
    share, where each has heard at least a second of what surrounds it.
    """
    if len(audio) <= WINDOW_SAMPLES:
        return run(audio)
    step = WINDOW_SAMPLES - _OVERLAP_SAMPLES
    parts = []
    for start in range(0, len(audio) - _OVERLAP_SAMPLES, step):
        is_last = start + step >= len(audio) - _OVERLAP_SAMPLES
        content = run(audio[start : start + WINDOW_SAMPLES])
        first = _OVERLAP_SAMPLES // 2 // HOP_SAMPLES if start else 0
        end = None if is_last else (step + _OVERLAP_SAMPLES // 2) // HOP_SAMPLES
        parts.append(content[:, first:end])
    return np.concatenate(parts, axis=1)
