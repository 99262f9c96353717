import numpy as np
import pytest
import torch
from model_goldens import arrays, fill

from svc_core.model.discriminator import Discriminator
from svc_core.model.losses import feature_loss

# golden/README.md, "Measured agreement".
WAVEFORM = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def judged():
    golden = arrays("disc")
    network = Discriminator()
    fill(network, 101)
    with torch.no_grad():
        real, made = (network(torch.from_numpy(golden[key])) for key in ("y", "y_hat"))
    return golden, real, made


def test_logits_are_the_reference_ones(judged):
    golden, real, made = judged
    assert len(real) == 6
    for index in range(6):
        np.testing.assert_allclose(real[index].logits, golden[f"out_r{index}"], **WAVEFORM)
        np.testing.assert_allclose(made[index].logits, golden[f"out_g{index}"], **WAVEFORM)


def test_feature_maps_are_the_reference_ones(judged):
    golden, real, made = judged
    for index, judgement in enumerate(real):
        shapes = [[size for size in row if size] for row in golden[f"fmap_r{index}_shapes"].tolist()]
        assert [list(feature.shape) for feature in judgement.features] == shapes
        means = [feature.abs().mean().item() for feature in judgement.features]
        np.testing.assert_allclose(means, golden[f"fmap_r{index}_absmean"], rtol=1e-4)
    assert feature_loss(real, made).item() == pytest.approx(float(golden["loss_fm"]), rel=1e-3)
