"""Interrupted training ends bit for bit where uninterrupted training does."""

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import training_workspace
from training_workspace import VOICE, checkpoint_hashes, make_config, make_workspace, run_training

from svc_core import checkpoint, layout
from svc_core.errors import Preempted


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> list[str]:
    """Hashes of the three files after ten steps in one go."""
    root = tmp_path_factory.mktemp("straight")
    make_workspace(root)
    run_training(root, make_config())
    return checkpoint_hashes(root, 10)


def test_kill_and_resume_is_exact(workspace: Path, straight: list[str]):
    """A process of its own is killed (SIGKILL) in step 6, after the checkpoint of step 5."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, training_workspace.__file__, str(workspace), "10", "5"]
    killed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [entry.step for entry in checkpoint.read_history(workspace, VOICE)] == [5]
    result = run_training(workspace, make_config())
    assert (result.step, result.steps_done) == (10, 5)
    assert result.notes == ("going on from checkpoint 5",)
    assert checkpoint_hashes(workspace, 10) == straight
    # Step 6 was logged before the kill; its line is dropped and written again.
    lines = (workspace / layout.metrics_key(VOICE)).read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4, 6, 8, 10]


def test_stop_saves_the_last_step_and_resume_is_exact(workspace: Path, straight: list[str]):
    asked = itertools.count()
    # Asked before each step: the eighth answer comes after seven steps.
    with pytest.raises(Preempted, match="step 7 is saved, run the same command again"):
        run_training(workspace, make_config(), stop=lambda: next(asked) == 7)
    assert [entry.step for entry in checkpoint.read_history(workspace, VOICE)] == [7, 5]
    run_training(workspace, make_config())
    assert checkpoint_hashes(workspace, 10) == straight


def test_stop_before_the_first_step_saves_nothing(workspace: Path):
    with pytest.raises(Preempted):
        run_training(workspace, make_config(), stop=lambda: True)
    assert checkpoint.read_history(workspace, VOICE) == ()


def test_damaged_newest_is_trained_again_to_the_same_bytes(workspace: Path, straight: list[str]):
    run_training(workspace, make_config())
    path = workspace / layout.checkpoint_keys(VOICE, 10).generator
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    result = run_training(workspace, make_config())
    assert result.notes[:2] == (
        "checkpoint 10 is not used: logs/44k/alto/G_10.pth is missing or damaged",
        "going on from checkpoint 5",
    )
    assert result.steps_done == 5
    assert checkpoint_hashes(workspace, 10) == straight


def test_batch_size_and_rate_may_change_on_resume(workspace: Path):
    run_training(workspace, make_config(svc_jobs__steps=5))
    reports = []
    changed = make_config(train__batch_size=2, train__learning_rate=5e-4, svc_jobs__steps=8)
    result = run_training(workspace, changed, on_step=reports.append)
    assert "settings changed since the checkpoint: steps 5 -> 8, learning_rate 0.001 -> 0.0005, batch_size 3 -> 2" in (
        result.notes
    )
    # Step 5 leaves epoch 3 with three of its six clips: two batches of at most two finish it.
    assert [report.epoch for report in reports] == [3, 3, 4]
    assert reports[0].learning_rate == pytest.approx(5e-4 * 0.999875**2, rel=1e-12)
