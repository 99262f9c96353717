"""A wheel built from the tree, in an environment of its own that holds no torch: what a slicing image is."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")


def call(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def slim(tmp_path_factory):
    """The bin folder of an environment with the wheel and what it needs at least."""
    folder = tmp_path_factory.mktemp("wheel")
    call(UV, "build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable, "-o", folder, ROOT)
    call(UV, "venv", "--quiet", "--python", sys.executable, folder / "env")
    (wheel,) = folder.glob("*.whl")
    python = folder / "env" / "bin" / "python"
    call(UV, "pip", "install", "--quiet", "--python", python, "-c", ROOT / "requirements.lock", wheel)
    return folder / "env" / "bin"


def test_doctor_runs_and_says_what_the_later_stages_need(slim):
    out = call(slim / "svc-jobs", "doctor")
    assert "torch" in out
    assert "svc-jobs[train]" in " ".join(out.split())


def test_the_cpu_stages_run_without_torch(slim, recordings):
    assert "torch" not in call(UV, "pip", "list", "--quiet", "--python", slim / "python")
    root = recordings(count=2)
    for stage in ("prepare", "slice", "filelists"):
        call(slim / "svc-jobs", stage, "-w", root)
    assert (root / "data/prep/filelists/val.txt").read_text().count("\n") == 2


def test_the_wheel_holds_the_pages_of_the_report(slim):
    (page,) = slim.parent.rglob("svc_core/report/page.html.j2")
    assert "<html" in page.read_text()
