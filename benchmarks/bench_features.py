"""Speed and memory of the features stage: all five sidecars of 10 s clips, an encoder of HuBERT base's size, dio.

    python benchmarks/bench_features.py [--clips 12] [--seconds 10] [--save]

The encoder has random weights (94 M values, 768 channels, 12 layers): no weights are needed, the work is the same. Each
setting runs in a fresh process on all cores, our door as the stage uses it: one worker per core with one torch thread
each. In the same run a plain peer does the same work the usual way: one process, clip after clip, torch with all
threads, transformers' model as it comes. "x real time" counts the clips alone, after one to warm up, "of CPU" per
core; `load_s` is loading the tools, `export_s` with the export for onnx, once per machine. Distances are to our fp32.
Targets: 20 x real time in one named setting, at most 2 GB. `--save` writes a dated file to benchmarks/results/.

Where bf16 is refused because the CPU only announces AMX, set ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16.
"""

import argparse
import io
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
ENCODER = "contentvec-768l12"
SETTINGS = {
    "peer": None,
    "fp32": ("torch", "fp32"),
    "bf16": ("torch", "bf16"),
    "onnx": ("onnx", "fp32"),
    "int8": ("onnx", "int8"),
}
TARGET_X, TARGET_MB = 20, 2000


def write_encoder(models: Path) -> None:
    import torch
    from transformers import HubertConfig, HubertModel

    torch.manual_seed(1)
    HubertModel(HubertConfig()).save_pretrained(models / ENCODER)


def write_clips(root: Path, count: int, seconds: float) -> None:
    """Twelve harmonics of a gliding pitch under syllables, with pauses and room noise."""
    import numpy as np

    from svc_core import files, layout
    from svc_core.audio.io import encode_pcm16

    rng = np.random.default_rng(1)
    time_s = np.arange(int(seconds * 44_100)) / 44_100
    for number in range(count):
        pitch_hz = rng.uniform(100, 250) * 2 ** (0.3 * np.sin(2 * np.pi * rng.uniform(0.2, 0.6) * time_s))
        turns = np.cumsum(pitch_hz) / 44_100
        voice = sum(np.sin(2 * np.pi * k * turns) / k**1.3 for k in range(1, 13))
        syllables = np.clip(np.sin(2 * np.pi * 3 * time_s + rng.uniform(0, 6)) + 0.4, 0, None) ** 1.5
        sound = 0.1 * voice * syllables + rng.standard_normal(len(time_s)) * 1e-3
        files.write_bytes(root / layout.wav_key("bench", f"clip-00000000-{number}"), encode_pcm16(sound))


class Clock:
    """Wall and CPU seconds since it was made."""

    def __init__(self) -> None:
        self._began_s, self._began_cpu_s = time.perf_counter(), time.process_time()

    def read(self) -> dict:
        return {"seconds": time.perf_counter() - self._began_s, "cpu_s": time.process_time() - self._began_cpu_s}


def keys_of(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.glob("data/44k/bench/wavs/*.wav"))


def run_door(root: Path, setting: tuple[str, str]) -> dict:
    import torch

    from svc_core import config as configs
    from svc_core.features.extract import PARTS, Task, extract_many, load_tools
    from svc_core.manifest import FileRecord

    features = {"f0_predictor": "dio", "encoder_backend": setting[0], "encoder_precision": setting[1]}
    values = {"spk": {"bench": 0}, "svc_jobs": {"voice": "bench", "features": features}}
    torch.set_num_threads(1)
    began_s = time.perf_counter()
    tools = load_tools(configs.parse(values, "the benchmark's config"), "cpu", root)
    load_s = time.perf_counter() - began_s
    tasks = [Task(FileRecord.of(root, key), PARTS, None) for key in keys_of(root)]
    workers = len(os.sched_getaffinity(0))
    list(extract_many(root, tasks[:1], tools, workers))
    clock = Clock()
    for outcome in extract_many(root, tasks, tools, workers):
        assert outcome.error is None, outcome.error
    return {"load_s": load_s, **clock.read()}


def run_peer(root: Path) -> dict:
    import torch
    from transformers import HubertModel

    began_s = time.perf_counter()
    model = HubertModel.from_pretrained(Path(os.environ["SVC_MODELS"]) / ENCODER).eval()
    load_s = time.perf_counter() - began_s
    keys = keys_of(root)
    with torch.no_grad():
        peer_clip(root / keys[0], model)
        clock = Clock()
        for key in keys:
            peer_clip(root / key, model)
    return {"load_s": load_s, **clock.read()}


