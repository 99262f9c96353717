import math

import pytest
import torch

from svc_core.config import TrainBlock
from svc_core.model import losses
from svc_core.model.discriminator import Judgement
from svc_core.model.generator import GeneratorOutput


def judged(*logits: float, features: float = 0.0) -> list[Judgement]:
    return [Judgement(torch.full((2, 3), value), [torch.full((2, 4, 3), features)]) for value in logits]


def output(**given: torch.Tensor | None) -> GeneratorOutput:
    """Zeros of two channels and three frames but for what is given; the second row is one frame long."""
    blank = {name: torch.zeros(2, 2, 3) for name in GeneratorOutput._fields}
    mask = torch.tensor([[[1.0, 1.0, 1.0]], [[1.0, 0.0, 0.0]]])
    return GeneratorOutput(**(blank | {"mask": mask} | given))


def test_adversarial_losses_by_hand():
    real, made = judged(1.0, 0.5), judged(0.0, 0.5)
    assert losses.discriminator_loss(real, made).item() == pytest.approx(0 + 0 + 0.25 + 0.25)
    assert losses.adversarial_loss(made).item() == pytest.approx(1 + 0.25)


def test_feature_loss_by_hand_holds_the_real_ones_fixed():
    real, made = judged(0.0, 0.0, features=1.0), judged(0.0, 0.0, features=0.25)
    for judgement in (*real, *made):
        judgement.features[0].requires_grad_()
    loss = losses.feature_loss(real, made)
    assert loss.item() == pytest.approx(2 * 2 * 0.75)
    loss.backward()
    assert all(judgement.features[0].grad is None for judgement in real)
    assert all(judgement.features[0].grad is not None for judgement in made)


def test_kl_is_0_where_the_posterior_meets_the_prior():
    """At the draw whose square is its mean, 1: KL's term 0.5 z^2 is then 1/2."""
    ones = torch.ones(2, 2, 3)
    assert losses.kl_loss(output(z_p=ones)).item() == pytest.approx(0)


def test_kl_by_hand_ignores_padding():
    z_p = torch.zeros(2, 2, 3)
    z_p[1, :, 1:] = 1e3
    logs_q = torch.full((2, 2, 3), -1.0)
    # Per channel 0 + 1 - 0.5 + 0, two channels, averaged over the four frames within lengths.
    assert losses.kl_loss(output(z_p=z_p, logs_q=logs_q)).item() == pytest.approx(1.0)


def test_kl_of_a_wider_prior_by_hand():
    logs_p = torch.full((2, 2, 3), math.log(2))
    z_p = torch.full((2, 2, 3), 2.0)
    assert losses.kl_loss(output(z_p=z_p, logs_p=logs_p)).item() == pytest.approx(2 * math.log(2), rel=1e-6)


def test_lf0_loss_counts_padding_and_is_0_without_a_pitch_decoder():
    lf0 = torch.tensor([[[0.0, 1.0, 2.0, 1.0]]])
    assert losses.lf0_loss(output(pred_lf0=torch.zeros(1, 1, 4), lf0=lf0)).item() == pytest.approx(6 / 4)
    assert losses.lf0_loss(output(pred_lf0=None, norm_lf0=None, lf0=None)).item() == 0


def test_the_total_weighs_each_term():
    train = TrainBlock(c_mel=10, c_kl=3)
    mel = torch.ones(2, 80, 20)
    terms = losses.generator_losses(
        output(logs_q=torch.full((2, 2, 3), -1.0)), judged(1.0, features=1.0), judged(0.5), mel, 0 * mel, train
    )
    expected = losses.GeneratorLosses(gen=0.25, fm=2.0, mel=10.0, kl=3.0, lf0=0.0)
    for name, value in terms._asdict().items():
        assert value.item() == pytest.approx(getattr(expected, name)), name
    assert terms.total.item() == pytest.approx(15.25)


def test_losses_of_half_precision_are_computed_in_float32():
    # 2^-10 is lost beside 1 in bfloat16, which holds eight bits, but not in float32.
    half = [Judgement(torch.full((1, 4), 2.0**-10).bfloat16(), [])]
    assert losses.adversarial_loss(half).item() == pytest.approx((1 - 2**-10) ** 2, rel=1e-6)
    assert losses.adversarial_loss(half).dtype == torch.float32
    mel = torch.full((1, 80, 2), 3.0).bfloat16()
    assert losses.mel_loss(mel, mel * 2).dtype == torch.float32
