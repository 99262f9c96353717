"""How long `svc-jobs run` takes when there is nothing to do, with 2,000 clips.

    python benchmarks/bench_second_run.py [--clips 2000] [--save]

Makes a workspace of real records over small made files, then times the command as a whole process. Target: under 5 s.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
import soundfile

SETTINGS = ["--preset", "toy", "--encoder", "mel-bands", "--f0", "dio", "--steps", "2",
            "--batch-size", "2", "--max-length-ms", "1000", "--min-length-ms", "500",
            "--val-share", "0", "--device", "cpu", "-q"]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "w"
        make_recordings(root, given.clips)
        run(root, *SETTINGS)
        clips = sum(1 for _ in root.glob("data/44k/*/wavs/*.wav"))
        times = sorted(run(root, "--device", "cpu") for _ in range(5))
    start_up = min(python("-c", "import torch") for _ in range(3))
    result = {
        "benchmark": "second run, nothing to do",
        "clips": clips,
        "seconds_min_median_max": [round(times[index], 2) for index in (0, 2, 4)],
        "of_which_import_torch": round(start_up, 2),
        "target_s": 5,
        "machine": f"{os.cpu_count()} CPUs, {platform.processor() or platform.machine()}",
        "python": platform.python_version(),
        "date": date.today().isoformat(),
    }
    print(json.dumps(result, indent=2))
    if given.save:
        path = Path(__file__).parent / "results" / f"{date.today().isoformat()}-second-run.json"
        path.write_text(json.dumps(result, indent=2) + "\n")


def make_recordings(root: Path, clips: int) -> None:
    """One-second bursts between silences: each becomes a clip."""
    random = np.random.default_rng(0)
    place = root / "raw" / "alice"
    place.mkdir(parents=True)
    for number in range(20):
        bursts = clips // 20
        sound = np.zeros((bursts, 24_000), dtype=np.float32)
        sound[:, :14_000] = random.uniform(-0.3, 0.3, (bursts, 14_000))
        soundfile.write(place / f"take-{number}.flac", sound.ravel(), 16_000)


def run(root: Path, *arguments: str) -> float:
    return python("-m", "jobs", "run", "-w", str(root), *arguments)


def python(*arguments: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
