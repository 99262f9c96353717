"""From clips and their sidecars to the batches that the network sees, in an order that only the seed decides.

Every random draw of a clip comes from a generator of its own, seeded by (seed, epoch, clip key). So a batch does not
depend on the number of loading processes, on the batches before it, or on whether training was interrupted.
"""

import itertools
import math
import os
import signal
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from svc_core import layout
from svc_core.audio.io import read_clip
from svc_core.config import HOP_SAMPLES, Config
from svc_core.errors import BadInput, SvcError, Transient
from svc_core.features.align import stretch
from svc_core.features.sidecar import CorruptSidecar, read_all
from svc_core.model.spectral import linear_spectrogram

# 4.1's numbers: a clip of more than 800 frames is cut to 790, never to 800.
CROP_ABOVE_FRAMES = 800
CROP_FRAMES = 790
_MISFIT_FRAMES = 3
_MAX_WORKERS = 4


class CorruptClip(CorruptSidecar):
    """The sidecars of a clip are damaged or do not belong to its wav; `wav_key` is the clip to extract again."""

    def __init__(self, message: str, wav_key: str = "") -> None:
        # Not passed on: what `args` holds is shown as the message, and pickle brings attributes back by itself.
        super().__init__(message)
        self.wav_key = wav_key


@dataclass(frozen=True)
class Clip:
    """One clip without any random part: content [D, F]; f0_hz, uv, volume [F]; spec [1025, F]; samples [512 F]."""

    key: str
    speaker_id: int
    samples: np.ndarray
    content: np.ndarray
    f0_hz: np.ndarray
    uv: np.ndarray
    spec: np.ndarray
    volume: np.ndarray


class Item(NamedTuple):
    """One training example: c [D, F], f0 [F] in Hz, spec [1025, F], y [512 F], uv [F], volume [F]."""

    c: Tensor
    f0: Tensor
    spec: Tensor
    y: Tensor
    spk: int
    uv: Tensor
    volume: Tensor


class Batch(NamedTuple):
    """Rows by falling length, zero beyond a row's own length; F is the longest row's.

    c [B, D, F]; f0 [B, F] in Hz; spec [B, 1025, F]; y [B, 1, 512 F]; spk [B, 1] int64; lengths [B] int64 in frames;
    uv [B, F]; volume [B, F], None where the network does not use it. Floats are float32.
    """

    c: Tensor
    f0: Tensor
    spec: Tensor
    y: Tensor
    spk: Tensor
    lengths: Tensor
    uv: Tensor
    volume: Tensor | None

    def to(self, device: torch.device) -> "Batch":
        parts = self._asdict()
        present = {name: part.to(device, non_blocking=True) for name, part in parts.items() if part is not None}
        return self._replace(**present)


class Position(NamedTuple):
    """How far training is: `clips_done` clips of `epoch` (from 1). Counted in clips, so the batch size may change."""

    epoch: int
    clips_done: int


class Draw(NamedTuple):
    """One clip of one epoch, by its place in the list: what the loader is asked for."""

    epoch: int
    clip: int


class Drawn(NamedTuple):
    """The clips of one batch, and the position once it is done."""

    draws: list[Draw]
    after: Position


class Fed(NamedTuple):
    batch: Batch
    after: Position


def clip_random(seed: int, epoch: int, key: str) -> Random:
    """The generator of one clip in one epoch."""
    return Random(f"{seed}/{epoch}/{key}")  # noqa: S311


