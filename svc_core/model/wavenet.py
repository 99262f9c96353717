"""A non-causal WaveNet (van den Oord et al., arXiv 1609.03499, eq. 2) as in WaveGlow (arXiv 1811.00002).

Layer i: h = tanh(W_f x + c_f) * sigmoid(W_g x + c_g), where c comes from the speaker; a 1x1 convolution of h is added
to x and to the sum of skips, which is the result.
"""

import torch
from torch import Tensor, nn

from svc_core.model.weight_norm import WeightNorm


class SeparableConv(nn.Module):
    """One filter per channel, then a 1x1 mix: [B, C, F] to [B, C', F]."""

    def __init__(self, channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.depthwise = WeightNorm(nn.Conv1d(channels, channels, kernel_size, padding=padding, groups=channels))
        self.pointwise = WeightNorm(nn.Conv1d(channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


class WaveNet(nn.Module):
    def __init__(self, channels: int, layers: int, gin_channels: int, kernel_size: int = 5, *, depthwise: bool) -> None:
        super().__init__()
        self.channels = channels
        self.in_layers = nn.ModuleList(_gate_conv(channels, kernel_size, depthwise) for _ in range(layers))
        outputs = [2 * channels] * (layers - 1) + [channels]
        self.res_skip_layers = nn.ModuleList(WeightNorm(nn.Conv1d(channels, width, 1)) for width in outputs)
        self.cond_layer = WeightNorm(nn.Conv1d(gin_channels, 2 * channels * layers, 1))

    def forward(self, x: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Args: x [B, H, F], mask [B, 1, F], g [B, gin, 1]. Returns the masked sum of skips, [B, H, F]."""
        conditions = self.cond_layer(g).split(2 * self.channels, dim=1)
        skips = torch.zeros_like(x)
        for in_layer, res_skip, condition in zip(self.in_layers, self.res_skip_layers, conditions, strict=True):
            filtered, gate = in_layer(x).add_(condition).chunk(2, dim=1)
            out = res_skip(filtered.tanh() * gate.sigmoid())
            skips.add_(out[:, -self.channels :])
            # The last layer's output is a skip alone.
            if out.size(1) > self.channels:
                x = (x + out[:, : self.channels]) * mask
        return skips * mask


def _gate_conv(channels: int, kernel_size: int, depthwise: bool) -> nn.Module:
    if depthwise:
        return SeparableConv(channels, 2 * channels, kernel_size)
    return WeightNorm(nn.Conv1d(channels, 2 * channels, kernel_size, padding=kernel_size // 2))
