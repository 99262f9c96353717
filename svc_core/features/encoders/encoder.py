"""What every content encoder offers. A row of `registry.ENCODERS` names a class of this shape, built as
`Row(source, backend, precision, device)`: `source` is what `features.models` found, None for a row without weights."""

from typing import Literal, Protocol

import numpy as np

RATE_HZ = 16_000
HOP_SAMPLES = 320

Backend = Literal["torch", "onnx"]
Precision = Literal["fp32", "bf16", "int8"]


class Encoder(Protocol):
    width: int
    """D, the content's channels."""

    def frames(self, samples: int) -> int:
        """N, the frames that `samples` of audio at 16 kHz give; 0 where they are too few for one."""
        ...

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """Content of `audio` [T] float32 at 16 kHz: [D, N] float32. `audio` must be long enough for one frame."""
        ...
