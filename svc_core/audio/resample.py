"""Change of sampling rate: soxr's HQ recipe, as librosa does it from version 0.10 on."""

import numpy as np
import soxr


def resample(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """samples [T] at `from_hz` -> [ceil(T * to_hz / from_hz)] float32 at `to_hz`; equal rates give the values back.

    soxr rounds the length to the nearest, so the end is zero-padded by at most one sample, as librosa does.
    """
    if from_hz == to_hz:
        return np.asarray(samples, dtype=np.float32)
    wanted = -(-len(samples) * to_hz // from_hz)
    made = soxr.resample(np.asarray(samples, dtype=np.float32), from_hz, to_hz, quality="HQ")[:wanted]
    return np.pad(made, (0, wanted - len(made)))
