"""Weight normalisation (Salimans & Kingma, arXiv 1602.07868, eq. 2): w = g * v / |v|, one g per first-axis slice.

Kept as a module of our own because the tensor names of so-vits-svc 4.1, `weight_g` and `weight_v` after `bias`, are
those of torch's deprecated hook.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class WeightNorm(nn.Module):
    """Takes over a fresh convolution's parameters; the effective weight is rebuilt at each call.

    Shapes in and out are the convolution's own.
    """

    def __init__(self, conv: nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d) -> None:
        super().__init__()
        lengths = conv.weight.detach().flatten(1).norm(dim=1)
        self.bias = conv.get_parameter("bias")
        self.weight_g = nn.Parameter(lengths.view(-1, *[1] * (conv.weight.dim() - 1)))
        self.weight_v = conv.get_parameter("weight")
        self._convolve = _convolution_of(conv)
        self._folded = False

    def effective_weight(self) -> Tensor:
        if self._folded:
            return self.get_buffer("weight")
        return torch._weight_norm(self.weight_v, self.weight_g, 0)

    def forward(self, x: Tensor) -> Tensor:
        return self._convolve(x, self.effective_weight(), self.bias)

    def fold(self) -> None:
        """Replaces g and v by the effective weight: faster to run, no longer to be trained or loaded into."""
        weight = self.effective_weight().detach()
        if not self._folded:
            del self.weight_g, self.weight_v
            self.register_buffer("weight", weight)
            self._folded = True


def fold_weight_norm(network: nn.Module) -> None:
    """Folds every weight-normalised convolution inside `network`, in place."""
    for module in network.modules():
        if isinstance(module, WeightNorm):
            module.fold()


def _convolution_of(conv: nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d) -> Callable[..., Tensor]:
    geometry: dict[str, Any] = {
        "stride": conv.stride,
        "padding": conv.padding,
        "dilation": conv.dilation,
        "groups": conv.groups,
    }
    if isinstance(conv, nn.ConvTranspose1d):
        return partial(F.conv_transpose1d, **geometry)
    return partial(F.conv2d if isinstance(conv, nn.Conv2d) else F.conv1d, **geometry)
