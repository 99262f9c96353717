"""The posterior encoder of VITS (arXiv 2106.06103, section 2.5.1): q(z | linear spectrogram, speaker)."""

from torch import Tensor, nn

from svc_core.config import ModelBlock
from svc_core.model import gaussian
from svc_core.model.gaussian import Gaussian
from svc_core.model.wavenet import WaveNet

_LAYERS = 16


class PosteriorEncoder(nn.Module):
    def __init__(self, model: ModelBlock, bins: int) -> None:
        super().__init__()
        hidden = model.hidden_channels
        self.pre = nn.Conv1d(bins, hidden, 1)
        self.enc = WaveNet(hidden, _LAYERS, model.gin_channels, depthwise=model.use_depthwise_conv)
        self.proj = nn.Conv1d(hidden, 2 * model.inter_channels, 1)

    def forward(self, spec: Tensor, mask: Tensor, g: Tensor) -> Gaussian:
        """Args: spec [B, bins, F] magnitudes, mask [B, 1, F], g [B, gin, 1]."""
        x = self.enc(self.pre(spec) * mask, mask, g)
        return gaussian.draw(self.proj(x), mask)
