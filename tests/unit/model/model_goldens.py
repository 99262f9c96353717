"""What the golden runs of the networks are defined by: weights by rule, constant random numbers, one training step.

The rules are those of golden/README.md, sections "Weights" and "Constant RNG".
"""

import json
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from svc_core.config import DataBlock, ModelBlock, TrainBlock
from svc_core.model import losses, segments, spectral
from svc_core.model.discriminator import Discriminator
from svc_core.model.generator import Generator, GeneratorOutput

FOLDER = Path(__file__).parents[2] / "golden"
SEGMENT_FRAMES = 20


def arrays(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def shapes(name: str) -> dict[str, list[int]]:
    return json.loads((FOLDER / f"{name}.json").read_text())


@cache
def weight(key: str, shape: tuple[int, ...], seed: int) -> Tensor:
    draws = np.random.RandomState((zlib.crc32(key.encode()) ^ seed) & 0xFFFFFFFF).standard_normal(shape)
    last = key.rpartition(".")[2]
    parent = key.split(".")[-2] if "." in key else ""
    if last == "weight_g":
        values = 1 + 0.1 * np.tanh(draws)
    elif last == "gamma":
        values = 1 + 0.1 * draws
    elif last in ("beta", "bias"):
        values = 0.02 * draws
    elif last in ("emb_rel_k", "emb_rel_v"):
        values = 0.1 * draws
    elif parent in ("emb_g", "f0_emb", "emb_uv"):
        values = 0.3 * draws
    else:
        values = draws / math.sqrt(max(1, math.prod(shape[1:]))) * (0.2 if ".proj." in key else 1)
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def fill(network: nn.Module, seed: int) -> None:
    network.load_state_dict({key: weight(key, tuple(value.shape), seed) for key, value in network.state_dict().items()})


@contextmanager
def constant_rng() -> Iterator[None]:
    def full(value: float) -> Any:
        return lambda *size, **_: torch.full(torch.Size(size[0] if not isinstance(size[0], int) else size), value)

    with (
        mock.patch("torch.randn", full(0.25)),
        mock.patch("torch.rand", full(0.37)),
        mock.patch("torch.Tensor.uniform_", lambda tensor, *_, **__: tensor.fill_(1.05)),
    ):
        yield


@dataclass(frozen=True, repr=False)
class Case:
    """One golden network with its inputs; spec is the linear spectrogram of each row's own length, 0 beyond."""

    golden: dict[str, np.ndarray]
    model: ModelBlock
    train: TrainBlock
    data: DataBlock
    seed: int
    c: Tensor
    f0: Tensor
    uv: Tensor
    volume: Tensor
    spk: Tensor
    lengths: Tensor
    y: Tensor
    spec: Tensor

    def generator(self) -> Generator:
        network = Generator(self.model, self.data, SEGMENT_FRAMES)
        fill(network, self.seed)
        return network.eval()


def case(name: str) -> Case:
    golden = arrays(name)
    config = json.loads(str(golden["config"]))
    inputs = {key: torch.from_numpy(golden[f"in_{key}"]) for key in ("c", "f0", "uv", "volume", "spk", "lengths")}
    y = torch.from_numpy(golden["in_y"].astype(np.float32) / 32768)
    spec = torch.zeros(y.size(0), spectral.BINS, inputs["c"].size(2))
    for row, frames in enumerate(inputs["lengths"].tolist()):
        spec[row, :, :frames] = spectral.linear_spectrogram(y[row, :, : frames * 512])[0]
    return Case(
        golden=golden,
        model=ModelBlock(**config["model"]),
        train=TrainBlock(**config["train"]),
        data=DataBlock(**config["data"]),
        seed=int(golden["seed"]),
        y=y,
        spec=spec,
        **inputs,
    )


@dataclass(frozen=True, repr=False)
class Step:
    """Everything that one training step of the golden order made."""

    output: GeneratorOutput
    real_mel: Tensor
    made_mel: Tensor
    real_terms: list[float]
    made_terms: list[float]
    loss_disc: float
    grad_norm_d: float
    losses: losses.GeneratorLosses
    gen_each: list[float]
    grad_norm_g: float
    grads: dict[str, Tensor]
    params_after: dict[str, Tensor]


def train_step(case: Case, *, seeded: bool) -> Step:
    """Discriminator first; the generator's losses use the updated one. The optimizers are as the config says."""
    generator, discriminator = case.generator(), Discriminator()
    fill(discriminator, case.seed)
    generator.train(seeded)
    output = _forward(generator, case, seeded)
    y = segments.take(case.y, output.slice_ids * 512, SEGMENT_FRAMES * 512)
    real, made = discriminator(y), discriminator(output.audio.detach())
    loss_disc = losses.discriminator_loss(real, made)
    loss_disc.backward()
    grad_norm_d = grad_norm(discriminator)
    _step(discriminator, case.train)

    discriminator.requires_grad_(False)
    real_after, made_after = discriminator(y), discriminator(output.audio)
    real_mel = spectral.log_mel(segments.take(case.spec, output.slice_ids, SEGMENT_FRAMES), case.data)
    made_mel = spectral.log_mel(spectral.linear_spectrogram(output.audio.squeeze(1)), case.data)
    terms = losses.generator_losses(output, real_after, made_after, real_mel, made_mel, case.train)
    terms.total.backward()
    grads = {key: param.grad.clone() for key, param in generator.named_parameters() if param.grad is not None}
    norm = grad_norm(generator)
    _step(generator, case.train)
    return Step(
        output=output,
        real_mel=real_mel,
        made_mel=made_mel,
        real_terms=[(1 - judgement.logits).square().mean().item() for judgement in real],
        made_terms=[judgement.logits.square().mean().item() for judgement in made],
        loss_disc=loss_disc.item(),
        grad_norm_d=grad_norm_d,
        losses=terms,
        gen_each=[losses.adversarial_loss([judgement]).item() for judgement in made_after],
        grad_norm_g=norm,
        grads=grads,
        params_after={key: param.detach() for key, param in generator.named_parameters()},
    )


def grad_norm(network: nn.Module) -> float:
    """As the reference logs it: float32 norms of the tensors, squared and summed in double."""
    squares = (param.grad.norm().item() ** 2 for param in network.parameters() if param.grad is not None)
    return math.sqrt(sum(squares))


def _forward(generator: Generator, case: Case, seeded: bool) -> GeneratorOutput:
    inputs = (case.c, case.f0, case.spec, case.lengths, case.spk, case.uv, case.volume)
    if seeded:
        torch.manual_seed(case.seed)
        return generator(*inputs)
    with constant_rng():
        return generator(*inputs)


def _step(network: nn.Module, train: TrainBlock) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), train.learning_rate, train.betas, train.eps)
    optimizer.step()