def load_clip(root: Path, key: str, config: Config) -> Clip:
    """Reads a clip and its sidecars, cut to the frames that all of them have.

    Raises CorruptClip where the sidecars are damaged or do not fit the wav or the network, BadInput for the wav.
    """
    speaker = layout.parse_wav_key(key).speaker
    if speaker not in config.spk:
        raise BadInput(f"{key} is of speaker {speaker!r}, who is not in the config: run prepare, then filelists again")
    samples = read_clip(layout.local(root, key)).samples
    try:
        sidecars = read_all(root, key)
    except CorruptSidecar as error:
        raise CorruptClip(str(error), key) from None
    width, wav_frames, spec_frames = len(sidecars.content), len(samples) // HOP_SAMPLES, sidecars.spec.shape[1]
    if width != config.model.ssl_dim:
        raise CorruptClip(
            f"the content of {key} has {width} channels, the network takes {config.model.ssl_dim}: "
            "run the features stage again",
            key,
        )
    if abs(wav_frames - spec_frames) >= _MISFIT_FRAMES:
        raise CorruptClip(
            f"{key} has {wav_frames} frames, its sidecars {spec_frames}: run the features stage again", key
        )
    frames = min(wav_frames, spec_frames)
    needed = config.train.segment_size // HOP_SAMPLES
    if frames < needed:
        raise BadInput(
            f"{key} has {frames} frames, train.segment_size takes {needed}: remove the clip or lower the segment size"
        )
    return Clip(
        key=key,
        speaker_id=config.spk[speaker],
        samples=samples[: frames * HOP_SAMPLES],
        # Stretched to the frames that f0 has, before the cut, as 4.1 does.
        content=stretch(sidecars.content, spec_frames, config.data.unit_interpolate_mode)[:, :frames],
        f0_hz=sidecars.f0_hz[:frames],
        uv=sidecars.uv[:frames],
        spec=sidecars.spec[:, :frames],
        volume=sidecars.volume[:frames],
    )


def make_item(clip: Clip, random: Random, *, vol_aug: bool) -> Item:
    """The random part of an example: gain, then crop, drawing from `random` in 4.1's order.

    The first draw is made whether or not it is used, so that `vol_aug` does not move the crops.
    """
    samples, spec, volume = clip.samples, clip.spec, clip.volume
    if random.choice((True, False)) and vol_aug:
        peak = float(np.abs(samples).max()) + 1e-5
        gain = np.float32(10 ** random.uniform(-1, min(1, math.log10(1 / peak))))
        samples, volume = samples * gain, volume * gain
        spec = linear_spectrogram(torch.from_numpy(samples)[None])[0].numpy()
    frames = spec.shape[1]
    start = random.randint(0, frames - CROP_ABOVE_FRAMES) if frames > CROP_ABOVE_FRAMES else 0
    kept = slice(start, start + (CROP_FRAMES if frames > CROP_ABOVE_FRAMES else frames))
    return Item(
        c=torch.from_numpy(clip.content[:, kept]),
        f0=torch.from_numpy(clip.f0_hz[kept]),
        spec=torch.from_numpy(spec[:, kept]),
        y=torch.from_numpy(samples[kept.start * HOP_SAMPLES : kept.stop * HOP_SAMPLES]),
        spk=clip.speaker_id,
        uv=torch.from_numpy(clip.uv[kept]),
        volume=torch.from_numpy(volume[kept]),
    )


def collate(items: Sequence[Item], *, with_volume: bool) -> Batch:
    """Pads items to the longest and sorts them by falling length; equal lengths keep their order."""
    rows = sorted(items, key=lambda item: -len(item.f0))
    return Batch(
        c=_padded([item.c for item in rows]),
        f0=_padded([item.f0 for item in rows]),
        spec=_padded([item.spec for item in rows]),
        y=_padded([item.y for item in rows]).unsqueeze(1),
        spk=torch.tensor([[item.spk] for item in rows]),
        lengths=torch.tensor([len(item.f0) for item in rows]),
        uv=_padded([item.uv for item in rows]),
        volume=_padded([item.volume for item in rows]) if with_volume else None,
    )


def _padded(rows: list[Tensor]) -> Tensor:
    """[B, ..., longest] with zeros beyond the end of each row; the first row is the longest."""
    result = rows[0].new_zeros((len(rows), *rows[0].shape))
    for target, row in zip(result, rows, strict=True):
        target[..., : row.shape[-1]] = row
    return result


