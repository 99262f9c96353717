"""A small workspace with synthetic clips and sidecars, and a network that trains on one core in milliseconds.

Also run as a program, `python training_workspace.py WORKSPACE STEPS KILL_AFTER`: it trains, and kills itself one
step after KILL_AFTER.
"""

import os
import signal
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from svc_core import config as configs
from svc_core import files, layout
from svc_core.audio.io import encode_pcm16, read_clip
from svc_core.config import Config
from svc_core.features import sidecar
from svc_core.model.spectral import linear_spectrogram
from svc_core.training.base import Base
from svc_core.training.loop import StepReport, TrainingResult, train

VOICE = "alto"
CONTENT_WIDTH = 80
CLIP_SECONDS = (0.5, 0.7, 0.6, 0.8, 0.55, 0.65, 0.75)

_MODEL = {
    "inter_channels": 16,
    "hidden_channels": 16,
    "filter_channels": 32,
    "n_layers": 2,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3]],
    "upsample_initial_channel": 32,
    "n_flow_layer": 2,
    "gin_channels": CONTENT_WIDTH,
    "ssl_dim": CONTENT_WIDTH,
    "n_speakers": 1,
    "speech_encoder": "mel-bands",
    "vol_embedding": True,
}
_TRAIN = {
    "batch_size": 3,
    "eval_interval": 5,
    "log_interval": 2,
    "learning_rate": 1e-3,
    "seed": 7,
    "segment_size": 4096,
}


def make_config(**changes: Any) -> Config:
    """The tests' config; `changes` are {block__field: value}, e.g. train__batch_size=2."""
    values: dict[str, Any] = {
        "train": dict(_TRAIN),
        "model": dict(_MODEL),
        "spk": {VOICE: 0},
        "svc_jobs": {"voice": VOICE, "steps": 10, "discriminator_divisor": 32},
    }
    for path, value in changes.items():
        block, _, name = path.partition("__")
        if name:
            values[block][name] = value
        else:
            values[block] = value
    return configs.parse(values, "the test's config")


def add_clip(root: Path, speaker: str, name: str, seconds: float) -> str:
    """A gliding tone with some noise, and sidecars that fit it; everything follows from the name."""
    random = np.random.default_rng(zlib.crc32(f"{speaker}/{name}".encode()))
    samples_count = int(seconds * 44_100)
    f0_hz = random.uniform(120, 260) * np.linspace(1, random.uniform(0.8, 1.3), samples_count)
    samples = 0.3 * np.sin(2 * np.pi * np.cumsum(f0_hz) / 44_100) + 0.01 * random.standard_normal(samples_count)
    key = layout.wav_key(speaker, name)
    files.write_bytes(root / key, encode_pcm16(samples.astype(np.float32)))
    heard = read_clip(root / key).samples
    frames = len(heard) // 512
    spec = linear_spectrogram(torch.from_numpy(heard)[None])[0].numpy()
    keys = layout.sidecar_keys(key)
    sidecar.write_content(root, key, random.standard_normal((CONTENT_WIDTH, int(seconds * 50))))
    sidecar.write_vector(root, keys.f0, f0_hz[::512][:frames])
    sidecar.write_vector(root, keys.uv, np.ones(frames))
    sidecar.write_vector(root, keys.volume, np.sqrt((heard[: frames * 512].reshape(frames, 512) ** 2).mean(1)))
    sidecar.write_tensor(root, keys.spec, spec)
    return key


def add_speaker(root: Path, speaker: str) -> list[str]:
    return [add_clip(root, speaker, f"clip-{index}", seconds) for index, seconds in enumerate(CLIP_SECONDS)]


def write_lists(root: Path, keys: list[str]) -> None:
    """The last clip is for validation."""
    files.write_text(root / layout.TRAIN_LIST, "".join(f"{key}\n" for key in keys[:-1]))
    files.write_text(root / layout.VAL_LIST, f"{keys[-1]}\n")


def make_workspace(root: Path) -> list[str]:
    keys = add_speaker(root, VOICE)
    write_lists(root, keys)
    return keys


def run_training(
    root: Path,
    config: Config,
    *,
    base: Base | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_step: Callable[[StepReport], None] = lambda report: None,
) -> TrainingResult:
    return train(root, config.svc_jobs.voice, config, device="cpu", base=base, stop=stop, on_step=on_step)


def checkpoint_hashes(root: Path, step: int) -> list[str]:
    return [files.sha256_file(root / key) for key in layout.checkpoint_keys(VOICE, step)]


def main() -> None:
    root, steps, kill_after = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)

    def on_step(report: StepReport) -> None:
        if report.step > kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    run_training(root, make_config(svc_jobs__steps=steps), on_step=on_step)


if __name__ == "__main__":
    main()
