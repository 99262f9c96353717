"""From a predictor's track, 0 where unvoiced, to the pair that is stored: f0 without gaps, and voicing."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pitch:
    """f0_hz [F] in Hz, interpolated; uv [F], 1 where the predictor heard a voice, 0 elsewhere; both float32."""

    f0_hz: np.ndarray
    uv: np.ndarray


def interpolate(f0_hz: np.ndarray) -> Pitch:
    """Fills the unvoiced frames of `f0_hz` [F] linearly, holding the edges; all 0 only if nothing is voiced.

    One voiced frame gives a constant, where 4.1 may give 0 (ADR 0006).
    """
    voiced = f0_hz > 0
    if not voiced.any():
        silent = np.zeros(len(f0_hz), dtype=np.float32)
        return Pitch(silent, silent.copy())
    at = np.flatnonzero(voiced)
    filled = np.interp(np.arange(len(f0_hz)), at, f0_hz[at].astype(np.float64))
    return Pitch(filled.astype(np.float32), voiced.astype(np.float32))
