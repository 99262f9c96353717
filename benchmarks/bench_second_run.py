"""How long `svc-jobs run` takes when there is nothing to do: 2,000 clips in a folder, 10,000 objects in a bucket.

    python benchmarks/bench_second_run.py [--clips 2000] [--bucket-clips 1450] [--save]

Makes workspaces of real records over small made files, then times the command as a whole process. Targets: under 5 s
and under 10 s. The bucket is a SeaweedFS on this machine.
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

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from servers.processes import seaweed

from svc_core.storage.opening import open_store

SETTINGS = ["--preset", "toy", "--encoder", "mel-bands", "--f0", "dio", "--steps", "2",
            "--batch-size", "2", "--max-length-ms", "1000", "--min-length-ms", "500",
            "--val-share", "0", "--device", "cpu", "-q"]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--bucket-clips", type=int, default=1450)
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "w"
        make_recordings(root, given.clips)
        run(str(root), *SETTINGS)
        clips = sum(1 for _ in root.glob("data/44k/*/wavs/*.wav"))
        times = sorted(run(str(root), "--device", "cpu") for _ in range(5))
    in_bucket = time_bucket(given.bucket_clips)
    start_up = min(python("-c", "import torch") for _ in range(3))
    result = {
        "benchmark": "second run, nothing to do",
        "clips": clips,
        "seconds_min_median_max": [round(times[index], 2) for index in (0, 2, 4)],
        "of_which_import_torch": round(start_up, 2),
        "target_s": 5,
        "bucket": in_bucket,
        "machine": f"{os.cpu_count()} CPUs, {platform.processor() or platform.machine()}",
        "python": platform.python_version(),
        "date": date.today().isoformat(),
    }
    print(json.dumps(result, indent=2))
    if given.save:
        path = Path(__file__).parent / "results" / f"{date.today().isoformat()}-second-run.json"
        path.write_text(json.dumps(result, indent=2) + "\n")


def time_bucket(clips: int) -> dict:
    """The same in a bucket, filled from a folder by `workspace sync`."""
    with tempfile.TemporaryDirectory() as folder, seaweed(Path(folder) / "server") as server:
        os.environ |= server.environment()
        root, url = Path(folder) / "w", f"s3://{server.bucket}/second-run"
        make_recordings(root, clips)
        run(str(root), *SETTINGS)
        python("-m", "jobs", "workspace", "sync", str(root), url, "-q")
        first = run(url, "--device", "cpu")
        objects = sum(1 for _ in open_store(url).list())
        times = sorted(run(url, "--device", "cpu") for _ in range(5))
    return {
        "objects": objects,
        "first_after_sync_s": round(first, 2),
        "seconds_min_median_max": [round(times[index], 2) for index in (0, 2, 4)],
        "target_s": 10,
    }


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


def run(workspace: str, *arguments: str) -> float:
    return python("-m", "jobs", "run", "-w", workspace, *arguments)


def python(*arguments: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
