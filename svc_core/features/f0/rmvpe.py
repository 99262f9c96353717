"""RMVPE (Wei et al. 2023, arXiv 2306.15412): the network from an ONNX file that the user brings, the rest from here.

The file, `rmvpe.onnx`, maps mel bands [1, 128, K] to the salience [1, K, 360] of pitch bins; K is a multiple of 32.
So-vits-svc 4.1's own `rmvpe.pt` is not read. Its mel bands and decoding are those of FORMATS §4.
"""

import numpy as np
import onnxruntime
import torch

from svc_core.audio.resample import resample
from svc_core.config import RATE_HZ
from svc_core.errors import ConfigError
from svc_core.features import mel
from svc_core.features.align import stretch
from svc_core.features.f0.predictor import F0_MAX_HZ, F0_MIN_HZ
from svc_core.features.models import Located

_WINDOW_SAMPLES = 1024
_HOP_SAMPLES = 160
_BANDS = 128
_BINS = 360
_BLOCK_FRAMES = 32  # the network halves its input five times
_CENTS = 20 * np.arange(_BINS) + 1997.3794084376191
_REACH_BINS = 4
_THRESHOLD = 0.05


class Rmvpe:
    def __init__(self, source: Located, device: str) -> None:
        """Raises ConfigError where the file is no ONNX network."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self._network = onnxruntime.InferenceSession(str(source.weights), options, ["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own classes share no base but this
            reason = str(error).partition("\n")[0]
            raise ConfigError(f"{source.weights} cannot be run as RMVPE ({reason}): bring its ONNX export") from error
        self._filters = mel.filterbank(_BANDS, _WINDOW_SAMPLES, 30, 8000)

    def predict(self, audio: np.ndarray, frames: int) -> np.ndarray:
        """[F] Hz, 0 where unvoiced: a 10 ms track, stretched to `frames` by repetition as 4.1 does (FORMATS §4)."""
        if frames == 0:
            return np.zeros(0, dtype=np.float32)
        track = decode(self._salience(resample(audio, RATE_HZ, mel.RATE_HZ)))
        track[(track < F0_MIN_HZ) | (track > F0_MAX_HZ)] = 0
        return stretch(track[None], frames, "nearest")[0]

    def _salience(self, samples: np.ndarray) -> np.ndarray:
        """[K, 360], K = 1 + floor(T / 160)."""
        padded = np.pad(samples, _WINDOW_SAMPLES // 2, mode="reflect")
        spectra = mel.magnitudes(padded, _WINDOW_SAMPLES, _HOP_SAMPLES, _WINDOW_SAMPLES)
        bands = np.log(np.maximum(self._filters @ spectra, 1e-5))
        count = bands.shape[1]
        whole = np.pad(bands, ((0, 0), (0, -count % _BLOCK_FRAMES)), mode="edge")
        name = self._network.get_inputs()[0].name
        salience = self._network.run(None, {name: whole[None].astype(np.float32)})[0]
        if salience.shape != (1, whole.shape[1], _BINS):
            raise ConfigError(
                f"the RMVPE file answers {list(salience.shape)} instead of [1, K, {_BINS}]: bring its export"
            )
        return salience[0, :count]


def decode(salience: np.ndarray) -> np.ndarray:
    """Pitch in Hz, [K] float32, from `salience` [K, 360]: the mean of the bins around the peak; 0 where it is weak."""
    offsets = np.arange(-_REACH_BINS, _REACH_BINS + 1)
    index = salience.argmax(axis=1)[:, None] + offsets
    inside = (index >= 0) & (index < _BINS)
    index = index.clip(0, _BINS - 1)
    weights = np.where(inside, np.take_along_axis(salience, index, axis=1), 0).astype(np.float64)
    cents = (weights * _CENTS[index]).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-12)
    return np.where(salience.max(axis=1) > _THRESHOLD, 10 * 2 ** (cents / 1200), 0).astype(np.float32)
