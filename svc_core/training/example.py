"""What the network makes of one validation clip, to listen to while it trains."""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from svc_core.batches import CROP_FRAMES, Clip
from svc_core.config import HOP_SAMPLES
from svc_core.model.spectral import linear_spectrogram, log_mel
from svc_core.training.state import TrainState

_NOISE_SCALE = 0.4


class Example(NamedTuple):
    samples: np.ndarray
    """[T] audio at 44.1 kHz"""
    loss_mel: float
    """L1 between the log-mels of this and the recording, unweighted"""


@torch.no_grad()
def render(state: TrainState, clip: Clip) -> Example:
    """Converts the start of `clip` (at most 790 frames) to its own speaker. Leaves the random state as it was."""
    frames = min(len(clip.f0_hz), CROP_FRAMES)

    def row(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values[None, ..., :frames]).to(state.device)

    state.generator.eval()
    audio = state.generator.infer(
        row(clip.content),
        row(clip.f0_hz),
        row(clip.uv),
        torch.tensor([[clip.speaker_id]], device=state.device),
        row(clip.volume),
        noise_scale=_NOISE_SCALE,
    ).audio[:, 0, : frames * HOP_SAMPLES]
    state.generator.train()
    generated = log_mel(linear_spectrogram(audio), state.config.data)
    return Example(audio[0].cpu().numpy(), F.l1_loss(generated, log_mel(row(clip.spec), state.config.data)).item())
