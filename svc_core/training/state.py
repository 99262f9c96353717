"""What training carries from step to step, and how it becomes a checkpoint and comes back."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from svc_core import checkpoint, manifest
from svc_core.batches import Position
from svc_core.checkpoint import SPEAKER_TABLE, STATE_FORMAT, Snapshot
from svc_core.config import HOP_SAMPLES, Config, TrainBlock
from svc_core.model.discriminator import Discriminator
from svc_core.model.generator import Generator

START = Position(epoch=1, clips_done=0)


@dataclass
class TrainState:
    """Both networks in training mode, their optimizers, and how far they are: `step` steps, `position` in the order."""

    config: Config
    device: torch.device
    generator: Generator
    discriminator: Discriminator
    optimizer_g: AdamW
    optimizer_d: AdamW
    step: int = 0
    position: Position = START


def build_state(config: Config, device: torch.device) -> TrainState:
    """Fresh networks from `train.seed`, which seeds torch's generators for all that follows."""
    torch.manual_seed(config.train.seed)
    segment_frames = config.train.segment_size // HOP_SAMPLES
    generator = Generator(config.model, config.data, segment_frames).to(device).train()
    discriminator = Discriminator(config.svc_jobs.discriminator_divisor).to(device).train()
    return TrainState(
        config=config,
        device=device,
        generator=generator,
        discriminator=discriminator,
        optimizer_g=_adamw(generator, config.train),
        optimizer_d=_adamw(discriminator, config.train),
    )


def learning_rate(train: TrainBlock, epoch: int) -> float:
    """The step size in `epoch` (from 1): a linear warm-up, then 4.1's decay by `lr_decay` per epoch.

    A function of the epoch rather than a scheduler object, so there is no scheduler state that could go astray.
    """
    if epoch <= train.warmup_epochs:
        return train.learning_rate * epoch / train.warmup_epochs
    return train.learning_rate * train.lr_decay ** (epoch - max(train.warmup_epochs, 1))


def set_learning_rate(state: TrainState, epoch: int) -> float:
    rate = learning_rate(state.config.train, epoch)
    for optimizer in (state.optimizer_g, state.optimizer_d):
        for group in optimizer.param_groups:
            group["lr"] = rate
    return rate


def snapshot(state: TrainState, clips: str) -> Snapshot:
    """Everything that going on needs, on the CPU. `clips` is `clips_fingerprint` of the training list."""
    config, epoch = state.config, state.position.epoch
    networks = [
        checkpoint.network_file(
            _on_cpu(dict(network.state_dict())), _on_cpu(optimizer.state_dict()), epoch, config.train.learning_rate
        )
        for network, optimizer in (
            (state.generator, state.optimizer_g),
            (state.discriminator, state.optimizer_d),
        )
    ]
    return Snapshot(
        generator=networks[0],
        discriminator=networks[1],
        state={
            "format": STATE_FORMAT,
            "step": state.step,
            "epoch": epoch,
            "clips_done": state.position.clips_done,
            "clips": clips,
            # The learning rate is a function of the epoch, and bf16 needs no loss scaling.
            "schedulers": [],
            "scaler": None,
            "rng": [_rng_state(state.device)],
            "settings": config.training_settings(),
            "speakers": dict(config.spk),
            "train": {"steps": config.svc_jobs.steps, **config.train.model_dump(mode="json")},
        },
    )


def restore(state: TrainState, saved: Snapshot, clips: str) -> list[str]:
    """Puts a checkpoint into freshly built networks; returns what a user should know of.

    Raises ConfigError where the checkpoint is of another network, or an old speaker's id changed.
    """
    notes = []
    speakers = state.config.spk
    checkpoint.check_same_training(saved.state, state.config.training_settings(), speakers)
    names = [name for name, _ in state.generator.named_parameters()]
    table = state.generator.state_dict()[SPEAKER_TABLE].cpu()
    checkpoint.grow_speakers(saved.generator, table, names.index(SPEAKER_TABLE))
    if joined := sorted(speakers.keys() - saved.state["speakers"].keys()):
        notes.append(f"new speakers, whose rows start fresh: {', '.join(joined)}")
    state.generator.load_state_dict(saved.generator["model"])
    state.discriminator.load_state_dict(saved.discriminator["model"])
    for optimizer, network in ((state.optimizer_g, saved.generator), (state.optimizer_d, saved.discriminator)):
        optimizer.load_state_dict(network["optimizer"])
        _apply_settings(optimizer, state.config.train)
    state.step = saved.state["step"]
    state.position = Position(saved.state["epoch"], saved.state["clips_done"])
    if saved.state["clips"] != clips:
        state.position = Position(state.position.epoch, 0)
        notes.append(f"the list of training clips changed: epoch {state.position.epoch} starts over with the new list")
    notes += _changes(saved.state["train"], state.config)
    _set_rng_state(saved.state["rng"][0], state.device)
    return notes


def clips_fingerprint(keys: Iterable[str]) -> str:
    return manifest.fingerprint(list(keys))


def _adamw(network: nn.Module, train: TrainBlock) -> AdamW:
    # 4.1 resumes only where a group names its initial_lr; one fused pass over the weights is the fastest on any device.
    groups = [{"params": list(network.parameters()), "initial_lr": train.learning_rate}]
    return AdamW(groups, lr=train.learning_rate, betas=train.betas, eps=train.eps, fused=True)


def _apply_settings(optimizer: AdamW, train: TrainBlock) -> None:
    """What the checkpoint brings along but the config decides."""
    for group in optimizer.param_groups:
        group.update(initial_lr=train.learning_rate, betas=train.betas, eps=train.eps)


def _changes(then: dict[str, Any], config: Config) -> list[str]:
    now = {"steps": config.svc_jobs.steps, **config.train.model_dump(mode="json")}
    changed = [f"{name} {then.get(name)} -> {value}" for name, value in now.items() if then.get(name) != value]
    return [f"settings changed since the checkpoint: {', '.join(changed)}"] if changed else []


def _on_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {name: _on_cpu(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_on_cpu(inner) for inner in value]
    return value


def _rng_state(device: torch.device) -> dict[str, Any]:
    """The generators of this process, as one rank's entry."""
    cuda = torch.cuda.get_rng_state_all() if device.type == "cuda" else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def _set_rng_state(rank: dict[str, Any], device: torch.device) -> None:
    torch.set_rng_state(rank["cpu"])
    if device.type == "cuda" and len(rank["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(rank["cuda"])