class BatchOrder:
    """Which clips make up which batch, from a position on to the end of the last epoch.

    Each epoch is one permutation by (seed, epoch), cut into batches; the last one may be smaller. With several
    processes, each takes every `world`-th clip of a share of batch_size * world, so all see different clips.
    """

    def __init__(self, clips: int, batch_size: int, seed: int, *, rank: int = 0, world: int = 1) -> None:
        self._clips, self._batch_size, self._seed, self._rank, self._world = clips, batch_size, seed, rank, world

    def batches(self, start: Position, epochs: int) -> Iterator[Drawn]:
        for epoch in range(start.epoch, epochs + 1):
            order = list(range(self._clips))
            Random(f"{self._seed}/{epoch}").shuffle(order)  # noqa: S311
            share = self._batch_size * self._world
            done = start.clips_done if epoch == start.epoch else 0
            while done < self._clips:
                mine = order[done : done + share][self._rank :: self._world]
                done = min(done + share, self._clips)
                if mine:
                    yield Drawn([Draw(epoch, clip) for clip in mine], Position(epoch, done))


class ClipDataset(Dataset[Item | SvcError]):
    """The listed clips as training examples. An error is an item too: see `feed`."""

    def __init__(self, root: Path, keys: Sequence[str], config: Config) -> None:
        self._root, self._keys, self._config = root, list(keys), config
        self._clips: dict[int, Clip] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, draw: Draw) -> Item | SvcError:
        train = self._config.train
        try:
            clip = self._clips.get(draw.clip) or load_clip(self._root, self._keys[draw.clip], self._config)
        except SvcError as error:
            return error
        if train.all_in_mem:
            self._clips[draw.clip] = clip
        return make_item(clip, clip_random(train.seed, draw.epoch, clip.key), vol_aug=train.vol_aug)

    def collate(self, items: Sequence[Item | SvcError]) -> Batch | SvcError:
        for item in items:
            if isinstance(item, SvcError):
                return item
        return collate(
            [item for item in items if not isinstance(item, SvcError)],
            with_volume=self._config.model.vol_embedding,
        )


def choose_workers(config: Config, device: torch.device) -> int:
    """How many processes load clips: none where the network computes on the CPU, or where memory holds the clips."""
    if device.type == "cpu" or config.train.all_in_mem:
        return 0
    return min(_MAX_WORKERS, len(os.sched_getaffinity(0)) - 1)


def feed(dataset: ClipDataset, drawn: Iterator[Drawn], *, workers: int, pin_memory: bool) -> Generator[Fed]:
    """Loads the batches that `drawn` names, ahead of their use where there are workers.

    Raises what a clip raised, as its own type and sentence, also where a worker met it. Draws nothing from torch's
    global generator. See `naming_killed_workers`.
    """
    ahead, drawn = itertools.tee(drawn)
    loader = DataLoader(
        dataset,
        batch_sampler=(one.draws for one in ahead),
        collate_fn=dataset.collate,
        num_workers=workers,
        pin_memory=pin_memory,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=_leave_ctrl_c_to_the_parent,
        # The loader seeds its workers from this generator, else from the global one, whose state a checkpoint keeps.
        generator=torch.Generator(),
    )
    for one, outcome in zip(drawn, loader, strict=True):
        if isinstance(outcome, SvcError):
            raise outcome
        yield Fed(outcome, one.after)


@contextmanager
def naming_killed_workers() -> Iterator[None]:
    """Raises Transient where a process of `feed` was killed.

    To be put around all that uses the batches: torch raises in the main thread at whatever it does when a worker dies.
    """
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:
        # A worker that dies while it hands a batch over is seen as a broken connection first.
        if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker"):
            raise
        raise Transient(
            "a process that loads clips was killed, probably for want of memory (or of /dev/shm): give it more, or "
            "lower train.batch_size, and run the same command again"
        ) from error


def _leave_ctrl_c_to_the_parent(_worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
