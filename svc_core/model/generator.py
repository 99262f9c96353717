"""The whole generator: VITS (arXiv 2106.06103) with content and pitch in place of text, and an NSF-HiFi-GAN decoder.

Training: posterior z from the recording, flow(z) pulled to the prior of its content, decoder on a piece of z.
Conversion: prior of the content, flow reversed with the target speaker, decoder. Tensor names, shapes and their order
are so-vits-svc 4.1's.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from svc_core.config import DataBlock, ModelBlock
from svc_core.errors import ConfigError, SvcError
from svc_core.model import pitch, segments
from svc_core.model.content_encoder import ContentEncoder
from svc_core.model.decoder import Decoder
from svc_core.model.f0_decoder import F0Decoder
from svc_core.model.flow import Flow
from svc_core.model.posterior_encoder import PosteriorEncoder
from svc_core.model.weight_norm import fold_weight_norm

INFER_SEED = 52468


class GeneratorOutput(NamedTuple):
    """One training pass. C is inter_channels; what is named *_p belongs to the prior, *_q to the posterior."""

    audio: Tensor
    """[B, 1, 512 segment_frames]"""
    slice_ids: Tensor
    """[B] first frame of each row's segment"""
    mask: Tensor
    """[B, 1, F]"""
    z: Tensor
    """[B, C, F] drawn from the posterior"""
    z_p: Tensor
    """[B, C, F] z through the flow"""
    m_p: Tensor
    logs_p: Tensor
    m_q: Tensor
    logs_q: Tensor
    """[B, C, F] each: means and log standard deviations"""
    pred_lf0: Tensor | None
    """[B, 1, F]; None without automatic f0 prediction, as the next two"""
    norm_lf0: Tensor | None
    lf0: Tensor | None


class LogPitch(NamedTuple):
    """[B, 1, F] each; None without automatic f0 prediction."""

    predicted: Tensor | None
    normalized: Tensor | None
    true: Tensor | None


class InferOutput(NamedTuple):
    audio: Tensor
    """[B, 1, T], T = 512 F, within -1..1"""
    f0: Tensor
    """[B, F] Hz, what the decoder was driven by"""


