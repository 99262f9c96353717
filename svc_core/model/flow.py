"""The normalising flow between posterior and prior: mean-only affine couplings, as VITS (arXiv 2106.06103, 2.5.2).

A coupling (RealNVP, arXiv 1605.08803, eqs. 7-8 with s = 0) leaves the first half x0 and shifts the second:
x1 <- x1 + m(x0, speaker). The channels are reversed after each, so that the halves take turns. The volume does not
change, so the log determinant is 0.
"""

from torch import Tensor, cat, nn

from svc_core.config import ModelBlock
from svc_core.model.wavenet import WaveNet

_COUPLINGS = 4


class Coupling(nn.Module):
    def __init__(self, channels: int, hidden: int, wavenet: WaveNet) -> None:
        super().__init__()
        self.pre = nn.Conv1d(channels // 2, hidden, 1)
        self.enc = wavenet
        self.post = nn.Conv1d(hidden, channels // 2, 1)
        nn.init.zeros_(self.post.weight)
        nn.init.zeros_(self.post.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, mask: Tensor, g: Tensor, *, inverse: bool = False) -> Tensor:
        kept, shifted = x.chunk(2, dim=1)
        shift = self.post(self.enc(self.pre(kept) * mask, mask, g)) * mask
        shifted = (shifted - shift) * mask if inverse else shift + shifted * mask
        return cat([kept, shifted], dim=1)


class Flip(nn.Module):
    """Reverses the channels; its own inverse."""

    def forward(self, x: Tensor, mask: Tensor, g: Tensor, *, inverse: bool = False) -> Tensor:
        return x.flip(1)


class Flow(nn.Module):
    """Four couplings, each followed by a flip. With `flow_share_parameter` one WaveNet serves all four."""

    def __init__(self, model: ModelBlock) -> None:
        super().__init__()
        shared = _wavenet(model) if model.flow_share_parameter else None
        if shared is not None:
            self.wavenet = shared
        self.flows = nn.ModuleList()
        for _ in range(_COUPLINGS):
            self.flows.append(Coupling(model.inter_channels, model.hidden_channels, shared or _wavenet(model)))
            self.flows.append(Flip())

    def forward(self, x: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Posterior to prior. Args: x [B, C, F], mask [B, 1, F], g [B, gin, 1]. Returns [B, C, F]."""
        for step in self.flows:
            x = step(x, mask, g)
        return x

    def inverse(self, x: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """Prior to posterior, the inverse of `forward`; same shapes."""
        for step in reversed(self.flows):
            x = step(x, mask, g, inverse=True)
        return x


def _wavenet(model: ModelBlock) -> WaveNet:
    return WaveNet(model.hidden_channels, model.n_flow_layer, model.gin_channels, depthwise=model.use_depthwise_conv)
