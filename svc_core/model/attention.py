"""Transformer stacks on [B, H, F]: parts (norm, attention, feed-forward), then the two stacks that use them.

Self-attention is Vaswani et al. (arXiv 1706.03762, eq. 1) with the normalisation after each residual; the content
encoder adds learned relative positions within a window (Shaw et al., arXiv 1803.02155, eqs. 3-4), as VITS
(arXiv 2106.06103, section 2.5) does.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from svc_core.config import ModelBlock

_MASKED_SCORE = -1e4
_NORM_EPS = 1e-5
_WINDOW_FRAMES = 4


class _PositiveDropout(torch.autograd.Function):
    """y = dropout(relu(x)) * mask, keeping y alone for the backward pass.

    Where y > 0 its derivative is 1 / (1 - drop), elsewhere it is 0, so neither x nor the drawn noise need be kept.
    Behind a softmax the relu changes nothing, and where the softmax is 0 its own derivative is 0.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor | None, drop: float) -> Tensor:
        y = x.relu()
        if drop > 0:
            y.mul_(torch.empty_like(x).bernoulli_(1 - drop).div_(1 - drop))
        if mask is not None:
            y.mul_(mask)
        ctx.save_for_backward(y)
        ctx.gain = 1 / (1 - drop)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (y,) = ctx.saved_tensors
        return (grads[0] * ctx.gain).masked_fill_(y <= 0, 0), None, None