class Generator(nn.Module):
    """Content, pitch and speaker to audio.

    Args:
        model: the shapes. data: names the FFT of the spectrograms. segment_frames: what the decoder makes per row in
            training.
    """

    def __init__(self, model: ModelBlock, data: DataBlock, segment_frames: int) -> None:
        super().__init__()
        self.segment_frames = segment_frames
        hidden = model.hidden_channels
        self.emb_g = nn.Embedding(model.n_speakers, model.gin_channels)
        self.emb_vol = nn.Linear(1, hidden) if model.vol_embedding else None
        self.pre = nn.Conv1d(model.ssl_dim, hidden, 5, padding=2)
        self.enc_p = ContentEncoder(model)
        self.dec = Decoder(model)
        self.enc_q = PosteriorEncoder(model, data.filter_length // 2 + 1)
        self.flow = Flow(model)
        self.f0_decoder = F0Decoder(model) if model.use_automatic_f0_prediction else None
        self.emb_uv = nn.Embedding(2, hidden)

    def forward(
        self, c: Tensor, f0: Tensor, spec: Tensor, lengths: Tensor, spk: Tensor, uv: Tensor, volume: Tensor | None
    ) -> GeneratorOutput:
        """One training pass.

        Random draws come from torch's global generator in 4.1's order, but for a last noise that 4.1 throws away.

        Args:
            c: [B, D, F] content. f0: [B, F] Hz. spec: [B, 1025, F] magnitudes. lengths: [B] frames.
            spk: [B, 1] ids. uv: [B, F], 1 where voiced. volume: [B, F], only used with vol_embedding.
        """
        mask = _mask(lengths, c.size(2))
        g = self.emb_g(spk).transpose(1, 2)
        x = self._condition(c, uv, volume, mask)
        log_pitch = self._predict_lf0(x, f0, uv, mask, g)
        prior = self.enc_p(x, pitch.coarse_f0(f0), mask)
        posterior = self.enc_q(spec, mask, g)
        starts = segments.random_starts(lengths, self.segment_frames)
        z_segment = segments.take(posterior.z, starts, self.segment_frames)
        f0_segment = segments.take(f0, starts, self.segment_frames)
        return GeneratorOutput(
            audio=self.dec(z_segment, f0_segment, g),
            slice_ids=starts,
            mask=mask,
            z=posterior.z,
            z_p=self.flow(posterior.z, mask, g),
            m_p=prior.mean,
            logs_p=prior.log_std,
            m_q=posterior.mean,
            logs_q=posterior.log_std,
            pred_lf0=log_pitch.predicted,
            norm_lf0=log_pitch.normalized,
            lf0=log_pitch.true,
        )

    @torch.no_grad()
    def infer(
        self,
        c: Tensor,
        f0: Tensor,
        uv: Tensor,
        spk: Tensor,
        volume: Tensor | None,
        *,
        noise_scale: float,
        predict_f0: bool = False,
        seed: int | None = INFER_SEED,
    ) -> InferOutput:
        """Converts content to a speaker's voice; every row is used whole. For a network in eval mode.

        Args:
            c: [B, D, F] content. f0: [B, F] Hz. uv: [B, F], 1 where voiced. spk: [B, 1] ids.
            volume: [B, F] RMS envelope, only used with vol_embedding.
            noise_scale: factor on the prior's standard deviation.
            predict_f0: lets the network choose the speaker's own pitch, with f0 as a hint.
            seed: of a generator of this call's own; None draws from torch's global one.
        Raises ConfigError where predict_f0 is asked of a network without automatic f0 prediction.
        """
        generator = None if seed is None else torch.Generator(c.device).manual_seed(seed)
        mask = torch.ones(c.size(0), 1, c.size(2), device=c.device)
        g = self.emb_g(spk).transpose(1, 2)
        x = self._condition(c, uv, volume, mask)
        if predict_f0:
            f0 = self._predict_f0(x, f0, uv, mask, g)
        prior = self.enc_p(x, pitch.coarse_f0(f0), mask, noise_scale, generator)
        z = self.flow.inverse(prior.z, mask, g)
        return InferOutput(self.dec(z * mask, f0, g, generator), f0)

    def fold_weight_norm(self) -> None:
        """Makes inference faster, in place; afterwards the network can be neither trained nor loaded into."""
        fold_weight_norm(self)

    def _condition(self, c: Tensor, uv: Tensor, volume: Tensor | None, mask: Tensor) -> Tensor:
        """What both transformers start from: content, voicing and volume, [B, H, F]."""
        x = self.pre(c) * mask + self.emb_uv(uv.long()).transpose(1, 2)
        if self.emb_vol is None:
            return x
        if volume is None:
            raise SvcError("the network has a volume embedding but was given no volume: pass the volume envelope")
        return x + self.emb_vol(volume.unsqueeze(-1)).transpose(1, 2)

    def _predict_lf0(self, x: Tensor, f0: Tensor, uv: Tensor, mask: Tensor, g: Tensor) -> LogPitch:
        if self.f0_decoder is None:
            return LogPitch(None, None, None)
        lf0 = pitch.f0_to_lf0(f0).unsqueeze(1)
        norm_lf0 = pitch.normalize_lf0(lf0, uv, mask, random_factor=True)
        return LogPitch(self.f0_decoder(x, norm_lf0, mask, g), norm_lf0, lf0)

    def _predict_f0(self, x: Tensor, f0: Tensor, uv: Tensor, mask: Tensor, g: Tensor) -> Tensor:
        if self.f0_decoder is None:
            raise ConfigError(
                "this model cannot predict f0 (model.use_automatic_f0_prediction is false): convert without predict_f0"
            )
        norm_lf0 = pitch.normalize_lf0(pitch.f0_to_lf0(f0).unsqueeze(1), uv, mask, random_factor=False)
        return pitch.lf0_to_f0(self.f0_decoder(x, norm_lf0, mask, g)).squeeze(1)


def _mask(lengths: Tensor, frames: int) -> Tensor:
    """[B] lengths to [B, 1, F], 1 within a row's length."""
    return (torch.arange(frames, device=lengths.device) < lengths.unsqueeze(1)).float().unsqueeze(1)
