import dataclasses
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from model_goldens import case, constant_rng

# golden/README.md, "Measured agreement": rtol 1e-4, atol 1e-5 on waveforms.
WAVEFORM = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module", params=["net_tiny_vol", "net_tiny_novol", "net_full_vol"])
def network(request):
    """A golden case cut to its first row, and its generator."""
    whole = case(request.param)
    frames = int(whole.lengths[0])
    row = {key: getattr(whole, key)[:1, ..., :frames] for key in ("c", "f0", "uv", "volume")}
    return dataclasses.replace(whole, **row, spk=whole.spk[:1]), whole.generator()


def infer(network, draws, **options):
    case, generator = network
    arguments = {"f0": case.f0, "noise_scale": 0.4, "predict_f0": False} | options
    with constant_rng() if draws == "const" else nullcontext():
        return generator.infer(case.c, arguments.pop("f0"), case.uv, case.spk, case.volume, **arguments)


@pytest.mark.parametrize("draws", ["const", "seed52468"])
def test_audio_is_the_reference_one(network, draws):
    golden = network[0].golden
    made = infer(network, draws)
    np.testing.assert_allclose(made.audio, golden[f"infer_{draws}_base"], **WAVEFORM)
    assert np.array_equal(made.f0, golden[f"infer_{draws}_base_f0"])


@pytest.mark.parametrize("draws", ["const", "seed52468"])
def test_audio_at_a_predicted_pitch_is_the_reference_one(network, draws):
    golden = network[0].golden
    predicted_hz = torch.from_numpy(golden[f"infer_{draws}_autof0_f0"])
    made = infer(network, draws, predict_f0=True)
    # f0 = 700 (10^x - 1): one unit in the last place of 10^x, 2^-23, is 8.3e-5 Hz; two are allowed.
    np.testing.assert_allclose(made.f0, predicted_hz, rtol=0, atol=2 * 700 * 2**-23)
    # Such a step, kept up for 0.5 s, moves the phase of the ninth harmonic by 2 pi * 9 * 8.3e-5 Hz * 0.5 s = 2e-3 rad,
    # more than the tolerance of a waveform. So the reference's audio is compared at the reference's pitch, to which the
    # audio at a predicted pitch is bound by equality.
    at_reference_pitch = infer(network, draws, f0=predicted_hz)
    np.testing.assert_allclose(at_reference_pitch.audio, golden[f"infer_{draws}_autof0"], **WAVEFORM)
    assert torch.equal(infer(network, draws, f0=made.f0).audio, made.audio)


def test_global_random_state_is_left_alone(network):
    before = torch.get_rng_state()
    infer(network, "seed52468")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_seed_decides_the_audio(network):
    first, second, other = (infer(network, "seed", seed=seed).audio for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_without_a_seed_the_global_generator_draws(network):
    torch.manual_seed(52468)
    assert torch.equal(infer(network, "seed", seed=None).audio, infer(network, "seed").audio)


def test_folded_weights_give_the_same_audio(network):
    case, generator = network
    expected = infer(network, "seed").audio
    folded = case.generator()
    folded.fold_weight_norm()
    assert not any(key.endswith(("weight_g", "weight_v")) for key in folded.state_dict())
    # The same weights, computed once instead of at each call.
    np.testing.assert_allclose(infer((case, folded), "seed").audio, expected, rtol=0, atol=1e-6)
    assert any(key.endswith("weight_g") for key in generator.state_dict())