class ChannelNorm(nn.Module):
    """Layer norm over the channels of [B, H, F]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        normed = F.layer_norm(x.transpose(1, 2), (x.size(1),), self.gamma, self.beta, _NORM_EPS)
        return normed.transpose(1, 2)


class SelfAttention(nn.Module):
    """Multi-head self-attention; with `window_frames`, nearby keys and values carry a learned relative position."""

    def __init__(self, model: ModelBlock, window_frames: int | None = None) -> None:
        super().__init__()
        self.heads = model.n_heads
        self.drop = model.p_dropout
        self.window_frames = window_frames
        channels = model.hidden_channels
        depth = channels // self.heads
        if window_frames is not None:
            positions = 2 * window_frames + 1
            self.emb_rel_k = nn.Parameter(torch.randn(1, positions, depth) / math.sqrt(depth))
            self.emb_rel_v = nn.Parameter(torch.randn(1, positions, depth) / math.sqrt(depth))
        self.conv_q = nn.Conv1d(channels, channels, 1)
        self.conv_k = nn.Conv1d(channels, channels, 1)
        self.conv_v = nn.Conv1d(channels, channels, 1)
        self.conv_o = nn.Conv1d(channels, channels, 1)
        for conv in (self.conv_q, self.conv_k, self.conv_v):
            nn.init.xavier_uniform_(conv.weight)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Args: x [B, H, F]; bias, added to the scores, broadcasts to [B, heads, F, F]. Returns [B, H, F]."""
        query = self._split(self.conv_q(x)) / math.sqrt(x.size(1) // self.heads)
        key, value = self._split(self.conv_k(x)), self._split(self.conv_v(x))
        scores = query @ key.transpose(-2, -1)
        band = None if self.window_frames is None else _Band(x.size(2), self.window_frames, x.device)
        if band is not None:
            band.add_to(scores, query @ self.emb_rel_k.transpose(-2, -1))
        weights = scores.add_(bias).softmax(-1)
        if self.training and self.drop > 0:
            weights = _PositiveDropout.apply(weights, None, self.drop)
        mixed = weights @ value
        if band is not None:
            mixed = mixed + band.of(weights) @ self.emb_rel_v
        return self.conv_o(mixed.transpose(2, 3).reshape(x.shape))

    def _split(self, x: Tensor) -> Tensor:
        """[B, H, F] to [B, heads, F, H / heads]."""
        return x.view(x.size(0), self.heads, -1, x.size(2)).transpose(2, 3)


class _Band:
    """The entries of an [..., F, F] matrix at most `window` off its diagonal, as [..., F, 2 window + 1].

    Entries beyond the matrix read as 0 and are not written.
    """

    def __init__(self, frames: int, window: int, device: torch.device) -> None:
        offsets = torch.arange(-window, window + 1, device=device)
        columns = torch.arange(frames, device=device).unsqueeze(1) + offsets
        self.columns = columns.clamp(0, frames - 1)
        self.inside = (columns >= 0) & (columns < frames)

    def of(self, matrix: Tensor) -> Tensor:
        return matrix.gather(-1, self.columns.expand(*matrix.shape[:-2], -1, -1)) * self.inside

    def add_to(self, matrix: Tensor, entries: Tensor) -> None:
        matrix.scatter_add_(-1, self.columns.expand_as(entries), entries * self.inside)


class FeedForward(nn.Module):
    """Two convolutions over frames with a relu between; a causal one sees no later frame."""

    def __init__(self, model: ModelBlock, *, causal: bool) -> None:
        super().__init__()
        reach_frames = model.kernel_size - 1
        self.drop = model.p_dropout
        self.padding = (reach_frames, 0) if causal else (reach_frames // 2, reach_frames // 2)
        self.conv_1 = nn.Conv1d(model.hidden_channels, model.filter_channels, model.kernel_size)
        self.conv_2 = nn.Conv1d(model.filter_channels, model.hidden_channels, model.kernel_size)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Args: x [B, H, F], mask [B, 1, F]. Returns [B, H, F]."""
        hidden = self.conv_1(F.pad(x * mask, self.padding))
        hidden = _PositiveDropout.apply(hidden, mask, self.drop if self.training else 0.0)
        return self.conv_2(F.pad(hidden, self.padding)) * mask


class RelativeEncoder(nn.Module):
    """Layers that see the whole clip but not its padding, with relative positions."""

    def __init__(self, model: ModelBlock) -> None:
        super().__init__()
        layers = range(model.n_layers)
        self.drop = model.p_dropout
        self.attn_layers = nn.ModuleList(SelfAttention(model, _WINDOW_FRAMES) for _ in layers)
        self.norm_layers_1 = nn.ModuleList(ChannelNorm(model.hidden_channels) for _ in layers)
        self.ffn_layers = nn.ModuleList(FeedForward(model, causal=False) for _ in layers)
        self.norm_layers_2 = nn.ModuleList(ChannelNorm(model.hidden_channels) for _ in layers)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Args: x [B, H, F], mask [B, 1, F]. Returns [B, H, F]."""
        bias = ((1 - mask) * _MASKED_SCORE).unsqueeze(1)
        x = x * mask
        for attend, norm_1, feed, norm_2 in zip(
            self.attn_layers, self.norm_layers_1, self.ffn_layers, self.norm_layers_2, strict=True
        ):
            x = norm_1(x + F.dropout(attend(x, bias), self.drop, self.training))
            x = norm_2(x + F.dropout(feed(x, mask), self.drop, self.training))
        return x * mask


class CausalDecoder(nn.Module):
    """Layers in which a frame sees itself and what came before; padding stands at the end, so nothing hides it."""

    def __init__(self, model: ModelBlock) -> None:
        super().__init__()
        layers = range(model.n_layers)
        self.drop = model.p_dropout
        self.self_attn_layers = nn.ModuleList(_alike_attention(model) for _ in layers)
        self.norm_layers_0 = nn.ModuleList(ChannelNorm(model.hidden_channels) for _ in layers)
        self.ffn_layers = nn.ModuleList(FeedForward(model, causal=True) for _ in layers)
        self.norm_layers_1 = nn.ModuleList(ChannelNorm(model.hidden_channels) for _ in layers)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Args: x [B, H, F], mask [B, 1, F]. Returns [B, H, F]."""
        bias = torch.full((x.size(2), x.size(2)), _MASKED_SCORE, device=x.device).triu(1)
        x = x * mask
        for attend, norm_0, feed, norm_1 in zip(
            self.self_attn_layers, self.norm_layers_0, self.ffn_layers, self.norm_layers_1, strict=True
        ):
            x = norm_0(x + F.dropout(attend(x, bias), self.drop, self.training))
            x = norm_1(x + F.dropout(feed(x, mask), self.drop, self.training))
        return x * mask


def _alike_attention(model: ModelBlock) -> SelfAttention:
    """Keys start equal to queries, so that at first a frame attends to those like itself."""
    attention = SelfAttention(model)
    attention.conv_k.load_state_dict(attention.conv_q.state_dict())
    return attention
