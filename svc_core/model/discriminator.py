"""What tells recorded from made audio: HiFi-GAN's period discriminators (arXiv 2010.05646, section 2.3) and one scale
discriminator (MelGAN, arXiv 1910.06711, section 2.2), as VITS combines them.
"""

import math
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from svc_core.model.weight_norm import WeightNorm

PERIODS = (2, 3, 5, 7, 11)
_SLOPE = 0.1
_GROUP_CHANNELS = 4
_PERIOD_CHANNELS = (32, 128, 512, 1024, 1024)
_SCALE_CHANNELS = (16, 64, 256, 1024, 1024, 1024)
_SCALE_KERNELS = (15, 41, 41, 41, 41, 5)
_SCALE_STRIDES = (1, 4, 4, 4, 4, 1)


class Judgement(NamedTuple):
    """What one discriminator says of a batch."""

    logits: Tensor
    """[B, L], towards 1 for recorded, towards 0 for made"""
    features: list[Tensor]
    """Every layer's output, logits last: [B, C, L] of the scale, [B, C, L, period] of a period discriminator"""


class ScaleDiscriminator(nn.Module):
    """Convolutions over samples; grouped ones take four channels per group."""

    def __init__(self, divisor: int) -> None:
        super().__init__()
        widths = [1, *(_divided(width, divisor) for width in _SCALE_CHANNELS)]
        groups = [1, *(_groups(before, after) for before, after in pairwise(widths[1:-1])), 1]
        shapes = zip(pairwise(widths), _SCALE_KERNELS, _SCALE_STRIDES, groups, strict=True)
        self.convs = nn.ModuleList(
            WeightNorm(nn.Conv1d(before, after, kernel, stride, padding=kernel // 2, groups=group))
            for (before, after), kernel, stride, group in shapes
        )
        self.conv_post = WeightNorm(nn.Conv1d(widths[-1], 1, 3, padding=1))

    def forward(self, y: Tensor) -> Judgement:
        """Args: y [B, 1, T]."""
        return _judge(y, self.convs, self.conv_post)


class PeriodDiscriminator(nn.Module):
    """Convolutions over every p-th sample, p being the period."""

    def __init__(self, period: int, divisor: int) -> None:
        super().__init__()
        self.period = period
        widths = [1, *(_divided(width, divisor) for width in _PERIOD_CHANNELS)]
        strides = [3] * (len(_PERIOD_CHANNELS) - 1) + [1]
        self.convs = nn.ModuleList(
            WeightNorm(nn.Conv2d(before, after, (5, 1), (stride, 1), padding=(2, 0)))
            for (before, after), stride in zip(pairwise(widths), strides, strict=True)
        )
        self.conv_post = WeightNorm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, y: Tensor) -> Judgement:
        """Args: y [B, 1, T]."""
        missing_samples = -y.size(2) % self.period
        if missing_samples:
            y = F.pad(y, (0, missing_samples), mode="reflect")
        return _judge(y.unflatten(2, (-1, self.period)), self.convs, self.conv_post)


class Discriminator(nn.Module):
    """One scale and five period discriminators. `divisor` divides the channels; 1 is 4.1's network.

    For the generator's step, judge the recorded audio without gradient and the made audio with
    `requires_grad_(False)` on this module: its own gradients, a third of the work, are not wanted then.
    """

    def __init__(self, divisor: int = 1) -> None:
        super().__init__()
        periods = [PeriodDiscriminator(period, divisor) for period in PERIODS]
        self.discriminators = nn.ModuleList([ScaleDiscriminator(divisor), *periods])

    def forward(self, y: Tensor) -> list[Judgement]:
        """Args: y [B, 1, T]. Returns one judgement of each discriminator."""
        return [discriminator(y) for discriminator in self.discriminators]


def _judge(x: Tensor, convs: nn.ModuleList, conv_post: WeightNorm) -> Judgement:
    features = []
    for conv in convs:
        x = F.leaky_relu_(conv(x), _SLOPE)
        features.append(x)
    x = conv_post(x)
    features.append(x)
    return Judgement(x.flatten(1), features)


def _divided(width: int, divisor: int) -> int:
    return max(1, width // divisor)


def _groups(before: int, after: int) -> int:
    return math.gcd(max(1, before // _GROUP_CHANNELS), before, after)
