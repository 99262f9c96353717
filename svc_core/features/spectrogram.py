"""The linear spectrogram of one clip: FORMATS §5, "linear spec"."""

import numpy as np
import torch

from svc_core.model.spectral import linear_spectrogram


def linear(audio: np.ndarray) -> np.ndarray:
    """Magnitudes of `audio` [T] at 44.1 kHz: [1025, F] float32; T must be above 768 samples."""
    with torch.inference_mode():
        return linear_spectrogram(torch.from_numpy(audio)[None])[0].numpy()
