"""Seconds and memory of one training step of the full 4.1 network: batch 6, 790 frames, fp32.

    python benchmarks/bench_train_step.py [--frames 100] [--device cpu] [--save]

One warm-up step, then the median of three; random input, so no files are read. The peak counts the whole process, torch
included. Targets on two quiet cores: 16.7 s and 8 GB, which is what so-vits-svc 4.1 takes there (12.9 to 16.7 s) and
less than its 9.7 GB. `--save` writes a dated file to benchmarks/results/.
"""

import argparse
import json
import os
import platform
import re
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path

import torch

from svc_core import config as configs
from svc_core.batches import Batch
from svc_core.config import HOP_SAMPLES, Config
from svc_core.device import resolve_device
from svc_core.settings import PRESETS
from svc_core.training.state import build_state
from svc_core.training.step import training_step

RESULTS = Path(__file__).parent / "results"
TARGET_S, TARGET_GB = 16.7, 8.0
STEPS = 3


def make_config(preset: str, precision: str) -> Config:
    values = {**PRESETS[preset], "spk": {"bench": 0}}
    values["svc_jobs"] = {**values["svc_jobs"], "voice": "bench"}
    values["train"] = {**values["train"], "fp16_run": precision == "bf16", "half_type": "bf16"}
    return configs.parse(values, "the benchmark's config")


def make_batch(config: Config, rows: int, frames: int) -> Batch:
    """Noise of full length in every row, which is the longest batch that training can meet."""
    generator = torch.Generator().manual_seed(1)

    def noise(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    return Batch(
        c=noise(rows, config.model.ssl_dim, frames),
        f0=100 + 200 * noise(rows, frames),
        spec=noise(rows, 1025, frames),
        y=noise(rows, 1, frames * HOP_SAMPLES) - 0.5,
        spk=torch.zeros(rows, 1, dtype=torch.int64),
        lengths=torch.full((rows,), frames),
        uv=torch.ones(rows, frames),
        volume=noise(rows, frames),
    )


def peak_gb(device: torch.device) -> float:
    """Highest resident memory of this process (on a GPU: of torch's allocator), in units of 10^9 bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=list(PRESETS), default="full")
    parser.add_argument("--batch", type=int, default=6, help="clips per step")
    parser.add_argument("--frames", type=int, default=790, help="frames of 512 samples per clip")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--device", default="cpu", help="cuda, auto or cpu")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/<date>-train-step.json")
    arguments = parser.parse_args()

    device, config = resolve_device(arguments.device), make_config(arguments.preset, arguments.precision)
    batch = make_batch(config, arguments.batch, arguments.frames).to(device)
    state = build_state(config, device)
    seconds = []
    for _ in range(1 + STEPS):
        began_s = time.perf_counter()
        # Ends with a transfer from the device, so the time is the whole step's.
        training_step(state, batch)
        seconds.append(time.perf_counter() - began_s)
    result = {
        "what": "one training step",
        "preset": arguments.preset,
        "batch": arguments.batch,
        "frames": arguments.frames,
        "precision": arguments.precision,
        "seconds_median": round(statistics.median(seconds[1:]), 3),
        "seconds": [round(value, 3) for value in seconds[1:]],
        "peak_gb": round(peak_gb(device), 2),
        "target_s": TARGET_S,
        "target_gb": TARGET_GB,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    print(json.dumps(result, indent=2))
    if arguments.save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{result['date'][:10]}-train-step.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
