"""Pitch as the networks see it: 256 coarse bins for the encoder, a log scale for the pitch decoder.

The mel scale is O'Shaughnessy's, m = 1127 ln(1 + f / 700) = 2595 log10(1 + f / 700).
"""

import math

import torch
from torch import Tensor

F0_MIN_HZ = 50.0
F0_MAX_HZ = 1100.0
COARSE_BINS = 256

_LOWEST_MEL = 1127 * math.log(1 + F0_MIN_HZ / 700)
_HIGHEST_MEL = 1127 * math.log(1 + F0_MAX_HZ / 700)
_BINS_PER_MEL = (COARSE_BINS - 2) / (_HIGHEST_MEL - _LOWEST_MEL)
_OFFSET_BINS = _LOWEST_MEL * _BINS_PER_MEL - 1
_NO_VOICED_FRAMES = 9999.0


def coarse_f0(f0: Tensor) -> Tensor:
    """Bins 1..255, even on the mel scale from 50 to 1100 Hz; what lies outside takes the nearest bin.

    Above 1100 Hz this differs from so-vits-svc 4.1, which falls to bin 0 (docs/adr/0002-f0-above-1100-hz.md).

    Args:
        f0: any shape, Hz, 0 where unvoiced.
    Returns:
        same shape, int64.
    """
    mel = 1127 * (1 + f0.float() / 700).log()
    return (mel * _BINS_PER_MEL - _OFFSET_BINS).round().clamp(1, COARSE_BINS - 1).long()


def f0_to_lf0(f0: Tensor) -> Tensor:
    """Hz to the log scale of the pitch decoder: 2595 log10(1 + f0 / 700) / 500; any shape."""
    return 2595 * (1 + f0 / 700).log10() / 500


def lf0_to_f0(lf0: Tensor) -> Tensor:
    """The inverse of `f0_to_lf0`, in Hz; any shape."""
    return 700 * (torch.pow(10, lf0 * 500 / 2595) - 1)


def normalize_lf0(lf0: Tensor, uv: Tensor, mask: Tensor, *, random_factor: bool) -> Tensor:
    """Takes each row's mean over its voiced frames away; in training also stretches it by a factor of U(0.8, 1.2).

    Args:
        lf0: [B, 1, F] from `f0_to_lf0`.
        uv: [B, F], 1 where voiced. A row with no voiced frame keeps its values.
        mask: [B, 1, F], 1 within a row's length.
        random_factor: draws one factor per row from torch's global generator; otherwise it is 1.
    Returns:
        [B, 1, F].
    """
    voiced = uv.unsqueeze(1)
    count = voiced.sum(-1, keepdim=True)
    mean = (lf0 * voiced).sum(-1, keepdim=True) / count.masked_fill(count == 0, _NO_VOICED_FRAMES)
    centred = lf0 - mean
    if random_factor:
        factor = torch.empty(lf0.size(0), 1, 1, device=lf0.device).uniform_(0.8, 1.2)
        centred = centred * factor
    return centred * mask
