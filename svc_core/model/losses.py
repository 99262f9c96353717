"""What is minimised, one function per term, all in float32 even under autocast.

VITS (arXiv 2106.06103, eqs. 3-4 and 8-11) and HiFi-GAN (arXiv 2010.05646, eqs. 1-9), with one more term for the
pitch decoder.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from svc_core.config import TrainBlock
from svc_core.model.discriminator import Judgement
from svc_core.model.generator import GeneratorOutput

_FEATURE_WEIGHT = 2.0


class GeneratorLosses(NamedTuple):
    """The generator's terms, weighted, so that they add up to the total. 0-d tensors."""

    gen: Tensor
    fm: Tensor
    mel: Tensor
    kl: Tensor
    lf0: Tensor

    @property
    def total(self) -> Tensor:
        return self.gen + self.fm + self.mel + self.kl + self.lf0


def discriminator_loss(real: Sequence[Judgement], made: Sequence[Judgement]) -> Tensor:
    """Least squares, HiFi-GAN eq. 1: the sum over discriminators of mean (1 - D(y))^2 + mean D(y_hat)^2."""
    terms = [
        (1 - r.logits.float()).square().mean() + m.logits.float().square().mean()
        for r, m in zip(real, made, strict=True)
    ]
    return torch.stack(terms).sum()


def adversarial_loss(made: Sequence[Judgement]) -> Tensor:
    """HiFi-GAN eq. 2: the sum over discriminators of mean (1 - D(y_hat))^2."""
    return torch.stack([(1 - m.logits.float()).square().mean() for m in made]).sum()


def feature_loss(real: Sequence[Judgement], made: Sequence[Judgement]) -> Tensor:
    """HiFi-GAN eq. 8 and its weight: twice the mean absolute difference of every feature map, real ones fixed."""
    terms = [
        F.l1_loss(made_map.float(), real_map.detach().float())
        for r, m in zip(real, made, strict=True)
        for real_map, made_map in zip(r.features, m.features, strict=True)
    ]
    return _FEATURE_WEIGHT * torch.stack(terms).sum()


def mel_loss(real_mel: Tensor, made_mel: Tensor) -> Tensor:
    """HiFi-GAN eq. 7: mean absolute difference of two log mel spectrograms, [B, M, segment_frames] each."""
    return F.l1_loss(made_mel.float(), real_mel.float())


def kl_loss(output: GeneratorOutput) -> Tensor:
    """VITS eqs. 3-4 at the drawn z: log q(z) - log p(flow(z)), with the draw's own square at its mean of 1/2.

    Summed over channels, averaged over the frames within the rows' lengths.
    """
    logs_p, mask = output.logs_p.float(), output.mask
    distance = (output.z_p.float() - output.m_p.float()).square() * (-2 * logs_p).exp()
    kl = logs_p - output.logs_q.float() - 0.5 + 0.5 * distance
    return (kl * mask).sum() / mask.sum()


def lf0_loss(output: GeneratorOutput) -> Tensor:
    """Mean square error of the predicted log pitch over all frames, padding too; 0 without automatic f0 prediction."""
    if output.pred_lf0 is None or output.lf0 is None:
        return output.audio.new_zeros(())
    return F.mse_loss(output.pred_lf0.float(), output.lf0.float())


def generator_losses(
    output: GeneratorOutput,
    real: Sequence[Judgement],
    made: Sequence[Judgement],
    real_mel: Tensor,
    made_mel: Tensor,
    train: TrainBlock,
) -> GeneratorLosses:
    """All terms of a generator's step, VITS eq. 11.

    Args:
        real, made: judgements of the updated discriminator on the recorded and the made segments.
        real_mel, made_mel: log mel of the same segments, [B, M, segment_frames].
        train: holds the weights c_mel and c_kl.
    """
    return GeneratorLosses(
        gen=adversarial_loss(made),
        fm=feature_loss(real, made),
        mel=train.c_mel * mel_loss(real_mel, made_mel),
        kl=train.c_kl * kl_loss(output),
        lf0=lf0_loss(output),
    )
