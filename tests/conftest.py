"""What every test may use: the command line in this process or in one of its own, and small made recordings."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
from hypothesis import settings

# Here, so that the summary of a run in several processes says which servers there were.
pytest_plugins = ["servers.plugin"]

# A cache of their own: the user's models must not decide what a test sees.
CACHE = tempfile.TemporaryDirectory(prefix="svc-jobs-tests-")
os.environ["HF_HOME"] = CACHE.name
# One thread: equal bytes need equal threads, and two test processes share two cores.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
for name in ("SVC_WORKSPACE", "SVC_MODELS", "SVC_HUB", "SVC_HUB_NAMESPACE"):
    os.environ.pop(name, None)

# Two cores shared by everything: how long an example takes says nothing.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

SVC_JOBS = [sys.executable, "-m", "jobs"]


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def svc_jobs(capsys):
    """Runs a command line in this process; returns exit code, stdout and stderr."""
    from jobs.cli import run

    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        return Ran(code, *capsys.readouterr())

    return call


@pytest.fixture
def svc_jobs_process():
    """Starts a command line in a process of its own, without the power of root to write anywhere."""
    started: list[subprocess.Popen] = []

    def start(*arguments: object, **options) -> subprocess.Popen:
        process = subprocess.Popen(
            [*_without_override(), *SVC_JOBS, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _without_override() -> list[str]:
    """Root may write read-only folders; tests of permissions must not."""
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


@pytest.fixture
def recordings(tmp_path: Path):
    """Writes made recordings of one speaker; returns the workspace."""

    def write(speaker: str = "alice", count: int = 3, seconds: float = 12.0, root: Path = tmp_path / "w") -> Path:
        from jobs.demo import RATE_HZ, speak

        folder = root / "raw" / speaker
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            # Each speaker has takes of its own: equal files would be taken as copies of one another.
            samples = speak(1000 * len(speaker) + sum(map(ord, speaker)) + number, seconds)
            soundfile.write(folder / f"take {number}.flac", np.asarray(samples), RATE_HZ)
        return root

    return write


@pytest.fixture
def golden():
    """Loads a golden file by name."""
    folder = Path(__file__).parent / "golden"

    def load(name: str):
        return np.load(folder / f"{name}.npz", allow_pickle=False)

    return load
