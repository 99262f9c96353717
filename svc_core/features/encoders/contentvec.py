"""ContentVec (Qian et al. 2022, arXiv 2204.09224): HuBERT base, trained to forget the speaker.

The weights are those of the Hub repository lengyue233/content-vec-best: 4.1's checkpoint in transformers' form.
"""

import numpy as np

from svc_core.features.encoders import hubert
from svc_core.features.encoders.encoder import Backend, Precision
from svc_core.features.encoders.windows import in_windows
from svc_core.features.models import Located


class ContentVec768L12:
    """The last layer's output, 4.1's `vec768l12`."""

    width = 768

    def __init__(self, source: Located, backend: Backend, precision: Precision, device: str) -> None:
        part = hubert.Part(layer=12, width=self.width, projected=False)
        self._run = hubert.runner(source, part, backend, precision, device)

    def frames(self, samples: int) -> int:
        return hubert.frames(samples)

    def encode(self, audio: np.ndarray) -> np.ndarray:
        return in_windows(self._run, audio)


class ContentVec256L9:
    """The ninth layer's output through the final projection, 4.0's `vec256l9`."""

    width = 256

    def __init__(self, source: Located, backend: Backend, precision: Precision, device: str) -> None:
        part = hubert.Part(layer=9, width=self.width, projected=True)
        self._run = hubert.runner(source, part, backend, precision, device)

    def frames(self, samples: int) -> int:
        return hubert.frames(samples)

    def encode(self, audio: np.ndarray) -> np.ndarray:
        return in_windows(self._run, audio)
