"""The loudness envelope that the network hears beside the content: FORMATS §5, "volume"."""

import numpy as np

from svc_core.config import HOP_SAMPLES


def envelope(audio: np.ndarray) -> np.ndarray:
    """RMS of `audio` [T] in windows of one hop, centred on the frame's start by reflection: [F] float32, 0 to 1."""
    frames = len(audio) // HOP_SAMPLES
    if frames == 0:
        return np.zeros(0, dtype=np.float32)
    half = HOP_SAMPLES // 2
    power = np.pad(np.square(audio.astype(np.float32)), half, mode="reflect")
    means = power[: frames * HOP_SAMPLES].reshape(frames, HOP_SAMPLES).mean(axis=1)
    return np.sqrt(means)
