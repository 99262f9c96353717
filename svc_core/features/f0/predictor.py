"""What every f0 predictor offers. A row of `registry.F0_PREDICTORS` names a class of this shape, built as
`Row(source, device)`: `source` is what `features.models` found, None for a row without weights."""

from typing import Protocol

import numpy as np

F0_MIN_HZ = 50.0
F0_MAX_HZ = 1100.0


class F0Predictor(Protocol):
    def predict(self, audio: np.ndarray, frames: int) -> np.ndarray:
        """The pitch of `audio` [T] at 44.1 kHz: [F] float32 in Hz, 0 where unvoiced; `frames` is F = floor(T/512)."""
        ...
