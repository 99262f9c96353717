"""From latent frames and pitch to audio: HiFi-GAN's generator (arXiv 2010.05646, section 2.2) driven by the harmonic
source of a neural source-filter model (Wang et al., arXiv 1904.12088, eqs. 2-4).
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from svc_core.config import HOP_SAMPLES, RATE_HZ, ModelBlock
from svc_core.model.weight_norm import WeightNorm

_HARMONICS = 9
_SINE_AMPLITUDE = 0.1
_VOICED_NOISE = 0.003
_SLOPE = 0.1
_LAST_SLOPE = 0.01


@torch.no_grad()
def harmonics(f0: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Nine sines at f0's multiples plus noise; noise alone where unvoiced.

    The phase is summed less one turn where its fraction falls, so that it stays small. The fraction is that of a
    float32 sum, as in so-vits-svc 4.1: at a predicted f0 below 0 it misses turns, and the goldens hold the rounding.

    Args:
        f0: [B, F] Hz, 0 where unvoiced; held for the 512 samples of a frame.
        generator: draws first the phases, then the noise; torch's global one where None.
    Returns:
        [B, T, 9], T = 512 F. The fundamental starts at phase 0, the others at random ones.
    """
    held = f0.float().repeat_interleave(HOP_SAMPLES, dim=1).unsqueeze(-1)
    multiples = torch.arange(1, _HARMONICS + 1, device=f0.device)
    cycles = (held * multiples / RATE_HZ) % 1
    start = torch.rand(f0.size(0), _HARMONICS, generator=generator, device=f0.device)
    start[:, 0] = 0
    cycles[:, 0] += start
    turned = (_running_sum(cycles) % 1).diff(dim=1) < 0
    cycles[:, 1:] -= turned.float()
    phase = _running_sum(cycles)
    sines = phase.mul_(2 * math.pi).sin_().mul_(_SINE_AMPLITUDE)
    voiced = (held > 0).float()
    noise = torch.randn(sines.shape, generator=generator, device=f0.device)
    return sines * voiced + noise * (voiced * _VOICED_NOISE + (1 - voiced) * (_SINE_AMPLITUDE / 3))


def _running_sum(cycles: Tensor) -> Tensor:
    """Summed in float64 on every device, as torch sums float32 on a CPU alone."""
    return cycles.cumsum(1, dtype=torch.float64).float()


class HarmonicSource(nn.Module):
    """Merges the harmonics into one excitation; starts as their plain sum (docs/adr/0008-start-of-the-decoder.md)."""

    def __init__(self) -> None:
        super().__init__()
        self.l_linear = nn.Linear(_HARMONICS, 1)
        nn.init.ones_(self.l_linear.weight)
        nn.init.zeros_(self.l_linear.bias)

    def forward(self, f0: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Args: f0 [B, F] Hz. Returns [B, 1, T]."""
        return self.l_linear(harmonics(f0, generator)).tanh().transpose(1, 2)


class ResidualBlock(nn.Module):
    """Pairs of convolutions, the first of each dilated, each pair with a residual; [B, C, T] to the same."""

    def __init__(self, channels: int, kernel_size: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(_same_conv(channels, kernel_size, dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(_same_conv(channels, kernel_size, 1) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            inner = F.leaky_relu_(dilated(F.leaky_relu(x, _SLOPE)), _SLOPE)
            x = plain(inner).add_(x)
        return x


class Decoder(nn.Module):
    def __init__(self, model: ModelBlock) -> None:
        super().__init__()
        first = model.upsample_initial_channel
        rates, kernels = model.upsample_rates, model.upsample_kernel_sizes
        widths = [first // 2**stage for stage in range(len(rates) + 1)]
        self.blocks_per_stage = len(model.resblock_kernel_sizes)
        self.m_source = HarmonicSource()
        self.noise_convs = nn.ModuleList(
            _source_conv(widths[stage + 1], math.prod(rates[stage + 1 :])) for stage in range(len(rates))
        )
        self.conv_pre = WeightNorm(nn.Conv1d(model.inter_channels, first, 7, padding=3))
        self.ups = nn.ModuleList(
            WeightNorm(_interpolating(nn.ConvTranspose1d(wide, narrow, kernel, rate, padding=(kernel - rate) // 2)))
            for (wide, narrow), kernel, rate in zip(pairwise(widths), kernels, rates, strict=True)
        )
        self.resblocks = nn.ModuleList(
            ResidualBlock(width, kernel, dilations)
            for width in widths[1:]
            for kernel, dilations in zip(model.resblock_kernel_sizes, model.resblock_dilation_sizes, strict=True)
        )
        self.conv_post = WeightNorm(nn.Conv1d(widths[-1], 1, 7, padding=3))
        self.cond = nn.Conv1d(model.gin_channels, first, 1)

    def forward(self, z: Tensor, f0: Tensor, g: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Args: z [B, C, F], f0 [B, F] Hz, g [B, gin, 1]. Returns audio within -1..1, [B, 1, T], T = 512 F."""
        source = self.m_source(f0, generator)
        x = self.conv_pre(z) + self.cond(g)
        for stage, (up, noise_conv) in enumerate(zip(self.ups, self.noise_convs, strict=True)):
            x = up(F.leaky_relu(x, _SLOPE)).add_(noise_conv(source))
            x = self._blocks(stage, x)
        # Outside autocast: bf16's 8 bits would be the audio's.
        with torch.autocast(x.device.type, enabled=False):
            return self.conv_post(F.leaky_relu(x.float(), _LAST_SLOPE)).tanh()

    def _blocks(self, stage: int, x: Tensor) -> Tensor:
        first = stage * self.blocks_per_stage
        total = self.resblocks[first](x)
        for block in self.resblocks[first + 1 : first + self.blocks_per_stage]:
            total = total + block(x)
        return total / self.blocks_per_stage


def _interpolating(up: nn.ConvTranspose1d) -> nn.ConvTranspose1d:
    """Starts as a triangle over time times a random mix of channels, so that it makes no tone of its own."""
    positions = torch.arange(up.kernel_size[0]) + 0.5
    middle = up.kernel_size[0] / 2
    triangle = 1 - (positions - middle).abs() / middle
    with torch.no_grad():
        mix = torch.randn(up.in_channels, up.out_channels, 1) / math.sqrt(up.in_channels)
        up.weight.copy_(mix * triangle)
    return up


def _same_conv(channels: int, kernel_size: int, dilation: int) -> WeightNorm:
    padding = dilation * (kernel_size - 1) // 2
    return WeightNorm(nn.Conv1d(channels, channels, kernel_size, dilation=dilation, padding=padding))


def _source_conv(channels: int, stride: int) -> nn.Conv1d:
    """Brings the excitation down to a stage's rate, `stride` samples for one of the stage's steps."""
    if stride == 1:
        return nn.Conv1d(1, channels, 1)
    return nn.Conv1d(1, channels, 2 * stride, stride, padding=(stride + 1) // 2)
