"""A very small voice, and a workspace that trained it, for the tests of what comes after training."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from svc_core import checkpoint, files, layout
from svc_core import config as configs
from svc_core.audio.io import encode_pcm16
from svc_core.config import RATE_HZ, Config
from svc_core.features.extract import PARTS, extract, load_tools
from svc_core.manifest import FileRecord
from svc_core.model.generator import Generator

SMALL_NETWORK = {
    "inter_channels": 16,
    "hidden_channels": 16,
    "filter_channels": 32,
    "n_layers": 1,
    "n_flow_layer": 1,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3, 5]],
    "upsample_initial_channel": 32,
    "gin_channels": 80,
    "ssl_dim": 80,
    "n_speakers": 2,
    "speech_encoder": "mel-bands",
    "vol_embedding": True,
}


def sung_tone(f0_hz: float, seconds: float, rate_hz: int = RATE_HZ, seed: int = 0) -> np.ndarray:
    """[T] float32: a voice-like sound, twelve harmonics with vibrato and a little noise."""
    at = np.arange(round(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * np.cumsum(f0_hz * (1 + 0.01 * np.sin(2 * np.pi * 5 * at))) / rate_hz
    harmonics = sum(np.sin(number * phase) / number for number in range(1, 13))
    noise = np.random.default_rng(seed).standard_normal(len(at))
    return (0.15 * harmonics + 0.002 * noise).astype(np.float32)


@pytest.fixture
def sung():
    return sung_tone


@pytest.fixture(scope="session")
def small_config() -> Config:
    values = {
        "model": SMALL_NETWORK,
        "spk": {"alice": 0, "Böb's": 1},
        "svc_jobs": {"voice": "duo", "features": {"f0_predictor": "dio"}},
    }
    return configs.parse(values, "the test's config")


@pytest.fixture(scope="session")
def small_generator(small_config):
    """Builds the small network with weights drawn from a seed."""

    def build(seed: int = 1, config: Config = small_config) -> Generator:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return Generator(config.model, config.data, 20)

    return build


@pytest.fixture
def add_checkpoint():
    """Saves tensors as one more checkpoint of the voice `duo`."""

    def save(root: Path, tensors: dict[str, torch.Tensor], step: int) -> None:
        snapshot = checkpoint.Snapshot(
            generator=checkpoint.network_file(tensors, {"state": {}, "param_groups": []}, step // 10, 1e-4),
            discriminator={},
            state={"format": checkpoint.STATE_FORMAT, "step": step, "epoch": step // 10},
        )
        checkpoint.save(root, "duo", snapshot, checkpoint.read_history(root, "duo"), keep=0)

    return save


@pytest.fixture(scope="session")
def features_of_duo(tmp_path_factory, small_config) -> Path:
    """A workspace with two speakers, four clips each, their sidecars and both lists; to be copied, not changed."""
    root = tmp_path_factory.mktemp("duo") / "workspace"
    tools = load_tools(small_config)
    lists: dict[str, list[str]] = {layout.TRAIN_LIST: [], layout.VAL_LIST: []}
    for speaker, f0_hz in (("alice", 220.0), ("Böb's", 110.0)):
        for number in range(4):
            key = layout.wav_key(speaker, f"take-{number}")
            files.write_bytes(root / key, encode_pcm16(sung_tone(f0_hz * (1 + number / 100), 0.8, seed=number)))
            extract(root, FileRecord.of(root, key), tools, PARTS)
            lists[layout.VAL_LIST if number < 2 else layout.TRAIN_LIST].append(key)
    for key, wavs in lists.items():
        files.write_text(root / key, "".join(f"{wav}\n" for wav in sorted(wavs)))
    return root


@pytest.fixture
def trained(tmp_path: Path, features_of_duo, small_generator, add_checkpoint) -> Path:
    """That workspace with checkpoints at 10, 20 and 30."""
    root = tmp_path / "workspace"
    shutil.copytree(features_of_duo, root)
    for step in (10, 20, 30):
        add_checkpoint(root, small_generator(step).state_dict(), step)
    return root
