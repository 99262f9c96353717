import math

import pytest
import torch

from svc_core.config import ModelBlock
from svc_core.model.decoder import Decoder, harmonics


def sine_parts(f0: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return harmonics(f0, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("f0_hz", "frames"), [(60.0, 9), (221.7, 100), (1000.0, 1500)])
def test_each_harmonic_keeps_its_frequency_however_long(f0_hz, frames):
    waves = sine_parts(torch.full((1, frames), f0_hz))[0, -4096:].double()
    at_s = torch.arange(4096, dtype=torch.float64) / 44100
    for harmonic in (1, 9):
        turning = torch.exp(-2j * math.pi * harmonic * f0_hz * at_s)
        amplitude = 2 * (waves[:, harmonic - 1] * turning).mean().abs()
        # The sine's 0.1; noise of 0.003 averages to 0.003 * sqrt(2 / 4096) = 7e-5, of which 20 are allowed, and what
        # is left of the image at twice the frequency, at most 0.1 / (4096 pi * 2 f0 / 44100) = 2.9e-3.
        assert amplitude.item() == pytest.approx(0.1, abs=4.3e-3)


def test_unvoiced_frames_are_noise_alone():
    f0 = torch.cat([torch.zeros(1, 40), torch.full((1, 40), 220.0)], dim=1)
    waves = sine_parts(f0)[0]
    unvoiced, voiced = waves[: 40 * 512], waves[40 * 512 :]
    # 184 320 draws: the standard deviation is known to 1 / sqrt(2 * 184 320) = 0.2 %, five of which are allowed.
    assert unvoiced.std().item() == pytest.approx(0.1 / 3, rel=0.01)
    assert voiced.std().item() == pytest.approx(math.sqrt(0.1**2 / 2 + 0.003**2), rel=0.02)


def test_only_the_fundamental_starts_at_phase_0():
    waves = sine_parts(torch.full((1, 1), 100.0))[0, 0]
    # One sample into 100 Hz: 0.1 sin(2 pi 100 / 44100) = 1.4e-3; noise of 0.003, of which five are allowed.
    assert abs(waves[0].item() - 0.1 * math.sin(2 * math.pi * 100 / 44100)) < 0.015
    assert waves[1:].abs().max() > 0.05


def test_draws_come_from_the_given_generator():
    f0 = torch.full((2, 3), 200.0)
    before = torch.get_rng_state()
    assert torch.equal(sine_parts(f0, 4), sine_parts(f0, 4))
    assert not torch.equal(sine_parts(f0, 4), sine_parts(f0, 5))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("rates", "kernels"), [((8, 8, 2, 2, 2), (16, 16, 4, 4, 4)), ((8, 8, 8), (16, 16, 16)), ((16, 8, 4), (32, 16, 8))]
)
def test_audio_has_512_samples_per_frame(rates, kernels):
    model = ModelBlock(
        inter_channels=4,
        gin_channels=6,
        upsample_rates=rates,
        upsample_kernel_sizes=kernels,
        upsample_initial_channel=2 ** len(rates),
        resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1, 3),),
    )
    decoder = Decoder(model)
    audio = decoder(torch.randn(2, 4, 7), torch.full((2, 7), 150.0), torch.randn(2, 6, 1))
    assert audio.shape == (2, 1, 7 * 512)
    assert audio.abs().max() <= 1


def test_a_fresh_upsampling_makes_no_tone_of_its_own():
    up = Decoder(ModelBlock(gin_channels=6)).ups[0]
    with torch.no_grad():
        inner = up(torch.ones(1, 512, 20))[0, :, 16:-16] - up.bias.unsqueeze(1)
    # A held input stays held: the triangles of width 16, 8 apart, add up to one constant.
    assert (inner.std(1) < 1e-4 * inner.abs().mean()).all()


def test_a_fresh_source_is_the_sum_of_the_harmonics():
    source = Decoder(ModelBlock(gin_channels=6)).m_source
    f0 = torch.full((1, 4), 220.0)
    expected = sine_parts(f0, 3).sum(-1).tanh()
    torch.testing.assert_close(source(f0, torch.Generator().manual_seed(3))[:, 0], expected, rtol=1e-5, atol=1e-5)


def test_audio_is_made_in_full_precision_under_autocast():
    decoder = Decoder(ModelBlock(gin_channels=6, inter_channels=4, upsample_initial_channel=64))
    with torch.autocast("cpu", torch.bfloat16):
        audio = decoder(torch.randn(1, 4, 7), torch.full((1, 7), 150.0), torch.randn(1, 6, 1))
    assert audio.dtype == torch.float32
