"""The K-weighting filter of ITU-R BS.1770-4, streamed.

Two second-order sections, a shelf for the head and a high-pass, discretised from their analogue prototypes so that
every rate gets the curve that the recommendation tabulates for 48 kHz. Run as matrix products over chunks: as fast as
`scipy.signal.sosfilt`, whose import alone takes longer than a ten-minute recording.
"""

import math
from dataclasses import dataclass

import numpy as np

_CHUNK = 64
_FORGOTTEN = 1e-30
"""States below this are set to zero: in digital silence they would decay into denormals, a hundred times slower."""


@dataclass(frozen=True)
class Section:
    """y[n] = b0 x[n] + b1 x[n-1] + b2 x[n-2] - a1 y[n-1] - a2 y[n-2]."""

    b0: float
    b1: float
    b2: float
    a1: float
    a2: float


def k_weighting(rate_hz: int) -> tuple[Section, Section]:
    """Shelf and high-pass of BS.1770-4, tables 1 and 2, for any rate.

    The prototypes' corner frequencies, gains and qualities are those that give the tables' figures at 48 kHz under
    the bilinear transform (B. De Man, "Evaluation of implementations of the EBU R128 loudness measurement", 2018).
    """
    corner, quality = math.tan(math.pi * 1681.974450955533 / rate_hz), 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    scale = 1 + corner / quality + corner**2
    shelf = Section(
        (high + band * corner / quality + corner**2) / scale,
        2 * (corner**2 - high) / scale,
        (high - band * corner / quality + corner**2) / scale,
        2 * (corner**2 - 1) / scale,
        (1 - corner / quality + corner**2) / scale,
    )
    corner, quality = math.tan(math.pi * 38.13547087602444 / rate_hz), 0.5003270373238773
    scale = 1 + corner / quality + corner**2
    return shelf, Section(1, -2, 1, 2 * (corner**2 - 1) / scale, (1 - corner / quality + corner**2) / scale)


class KWeighting:
    """Filters a stream. The state is the four delays of the two sections.

    A chunk's output is linear in its input and the state before it, and so is the state after it; the states of all
    chunks of a block follow by doubling strides. Samples are float32, which costs 1e-7 of the loudness in exchange for
    half the time; the states, where errors would add up, are float64.
    """

    def __init__(self, rate_hz: int) -> None:
        sections = k_weighting(rate_hz)
        impulse, states = _respond(sections, [1.0] + [0.0] * (_CHUNK - 1), (0.0, 0.0, 0.0, 0.0))
        # Input at time j acts like an impulse at time 0, j samples later.
        to_output = np.zeros((_CHUNK, _CHUNK))
        for j in range(_CHUNK):
            to_output[j, j:] = impulse[: _CHUNK - j]
        self._from_input = np.hstack([to_output, states[::-1]]).astype(np.float32)
        units = [_respond(sections, [0.0] * _CHUNK, tuple(unit)) for unit in np.eye(4).tolist()]
        self._from_state = np.array([output for output, _ in units], dtype=np.float32)
        self._next_state = np.array([states[-1] for _, states in units])
        self._state = np.zeros(4)
        self._rest = np.zeros(0, dtype=np.float32)

    def add(self, block: np.ndarray) -> np.ndarray:
        """block [n] float32 -> [m] float32, filtered, whole chunks; what is over comes with the next block."""
        samples = np.concatenate([self._rest, block])
        count = len(samples) // _CHUNK
        self._rest = samples[count * _CHUNK :]
        return self._filter(samples[: count * _CHUNK].reshape(count, _CHUNK))

    def rest(self) -> np.ndarray:
        """The last samples, fewer than a chunk; call once, at the end."""
        missing = np.zeros(_CHUNK - len(self._rest), dtype=np.float32)
        return self._filter(np.concatenate([self._rest, missing])[None])[: len(self._rest)]

    def _filter(self, chunks: np.ndarray) -> np.ndarray:
        made = chunks @ self._from_input
        states = np.vstack([self._state, made[:, _CHUNK:].astype(np.float64)])
        stride, step = 1, self._next_state
        while stride < len(states) and step.any():
            states[stride:] += states[:-stride] @ step
            step = step @ step
            step[np.abs(step) < _FORGOTTEN] = 0
            stride *= 2
        states[np.abs(states) < _FORGOTTEN] = 0
        self._state = states[-1]
        output = made[:, :_CHUNK]
        output += states[:-1].astype(np.float32) @ self._from_state
        return output.ravel()


def _respond(
    sections: tuple[Section, Section], samples: list[float], state: tuple[float, ...]
) -> tuple[list[float], np.ndarray]:
    """Runs the sections sample by sample (transposed direct form II): the output and the state after each sample."""
    delays = [[state[0], state[1]], [state[2], state[3]]]
    output, states = [], []
    for sample in samples:
        value = sample
        for section, delay in zip(sections, delays, strict=True):
            made = section.b0 * value + delay[0]
            delay[0] = section.b1 * value - section.a1 * made + delay[1]
            delay[1] = section.b2 * value - section.a2 * made
            value = made
        output.append(value)
        states.append([*delays[0], *delays[1]])
    return output, np.array(states)
