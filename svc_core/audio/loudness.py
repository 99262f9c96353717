"""Integrated loudness and true peak of a stream (ITU-R BS.1770-4), and the gain that follows from them."""

import math
from dataclasses import dataclass

import numpy as np

from svc_core.audio.true_peak import TruePeakMeter
from svc_core.audio.weighting import KWeighting
from svc_core.config import LoudnessBlock

_STEPS_PER_S = 10
_STEPS_PER_BLOCK = 4
_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0
_LOUD_GAIN_DB = 20.0


@dataclass(frozen=True)
class Loudness:
    """`integrated_lufs` is None below 0.4 s and where every block is gated; `true_peak` is linear, full scale at 1."""

    integrated_lufs: float | None
    true_peak: float

    @property
    def true_peak_dbtp(self) -> float | None:
        return 20 * math.log10(self.true_peak) if self.true_peak else None


@dataclass(frozen=True)
class Gain:
    """What to apply to a recording, in dB, and what a reader of the record should know about it."""

    db: float
    note: str | None = None

    @property
    def factor(self) -> float:
        return 10 ** (self.db / 20)


class LoudnessMeter:
    """Blocks of mono sound in, one result out; memory grows by 80 bytes per second."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._weighting = KWeighting(rate_hz)
        self._true_peak = TruePeakMeter()
        self._rest = np.zeros(0, dtype=np.float32)
        self._energies: list[float] = []

    def add(self, block: np.ndarray) -> None:
        """block [n] float32, full scale at 1."""
        self._true_peak.add(block)
        self._measure(self._weighting.add(block))

    def result(self) -> Loudness:
        """Call once, after the last block."""
        self._measure(self._weighting.rest())
        return Loudness(integrated(np.array(self._energies), self._rate_hz), self._true_peak.result())

    def _measure(self, weighted: np.ndarray) -> None:
        """Energies of whole steps of 100 ms; where these are no whole number of samples, edges are rounded down."""
        weighted = np.concatenate([self._rest, weighted])
        start = 0
        while True:
            step = len(self._energies)
            end = start + (step + 1) * self._rate_hz // _STEPS_PER_S - step * self._rate_hz // _STEPS_PER_S
            if end > len(weighted):
                break
            self._energies.append(float(np.dot(weighted[start:end], weighted[start:end])))
            start = end
        self._rest = weighted[start:].copy()


def integrated(step_energies: np.ndarray, rate_hz: int) -> float | None:
    """BS.1770-4, equations 3 to 7, for one channel: step_energies [steps] are sums of squares over 100 ms."""
    steps = len(step_energies)
    if steps < _STEPS_PER_BLOCK:
        return None
    blocks = sum(step_energies[k : steps - _STEPS_PER_BLOCK + 1 + k] for k in range(_STEPS_PER_BLOCK))
    powers = np.asarray(blocks) * _STEPS_PER_S / (_STEPS_PER_BLOCK * rate_hz)
    powers = powers[powers > _power(_ABSOLUTE_GATE_LUFS)]
    if not len(powers):
        return None
    powers = powers[powers > _power(_lufs(powers.mean()) + _RELATIVE_GATE_LU)]
    return _lufs(powers.mean())


def _lufs(power: float) -> float:
    return -0.691 + 10 * math.log10(power)


def _power(lufs: float) -> float:
    return 10 ** ((lufs + 0.691) / 10)


def gain_db(measured: Loudness, settings: LoudnessBlock) -> Gain:
    """The gain for one recording. Only mode 'lufs' has one; 'peak' works on each clip, 'none' leaves the level.

    Target minus measured, lowered until the true peak is at most its ceiling, and rounded down to 0.01 dB so that the
    last bits of the measurement, which differ between processors, do not reach the sound.
    """
    if settings.mode != "lufs":
        return Gain(0.0)
    if measured.integrated_lufs is None:
        return Gain(0.0, "too short or too quiet for a loudness measurement (0.4 s above -70 LUFS): gain left at 0 dB")
    wanted_db = settings.target_lufs - measured.integrated_lufs
    headroom_db = settings.true_peak_dbtp - 20 * math.log10(measured.true_peak)
    db = math.floor(100 * min(wanted_db, headroom_db)) / 100
    if headroom_db < wanted_db:
        lacking_db = wanted_db - headroom_db
        return Gain(
            db, f"gain lowered by {lacking_db:.1f} dB to keep the true peak at {settings.true_peak_dbtp:g} dBTP"
        )
    if db > _LOUD_GAIN_DB:
        return Gain(db, f"very quiet recording: raised by {db:.1f} dB, and its noise with it")
    return Gain(db)
