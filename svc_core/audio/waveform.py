"""Sound in memory."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Waveform:
    samples: np.ndarray
    """[T] float32, mono, full scale at 1."""
    rate_hz: int

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.rate_hz
