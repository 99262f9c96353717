"""Speed and memory of the slice stage: 48 kHz mono flac in, finished clips out, on one core.

    python benchmarks/bench_slice.py [--minutes 10] [--long] [--save]

Makes speech-like recordings (harmonics under a moving envelope, breath noise, pauses) in a temporary folder and runs
each in a fresh process pinned to one core: our door with its default settings, and in the same run a plain peer that
does the same work the usual way (whole file in memory: read, cut every 10 s, trim, soxr HQ, peak normalisation, write).
"x real time" counts the call alone; `process_s` is the whole process with the start of Python and all imports.
Targets: 300 x real time, at most 300 MB whatever the length. `--long` adds 3 hours. `--save` writes a dated file to
benchmarks/results/.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
RATE_HZ = 48_000
LONG_MINUTES = 180
TARGET_X, TARGET_MB = 300, 300
KEY = "raw/bench/recording.flac"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def write_recording(path: Path, minutes: float) -> None:
    """One minute of phrases, made once and repeated at levels that differ by up to 6 dB."""
    import numpy as np
    import soundfile

    rng = np.random.default_rng(1)
    minute = np.concatenate([phrase(rng) for _ in range(40)])[: 60 * RATE_HZ]
    minute = 0.5 * minute / np.abs(minute).max()
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", RATE_HZ, 1, "PCM_16", format="FLAC") as sound:
        left = round(minutes * 60 * RATE_HZ)
        while left:
            part = minute[:left] * 10 ** (rng.uniform(-6, 0) / 20)
            sound.write(part)
            left -= len(part)


def phrase(rng):
    """[n] 1.5 to 4 s: twelve harmonics of a gliding pitch under syllables, then 0.2 to 1 s of room noise."""
    import numpy as np

    count = int(rng.uniform(1.2, 3) * RATE_HZ)
    time_s = np.arange(count) / RATE_HZ
    pitch_hz = rng.uniform(100, 180) * 2 ** (0.2 * np.sin(2 * np.pi * rng.uniform(0.3, 1) * time_s))
    turns = np.cumsum(pitch_hz) / RATE_HZ
    voice = sum(np.sin(2 * np.pi * k * turns) / k**1.3 for k in range(1, 13))
    syllables = np.clip(np.sin(2 * np.pi * 4 * time_s + rng.uniform(0, 6)) + 0.4, 0, None) ** 1.5
    breath = rng.standard_normal(count) * 0.05
    pause = np.zeros(int(rng.uniform(0.2, 1) * RATE_HZ))
    sound = np.concatenate([(voice + breath) * syllables, pause])
    return sound + rng.standard_normal(len(sound)) * 3e-4


def run_door(root: Path) -> int:
    from svc_core.audio.prepare import prepare_recording
    from svc_core.config import LoudnessBlock, SliceBlock

    record = prepare_recording(root, KEY, SliceBlock(), LoudnessBlock())
    assert record.error is None, record.error
    return len(record.clips)


def run_peer(root: Path) -> int:
    import numpy as np
    import soundfile
    import soxr

    samples, rate_hz = soundfile.read(root / KEY, dtype="float32")
    (root / "peer").mkdir()
    starts = range(0, len(samples), 10 * rate_hz)
    for number, start in enumerate(starts):
        clip = samples[start : start + 10 * rate_hz]
        frames = clip[: len(clip) // 512 * 512].reshape(-1, 512)
        rms = np.sqrt((frames**2).mean(axis=1))
        loud = np.flatnonzero(rms > rms.max() / 100)
        clip = soxr.resample(clip[loud[0] * 512 : (loud[-1] + 1) * 512], rate_hz, 44_100, quality="HQ")
        soundfile.write(root / "peer" / f"{number}.wav", clip / np.abs(clip).max(), 44_100, subtype="PCM_16")
    return len(starts)


def child(what: str, root: Path) -> None:
    """Runs in the fresh process; imports are done before the clock starts, as in a worker that slices many files."""
    import soundfile  # noqa: F401
    import soxr  # noqa: F401

    import svc_core.audio.prepare  # noqa: F401

    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    clips = run_door(root) if what == "door" else run_peer(root)
    seconds, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    peak_kb = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
    print(json.dumps({"seconds": seconds, "cpu_s": cpu_s, "peak_mb": peak_kb * 1024 / 1e6, "clips": clips}))


def measure(what: str, root: Path, minutes: float) -> dict:
    core = {min(os.sched_getaffinity(0))}
    began_s = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--child", what, str(root)],
        env={**os.environ, **ONE_THREAD},
        preexec_fn=lambda: os.sched_setaffinity(0, core),
        stdout=subprocess.PIPE,
        check=True,
    )
    process_s = time.perf_counter() - began_s
    found = json.loads(done.stdout)
    return {
        "what": what,
        "minutes": minutes,
        "x_real_time": round(60 * minutes / found["seconds"], 1),
        "x_real_time_of_cpu": round(60 * minutes / found["cpu_s"], 1),
        "process_s": round(process_s, 2),
        "peak_mb": round(found["peak_mb"], 1),
        "clips": found["clips"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="length of the recording")
    parser.add_argument("--long", action="store_true", help="also 3 hours, without the peer")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each; the fastest counts")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/<date>-slice.json")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child[0], Path(arguments.child[1]))
        return

    runs = []
    lengths = [arguments.minutes] + ([LONG_MINUTES] if arguments.long else [])
    for minutes in lengths:
        for what in ("door", "peer") if minutes == arguments.minutes else ("door",):
            tries = []
            for _ in range(arguments.repeat if minutes == arguments.minutes else 1):
                with tempfile.TemporaryDirectory() as folder:
                    write_recording(Path(folder) / KEY, minutes)
                    tries.append(measure(what, Path(folder), minutes))
            runs.append(max(tries, key=lambda run: run["x_real_time"]))
            print(json.dumps(runs[-1]), flush=True)
    report(runs, save=arguments.save)


def report(runs: list[dict], *, save: bool) -> None:
    result = {
        "what": "slice, loudness and resampling of 48 kHz mono flac, one core, one thread",
        "runs": runs,
        "door_to_peer": round(runs[0]["x_real_time"] / runs[1]["x_real_time"], 2),
        "target_x_real_time": TARGET_X,
        "target_mb": TARGET_MB,
        "machine": platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "soundfile", "soxr", "av")},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    print(json.dumps(result, indent=2))
    if save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{result['date'][:10]}-slice.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
