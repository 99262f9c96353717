"""Starting from base weights (`G_0.pth`, `D_0.pth`) instead of random ones."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from svc_core import checkpoint
from svc_core.errors import ConfigError

# Release files lack the posterior encoder, older base models the volume embedding.
_MAY_BE_ABSENT = ("emb_vol.", "enc_q.")
_SHOWN = 20


@dataclass(frozen=True)
class Base:
    """Files of base weights, of 4.1 or of ours, fp32 or fp16."""

    generator: Path
    discriminator: Path


def load_base(generator: nn.Module, discriminator: nn.Module, base: Base) -> list[str]:
    """Copies base weights into both networks; returns one line per file that names each tensor kept fresh.

    Kept fresh are a speaker table with another number of rows, and `emb_vol.*` and `enc_q.*` where the file lacks
    them. Raises ConfigError that lists the tensors for every other difference; then neither network is changed.
    """
    plans = [
        _fit(generator, base.generator, may_differ=True),
        _fit(discriminator, base.discriminator, may_differ=False),
    ]
    notes = []
    for network, path, (taken, fresh) in zip(
        (generator, discriminator), (base.generator, base.discriminator), plans, strict=True
    ):
        network.load_state_dict(taken, strict=False)
        kept = f"; kept fresh: {', '.join(fresh)}" if fresh else ""
        notes.append(f"base weights from {path.name}: {len(taken)} tensors{kept}")
    return notes


def _fit(network: nn.Module, path: Path, *, may_differ: bool) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors to take from the file, and what is kept fresh with the reason."""
    saved = _weights(path)
    taken: dict[str, Tensor] = {}
    fresh: list[str] = []
    problems = [f"{name} is not in the network" for name in saved.keys() - network.state_dict().keys()]
    for name, own in network.state_dict().items():
        given = saved.get(name)
        if given is not None and given.shape == own.shape:
            taken[name] = given.to(torch.float32)
        elif given is None and may_differ and name.startswith(_MAY_BE_ABSENT):
            fresh.append(f"{name} (absent)")
        elif given is not None and may_differ and _is_other_speaker_table(name, given, own):
            fresh.append(f"{name} ({len(given)} there, {len(own)} here)")
        else:
            shape = "absent" if given is None else list(given.shape)
            problems.append(f"{name} is {shape} and must be {list(own.shape)}")
    if problems:
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ConfigError(
            f"{path} does not fit the configured network: {', '.join(sorted(problems)[:_SHOWN])}{more}: "
            "give a base of the same encoder width and network, or correct the config's model block"
        )
    return taken, fresh


def _weights(path: Path) -> dict[str, Tensor]:
    model = checkpoint.read(path).get("model")
    if not isinstance(model, dict) or not all(isinstance(value, Tensor) for value in model.values()):
        raise ConfigError(f"{path} holds no weights under the key 'model': give a G or D file of so-vits-svc 4.1")
    return model


def _is_other_speaker_table(name: str, given: Tensor, own: Tensor) -> bool:
    return name == checkpoint.SPEAKER_TABLE and given.ndim == 2 and given.shape[1] == own.shape[1]
