"""SwiftF0 (Nieradzik 2025): a small network at 16 kHz with a hop of 16 ms; its weights lie in its package."""

import numpy as np
import swift_f0

from svc_core.audio.resample import resample
from svc_core.config import HOP_SAMPLES, RATE_HZ
from svc_core.features.f0.predictor import F0_MAX_HZ, F0_MIN_HZ
from svc_core.features.models import Located

_VOICED = 0.5
_QUIET_PEAK = 0.25
_SILENT_PEAK = 1e-4  # three steps of 16 bits


class SwiftF0:
    def __init__(self, source: Located | None, device: str) -> None:
        # One thread: it runs beside the encoder. No spinning: between clips the core belongs to others.
        self._detector = swift_f0.SwiftF0(threads=1, spin=False)

    def predict(self, audio: np.ndarray, frames: int) -> np.ndarray:
        """[F] Hz, 0 where unvoiced, in the time grid of frames that start at multiples of 512 samples.

        The network calls anything below -60 dBFS unvoiced, so a quiet clip is first raised to a peak of -12 dBFS;
        one that peaks below -80 dBFS is silence.
        """
        peak = float(np.abs(audio).max(initial=0.0))
        if frames == 0 or peak < _SILENT_PEAK:
            return np.zeros(frames, dtype=np.float32)
        samples = resample(audio, RATE_HZ, swift_f0.SAMPLE_RATE) * np.float32(max(_QUIET_PEAK / peak, 1.0))
        found = self._detector.detect(samples, swift_f0.SAMPLE_RATE, F0_MIN_HZ, F0_MAX_HZ)
        return _fit(found.pitch_hz, found.confidence >= _VOICED, frames)


def _fit(pitch_hz: np.ndarray, voiced: np.ndarray, frames: int) -> np.ndarray:
    """By time: voicing from the nearest 16 ms frame, pitch linearly between the voiced ones around it."""
    if not voiced.any():
        return np.zeros(frames, dtype=np.float32)
    at = np.arange(frames) * (HOP_SAMPLES / RATE_HZ / swift_f0.FRAME_PERIOD)
    nearest = np.minimum(np.floor(at + 0.5).astype(np.int64), len(pitch_hz) - 1)
    track = np.interp(at, np.flatnonzero(voiced), pitch_hz[voiced])
    return np.where(voiced[nearest], track, 0.0).astype(np.float32)
