"""The prior of VITS (arXiv 2106.06103, section 2.1.2), conditioned on content and pitch instead of text."""

import torch
from torch import Tensor, nn

from svc_core.config import ModelBlock
from svc_core.model import gaussian
from svc_core.model.attention import RelativeEncoder
from svc_core.model.gaussian import Gaussian
from svc_core.model.pitch import COARSE_BINS


class ContentEncoder(nn.Module):
    def __init__(self, model: ModelBlock) -> None:
        super().__init__()
        hidden = model.hidden_channels
        self.proj = nn.Conv1d(hidden, 2 * model.inter_channels, 1)
        self.f0_emb = nn.Embedding(COARSE_BINS, hidden)
        self.enc_ = RelativeEncoder(model)

    def forward(
        self,
        x: Tensor,
        coarse: Tensor,
        mask: Tensor,
        noise_scale: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Gaussian:
        """The prior p(z | content, pitch) and a draw from it.

        Args:
            x: [B, H, F] conditioning. coarse: [B, F] bins of `pitch.coarse_f0`. mask: [B, 1, F].
            noise_scale: factor on the standard deviation of the draw.
        """
        x = self.enc_(x + self.f0_emb(coarse).transpose(1, 2), mask)
        return gaussian.draw(self.proj(x), mask, noise_scale, generator)
