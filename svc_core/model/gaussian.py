"""Diagonal Gaussians over latent frames, as both encoders give them."""

from typing import NamedTuple

import torch
from torch import Tensor


class Gaussian(NamedTuple):
    """A drawn z with the mean and log standard deviation it was drawn from, each [B, C, F], 0 beyond a row's length."""

    z: Tensor
    mean: Tensor
    log_std: Tensor


def draw(stats: Tensor, mask: Tensor, noise_scale: float = 1.0, generator: torch.Generator | None = None) -> Gaussian:
    """z = mean + noise_scale * exp(log_std) * e, e ~ N(0, 1), in float32 even under autocast.

    Args:
        stats: [B, 2 C, F], means then log standard deviations.
        mask: [B, 1, F].
        generator: draws e; torch's global one where None.
    """
    mean, log_std = (stats.float() * mask).chunk(2, dim=1)
    noise = torch.randn(mean.shape, generator=generator, device=mean.device)
    return Gaussian((mean + noise * log_std.exp() * noise_scale) * mask, mean, log_std)
