"""One whole training step against the reference: losses, gradient norms, and the weights after it."""

import json
import zlib

import numpy as np
import pytest
import torch

from svc_core.batches import Batch
from svc_core.config import Config, DataBlock, JobsBlock, ModelBlock, TrainBlock
from svc_core.model.spectral import linear_spectrogram
from svc_core.training.state import build_state
from svc_core.training.step import training_step

# golden/README.md, "Measured agreement": 1e-3 relative on losses and gradient norms.
LOSS_RTOL = 1e-3


def fill(network: torch.nn.Module, seed: int) -> None:
    """The golden weights' rule, golden/README.md, "Weights"."""
    tensors = {}
    for name, tensor in network.state_dict().items():
        random = np.random.RandomState((zlib.crc32(name.encode()) ^ seed) & 0xFFFFFFFF)
        n = random.standard_normal(tuple(tensor.shape))
        *_, parent, last = ("", *name.split("."))
        if last == "weight_g":
            values = 1 + 0.1 * np.tanh(n)
        elif last == "gamma":
            values = 1 + 0.1 * n
        elif last in ("beta", "bias"):
            values = 0.02 * n
        elif last in ("emb_rel_k", "emb_rel_v"):
            values = 0.1 * n
        elif parent in ("emb_g", "f0_emb", "emb_uv"):
            values = 0.3 * n
        else:
            values = n / np.sqrt(max(1, np.prod(n.shape[1:]))) * (0.2 if ".proj." in name else 1)
        tensors[name] = torch.from_numpy(values.astype(np.float32))
    network.load_state_dict(tensors)


def golden_batch(net) -> Batch:
    lengths = torch.from_numpy(net["in_lengths"])
    y = torch.from_numpy(net["in_y"].astype(np.float32) / 32768)
    c = torch.from_numpy(net["in_c"])
    spec = torch.zeros(len(lengths), 1025, c.shape[2])
    for row, frames in enumerate(lengths.tolist()):
        spec[row, :, :frames] = linear_spectrogram(y[row, :, : frames * 512])[0]
    f0, uv = torch.from_numpy(net["in_f0"]), torch.from_numpy(net["in_uv"])
    spk, volume = torch.from_numpy(net["in_spk"]), torch.from_numpy(net["in_volume"])
    return Batch(c, f0, spec, y, spk, lengths, uv, volume)


def test_a_step_is_the_reference_step(golden):
    net = golden("net_tiny_vol")
    given = json.loads(str(net["config"]))
    # Not a config that a user could have (24 channels belong to no encoder), so the blocks are put together unchecked.
    config = Config.model_construct(
        train=TrainBlock(**given["train"]),
        data=DataBlock(**given["data"]),
        model=ModelBlock(**given["model"]),
        spk={"a": 0, "b": 1, "c": 2},
        svc_jobs=JobsBlock(voice="a"),
    )
    state = build_state(config, torch.device("cpu"))
    seed = int(net["seed"])
    fill(state.generator, seed)
    fill(state.discriminator, seed)
    batch = golden_batch(net)

    torch.manual_seed(seed)
    losses = training_step(state, batch)

    expected = {
        "disc": "loss_disc",
        "gen": "loss_gen",
        "fm": "loss_fm",
        "mel": "loss_mel",
        "kl": "loss_kl",
        "lf0": "loss_lf0",
        "total": "loss_gen_all",
        "grad_norm_d": "grad_norm_d",
        "grad_norm_g": "grad_norm_g",
    }
    for ours, theirs in expected.items():
        assert losses._asdict()[ours] == pytest.approx(float(net[f"seeded_{theirs}"]), rel=LOSS_RTOL), ours
    parameters = {**dict(state.discriminator.named_parameters()), **dict(state.generator.named_parameters())}
    for index, parameter_name in enumerate(net["seeded_param_names"].tolist()):
        after = parameters[parameter_name].detach().double()
        # The first AdamW step moves each weight by at most lr = 1e-4, whatever its gradient: where rounding turns the
        # sign of a gradient near 0, a sum over n weights may be off by 2 lr for that weight. 1 % of weights may.
        atol = 2e-4 * max(1, 0.01 * after.numel())
        assert after.sum().item() == pytest.approx(float(net["seeded_param_after_sum"][index]), rel=1e-5, abs=atol)
        assert after.abs().sum().item() == pytest.approx(
            float(net["seeded_param_after_abs"][index]), rel=1e-5, abs=atol
        )
