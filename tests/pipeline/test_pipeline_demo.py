"""The demo's promises, in figures: the loss falls, the converted clip follows the source's pitch and has its length."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from svc_core.features.f0.world import Harvest
from svc_core.features.pitch import interpolate

STEPS = 60
RATE_HZ = 44_100


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo with its synthetic speaker, as on a machine without apt, and fewer steps."""
    from jobs import demo

    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder / "nothing here"))
        assert demo.main(folder, ["--steps", str(STEPS), "--log-every", "1", "-q"]) == 0
    return folder


def test_the_loss_falls(demo):
    """Mean mel loss of the last ten steps against the first ten: measured 0.46, at most 0.7 allowed."""
    lines = (demo / "workspace/logs/44k/synthetic/metrics.jsonl").read_text().splitlines()
    mel = [json.loads(line)["mel"] for line in lines]
    assert len(mel) == STEPS
    assert np.mean(mel[-10:]) / np.mean(mel[:10]) < 0.7


def test_the_converted_clip_follows_the_sources_pitch_and_has_its_length(demo):
    """Correlation of log f0 over frames voiced in both: measured 0.99, at least 0.9 allowed."""
    (converted,) = (demo / "workspace/converted/synthetic").glob("*.wav")
    source, converted = read(demo / "unseen/take-0.flac"), read(converted)
    assert len(converted) == len(source)
    pitches = [interpolate(Harvest(None, "cpu").predict(audio, len(audio) // 512)) for audio in (source, converted)]
    both = (pitches[0].uv > 0) & (pitches[1].uv > 0)
    assert both.mean() > 0.3, "enough frames are voiced in both to compare"
    logs = [np.log(pitch.f0_hz[both]) for pitch in pitches]
    assert np.corrcoef(*logs)[0, 1] > 0.9


def read(path: Path) -> np.ndarray:
    samples, rate_hz = soundfile.read(path, dtype="float32")
    assert rate_hz == RATE_HZ
    return samples
