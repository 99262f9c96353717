"""Automatic transposition: from the source's median pitch to the one the speaker was trained on."""

import math
from collections.abc import Iterable

import numpy as np

from svc_core.audio.resample import resample
from svc_core.config import HOP_SAMPLES, RATE_HZ
from svc_core.conversion.assembly import Read
from svc_core.conversion.pieces import Piece
from svc_core.features.f0.predictor import F0_MIN_HZ, F0Predictor

_CENTS = 12_000  # ten octaves above the lowest pitch


def median_f0_hz(pieces: Iterable[Piece], read: Read, rate_hz: int, predictor: F0Predictor) -> float | None:
    """Median f0 of the voiced frames of all loud pieces, to the cent; None where nothing is voiced.

    Counts in a histogram, so memory does not grow with the source.
    """
    counts = np.zeros(_CENTS, np.int64)
    for piece in pieces:
        if not piece.silent:
            audio = resample(read(piece.start_samples, piece.end_samples), rate_hz, RATE_HZ)
            f0_hz = predictor.predict(audio, len(audio) // HOP_SAMPLES)
            cents = np.rint(1200 * np.log2(f0_hz[f0_hz > 0] / F0_MIN_HZ)).astype(np.int64)
            counts += np.bincount(np.clip(cents, 0, _CENTS - 1), minlength=_CENTS)
    if not counts.any():
        return None
    middle = int(np.searchsorted(np.cumsum(counts), (counts.sum() + 1) // 2))
    return float(F0_MIN_HZ * 2 ** (middle / 1200))


def semitones(from_hz: float, to_hz: float) -> int:
    """Whole semitones, so that a song stays in tune with what accompanies it."""
    return round(12 * math.log2(to_hz / from_hz))
