"""80 log-mel bands in place of content: no weights, at once. For the demo and the tests only, since mel bands carry the
speaker as well as the words."""

import numpy as np

from svc_core.errors import ConfigError
from svc_core.features import mel
from svc_core.features.encoders.encoder import HOP_SAMPLES, Backend, Precision
from svc_core.features.models import Located

_WINDOW_SAMPLES = 400
_FFT_SAMPLES = 1024
_FLOOR = 1e-8


class MelBands:
    width = 80

    def __init__(self, source: Located | None, backend: Backend, precision: Precision, device: str) -> None:
        """Raises ConfigError for a backend or precision: there is no network that could have one."""
        if (backend, precision) != ("torch", "fp32"):
            raise ConfigError(f"mel-bands has no network to run in {backend} {precision}: use torch and fp32")
        self._filters = mel.filterbank(self.width, _FFT_SAMPLES, 50, 8000)

    def frames(self, samples: int) -> int:
        return max(0, (samples - _WINDOW_SAMPLES) // HOP_SAMPLES + 1)

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """log10 of the bands' power, floored at -8, as (x + 4) / 4: silence is -1, full scale about 1."""
        spectra = mel.magnitudes(audio, _WINDOW_SAMPLES, HOP_SAMPLES, _FFT_SAMPLES)
        power = self._filters @ np.square(spectra)
        return ((np.log10(np.maximum(power, _FLOOR)) + 4) / 4).astype(np.float32)
