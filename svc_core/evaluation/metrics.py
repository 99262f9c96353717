"""How far a made clip is from the recording it was made from: four figures, summed over frames."""

from dataclasses import dataclass, fields

import numpy as np
import torch

from svc_core import manifest
from svc_core.config import DataBlock
from svc_core.features.volume import envelope
from svc_core.model.spectral import linear_spectrogram, log_mel

# Loudness below this counts as silence, so that the noise of a pause does not weigh as much as speech.
_SILENCE_DB = -60.0
_DIGITS = 6


class Metrics(manifest.Record):
    """Means over frames.

    mel_distance: |difference| of log-mel values, natural logarithm. f0_error_cents: |difference| where both are
    voiced, None where there is no such frame. voicing_error: share of frames that are voiced in one only.
    loudness_error_db: |difference| of RMS levels, both raised to at least -60 dB.
    """

    mel_distance: float
    f0_error_cents: float | None
    voicing_error: float
    loudness_error_db: float
    frames: int


@dataclass(frozen=True)
class Track:
    """f0_hz [F], and voiced [F], true where the predictor heard a voice."""

    f0_hz: np.ndarray
    voiced: np.ndarray


@dataclass(frozen=True)
class Tally:
    """Sums over frames, so that windows, clips and speakers weigh by their length."""

    frames: int = 0
    mel: float = 0.0
    cents: float = 0.0
    pitched_frames: int = 0
    voicing: int = 0
    loudness_db: float = 0.0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, part.name) + getattr(other, part.name) for part in fields(self)))

    def metrics(self) -> Metrics:
        """Needs at least one frame."""
        return Metrics(
            mel_distance=round(self.mel / self.frames, _DIGITS),
            f0_error_cents=round(self.cents / self.pitched_frames, _DIGITS) if self.pitched_frames else None,
            voicing_error=round(self.voicing / self.frames, _DIGITS),
            loudness_error_db=round(self.loudness_db / self.frames, _DIGITS),
            frames=self.frames,
        )


def compare(recording: np.ndarray, made: np.ndarray, wanted: Track, found: Track, data: DataBlock) -> Tally:
    """recording and made [512 F] float32 at 44.1 kHz, F at least 2; wanted and found: their pitch, F frames each."""
    both = wanted.voiced & found.voiced
    cents = 1200 * np.abs(np.log2(found.f0_hz[both].astype(np.float64) / wanted.f0_hz[both].astype(np.float64)))
    mel = np.abs(_log_mel(recording, data) - _log_mel(made, data)).mean(axis=0, dtype=np.float64)
    return Tally(
        frames=len(wanted.voiced),
        mel=float(mel.sum()),
        cents=float(cents.sum()),
        pitched_frames=int(np.count_nonzero(both)),
        voicing=int(np.count_nonzero(wanted.voiced != found.voiced)),
        loudness_db=float(np.abs(_level_db(recording) - _level_db(made)).sum()),
    )


def _log_mel(audio: np.ndarray, data: DataBlock) -> np.ndarray:
    """[M, F]"""
    return log_mel(linear_spectrogram(torch.from_numpy(audio)[None]), data)[0].numpy()


def _level_db(audio: np.ndarray) -> np.ndarray:
    """[F] float64"""
    return 20 * np.log10(np.maximum(envelope(audio).astype(np.float64), 10 ** (_SILENCE_DB / 20)))
