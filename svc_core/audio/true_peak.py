"""True peak of a stream: ITU-R BS.1770-4 annex 2, four-fold oversampling, without oversampling what cannot matter."""

import numpy as np

# Annex 2's interpolator, by phase; tap k weighs the sample k before the newest. The other two phases are these two
# mirrored.
_PHASE_0 = (14, 90, -161, 272, -487, 1125, 7964, -838, 390, -218, 122, -68)
_PHASE_1 = (-239, 240, -424, 730, -1364, 3810, 6388, -1641, 832, -477, 271, -155)
PHASES = np.array([_PHASE_0, _PHASE_1, _PHASE_1[::-1], _PHASE_0[::-1]], dtype=np.float32) / 8192

_TAPS = PHASES.shape[1]
_GROUP = 64
_CEILING = float(np.abs(PHASES).sum(axis=1).max()) * (1 + 1e-5)
"""No interpolated value exceeds this times the largest sample under it; the excess covers rounding."""


class TruePeakMeter:
    """The largest absolute value among samples and interpolated values.

    A group of samples is only interpolated if its sample peak times the interpolator's L1 norm could exceed the peak
    so far; the result equals that of interpolating everything.
    """

    def __init__(self) -> None:
        self._rest = np.zeros(_TAPS - 1, dtype=np.float32)
        self._peak = 0.0
        self._interpolator = _interpolator()

    def add(self, block: np.ndarray) -> None:
        """block [n] float32, full scale at 1."""
        padded = np.concatenate([self._rest, block])
        groups = (len(padded) - _TAPS + 1) // _GROUP
        self._rest = padded[groups * _GROUP :].copy()
        if not groups:
            return
        windows = np.lib.stride_tricks.sliding_window_view(padded, _GROUP + _TAPS - 1)[::_GROUP][:groups]
        peaks = np.maximum(windows.max(axis=1), -windows.min(axis=1))
        self._peak = max(self._peak, float(peaks.max()))
        # The loudest group first: its interpolated peak usually rules out the others.
        loudest = peaks == peaks.max()
        self._interpolate(windows[loudest & (peaks * _CEILING > self._peak)])
        self._interpolate(windows[~loudest & (peaks * _CEILING > self._peak)])

    def result(self) -> float:
        """Linear, full scale at 1, silence assumed after the end; call once, after the last block."""
        self.add(np.zeros(_GROUP + _TAPS - 1, dtype=np.float32))
        return self._peak

    def _interpolate(self, windows: np.ndarray) -> None:
        """windows [groups, _GROUP + _TAPS - 1]: every window gives _GROUP values per phase."""
        if len(windows):
            self._peak = max(self._peak, float(np.abs(windows @ self._interpolator).max()))


def _interpolator() -> np.ndarray:
    """[_GROUP + _TAPS - 1, phases * _GROUP]: a window times this is its interpolated values."""
    matrix = np.zeros((_GROUP + _TAPS - 1, len(PHASES), _GROUP), dtype=np.float32)
    for n in range(_GROUP):
        matrix[n : n + _TAPS, :, n] = PHASES[:, ::-1].T
    return matrix.reshape(len(matrix), -1)
