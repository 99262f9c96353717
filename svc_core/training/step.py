"""One training step: the generator makes audio, the discriminators learn from it, then the generator from them."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from svc_core.batches import Batch
from svc_core.config import HOP_SAMPLES
from svc_core.model import losses, segments
from svc_core.model.generator import GeneratorOutput
from svc_core.model.losses import GeneratorLosses
from svc_core.model.spectral import linear_spectrogram, log_mel
from svc_core.training.state import TrainState


class StepLosses(NamedTuple):
    """What one step measured, under the names that config, `metrics.jsonl` and TensorBoard use.

    `disc` is the discriminators' loss; gen, fm, mel, kl and lf0 are the generator's weighted terms and `total` their
    sum; the norms are of all gradients of a network, before its update.
    """

    disc: float
    gen: float
    fm: float
    mel: float
    kl: float
    lf0: float
    total: float
    grad_norm_d: float
    grad_norm_g: float

    def not_finite(self) -> list[str]:
        return [name for name, value in self._asdict().items() if not math.isfinite(value)]


class _Updated(NamedTuple):
    """A loss and the norm of the gradients that it gave, 0-d tensors."""

    loss: Tensor
    grad_norm: Tensor


def training_step(state: TrainState, batch: Batch) -> StepLosses:
    """Updates both networks once, the discriminators first, so the generator is judged by the updated ones (4.1).

    Args:
        state: changed in place, but for `step` and `position`.
        batch: on the state's device.
    """
    with _autocast(state):
        output = state.generator(batch.c, batch.f0, batch.spec, batch.lengths, batch.spk, batch.uv, batch.volume)
    y = segments.take(batch.y, output.slice_ids * HOP_SAMPLES, state.config.train.segment_size)
    disc = _discriminator_step(state, y, output.audio.detach())
    terms = _generator_terms(state, batch.spec, y, output)
    del output
    gen = _update(state.generator, state.optimizer_g, terms.total)
    state.discriminator.requires_grad_(True)
    values = [disc.loss, *terms, gen.loss, disc.grad_norm, gen.grad_norm]
    # One transfer from the device for all of them.
    return StepLosses(*torch.stack([value.detach() for value in values]).tolist())


def _discriminator_step(state: TrainState, y: Tensor, y_hat: Tensor) -> _Updated:
    """Args: y, y_hat [B, 1, T], the recorded and the made segments."""
    with _autocast(state):
        real, made = state.discriminator(y), state.discriminator(y_hat)
    loss = losses.discriminator_loss(real, made)
    # Freed before the backward pass as far as it does not need them.
    del real, made
    return _update(state.discriminator, state.optimizer_d, loss)


def _generator_terms(state: TrainState, spec: Tensor, y: Tensor, output: GeneratorOutput) -> GeneratorLosses:
    """The generator's losses. Leaves the discriminators frozen: their weights need no gradient from these.

    Args:
        spec: [B, 1025, F] of the whole clips, as stored.
        y: [B, 1, T] the recorded segments.
    """
    segment_frames = state.config.train.segment_size // HOP_SAMPLES
    real_mel = log_mel(segments.take(spec, output.slice_ids, segment_frames), state.config.data)
    made_mel = log_mel(linear_spectrogram(output.audio.squeeze(1)), state.config.data)
    state.discriminator.requires_grad_(False)
    with _autocast(state):
        with torch.no_grad():
            real = state.discriminator(y)
        made = state.discriminator(output.audio)
    return losses.generator_losses(output, real, made, real_mel, made_mel, state.config.train)


def _update(network: nn.Module, optimizer: AdamW, loss: Tensor) -> _Updated:
    """One backward pass and update; the gradients are freed, since the two networks never need theirs together."""
    loss.backward()
    grads = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(grads)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return _Updated(loss.detach(), norm)


def _autocast(state: TrainState) -> torch.autocast:
    """bf16 inside the networks where the config asks for it; the losses compute in fp32 by themselves."""
    return torch.autocast(state.device.type, torch.bfloat16, enabled=state.config.precision == "bf16")