def peer_clip(path: Path, model) -> None:
    """Reads once per sidecar, as separate extractors do."""
    import numpy as np
    import pyworld
    import soundfile
    import soxr
    import torch

    audio = soundfile.read(path, dtype="float32")[0]
    content = model(torch.from_numpy(soxr.resample(audio, 44_100, 16_000, quality="HQ"))[None]).last_hidden_state
    torch.save(content.transpose(1, 2).clone(), f"{path}.peer.soft.pt")

    audio = soundfile.read(path, dtype="float64")[0]
    f0, times = pyworld.dio(audio, 44_100, f0_floor=50, f0_ceil=1100, frame_period=1000 * 512 / 44_100)
    f0 = pyworld.stonemask(audio, f0, times, 44_100)
    voiced = np.flatnonzero(f0)
    filled = np.interp(np.arange(len(f0)), voiced, f0[voiced])
    np.save(f"{path}.peer.f0.npy", np.stack([filled, f0 > 0]).astype(np.float32))

    audio = torch.from_numpy(soundfile.read(path, dtype="float32")[0])[None]
    padded = torch.nn.functional.pad(audio[None], (768, 768), mode="reflect")[0]
    bins = torch.stft(padded, 2048, 512, window=torch.hann_window(2048), center=False, return_complex=True)
    torch.save((bins.abs() ** 2 + 1e-6).sqrt()[0], f"{path}.peer.spec.pt")
    frames = audio[0][: audio.shape[1] // 512 * 512].reshape(-1, 512)
    np.save(f"{path}.peer.vol.npy", frames.square().mean(dim=1).sqrt().numpy())


def child(what: str, root: Path) -> None:
    done = run_peer(root) if what == "peer" else run_door(root, SETTINGS[what])
    peak_kb = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
    print(json.dumps({**done, "peak_mb": peak_kb * 1024 / 1e6}))


def measure(what: str, folder: Path, audio_s: float) -> dict:
    """One setting in a fresh process; where it refuses or dies, what it said last."""
    environment = {**os.environ, "SVC_MODELS": str(folder / "models"), "HF_HOME": str(folder / "cache")}
    command = [sys.executable, __file__, "--child", what, str(folder / "w")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        return {"what": what, "failed": ran.stderr.strip().rpartition("\n")[2] or f"exit {ran.returncode}"}
    found = json.loads(ran.stdout)
    return {
        "what": what,
        "x_real_time": round(audio_s / found["seconds"], 1),
        "x_real_time_of_cpu": round(audio_s / found["cpu_s"], 1),
        "load_s": round(found["load_s"], 1),
        "peak_mb": round(found["peak_mb"]),
    }


def contents(root: Path) -> list:
    import torch

    return [torch.load(io.BytesIO((root / f"{key}.soft.pt").read_bytes()), weights_only=True) for key in keys_of(root)]


def distance(made: list, wanted: list) -> dict:
    """Over all frames: the mean and worst cosine, and the relative error of the values."""
    import torch

    left, right = torch.cat(made, dim=2)[0], torch.cat(wanted, dim=2)[0]
    cosine = torch.nn.functional.cosine_similarity(left, right, dim=0)
    error = ((left - right).norm() / right.norm()).item()
    return {
        "cosine_mean": round(cosine.mean().item(), 6),
        "cosine_min": round(cosine.min().item(), 6),
        "relative_error": float(f"{error:.2g}"),
    }


def run_all(folder: Path, arguments: argparse.Namespace) -> list[dict]:
    write_encoder(folder / "models")
    write_clips(folder / "w", arguments.clips, arguments.seconds)
    runs, plain = [], None
    for what in arguments.only or SETTINGS:
        exported = measure(what, folder, arguments.clips * arguments.seconds) if what in ("onnx", "int8") else None
        tries = [measure(what, folder, arguments.clips * arguments.seconds) for _ in range(arguments.repeat)]
        run = max(tries, key=lambda one: one.get("x_real_time", 0))
        if exported and "failed" not in exported:
            run |= {"export_s": exported["load_s"], "export_peak_mb": exported["peak_mb"]}
        if what != "peer" and "failed" not in run:
            made = contents(folder / "w")
            plain = made if what == "fp32" else plain
            run |= distance(made, plain) if what != "fp32" and plain else {}
        runs.append(run)
        print(json.dumps(run), flush=True)
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=12, help="number of clips")
    parser.add_argument("--seconds", type=float, default=10, help="length of each clip")
    parser.add_argument("--repeat", type=int, default=2, help="runs of each setting; the fastest counts")
    parser.add_argument("--only", nargs="+", choices=SETTINGS, help="settings to run; default: all")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/<date>-features.json")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child[0], Path(arguments.child[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        report(run_all(Path(folder), arguments), arguments)


def report(runs: list[dict], arguments: argparse.Namespace) -> None:
    speed = {run["what"]: run["x_real_time"] for run in runs if "failed" not in run}
    result = {
        "what": f"features of {arguments.clips} clips of {arguments.seconds:g} s: HuBERT base size, dio, all sidecars",
        "runs": runs,
        "to_peer": {what: round(x / speed["peer"], 2) for what, x in speed.items()} if "peer" in speed else None,
        "target_x_real_time": TARGET_X,
        "target_mb": TARGET_MB,
        "machine": platform.processor() or platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "load_average": round(os.getloadavg()[0], 2),
        "onednn_max_cpu_isa": os.environ.get("ONEDNN_MAX_CPU_ISA"),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "onnxruntime", "pyworld-prebuilt", "numpy")},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    print(json.dumps(result, indent=2))
    if arguments.save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{result['date'][:10]}-features.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
