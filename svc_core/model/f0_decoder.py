"""Predicts the speaker's own pitch from content: a causal transformer on the log scale of `pitch.f0_to_lf0`."""

from torch import Tensor, nn

from svc_core.config import ModelBlock
from svc_core.model.attention import CausalDecoder


class F0Decoder(nn.Module):
    def __init__(self, model: ModelBlock) -> None:
        super().__init__()
        hidden = model.hidden_channels
        self.prenet = nn.Conv1d(hidden, hidden, 3, padding=1)
        self.decoder = CausalDecoder(model)
        self.proj = nn.Conv1d(hidden, 1, 1)
        self.f0_prenet = nn.Conv1d(1, hidden, 3, padding=1)
        self.cond = nn.Conv1d(model.gin_channels, hidden, 1)

    def forward(self, x: Tensor, norm_lf0: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        """The pitch, [B, 1, F].

        Args:
            x: [B, H, F] conditioning; its gradient stops here, so that pitch does not shape the content.
            norm_lf0: [B, 1, F] of `pitch.normalize_lf0`. mask: [B, 1, F]. g: [B, gin, 1].
        """
        x = x.detach() + self.cond(g) + self.f0_prenet(norm_lf0)
        x = self.decoder(self.prenet(x) * mask, mask)
        return self.proj(x).float() * mask
