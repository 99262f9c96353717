"""The demo's promises, in figures: the loss falls, the converted clip has its source's length and pitch."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from svc_core.features.f0.swift import SwiftF0

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
    """Mean mel loss of the last ten steps against the first ten: measured 0.50, at most 0.7 allowed."""
    lines = (demo / "workspace/logs/44k/synthetic/metrics.jsonl").read_text().splitlines()
    mel = [json.loads(line)["mel"] for line in lines]
    assert len(mel) == STEPS
    assert np.mean(mel[-10:]) / np.mean(mel[:10]) < 0.7


def test_the_converted_clip_has_its_sources_length_and_is_no_silence(demo):
    (converted,) = (demo / "workspace/converted/synthetic").glob("*.wav")
    source, converted = read(demo / "unseen/take-0.flac"), read(converted)
    assert len(converted) == len(source)
    assert 20 * np.log10(np.sqrt(np.mean(converted**2))) > -50


def test_the_converted_clip_follows_its_sources_pitch(demo):
    """Over the frames that both voice: measured correlation of log f0 0.999 and median difference 8 cents."""
    (converted,) = (demo / "workspace/converted/synthetic").glob("*.wav")
    source_hz, converted_hz = predict_f0(demo / "unseen/take-0.flac"), predict_f0(converted)
    voiced = (source_hz > 0) & (converted_hz > 0)
    source, made = np.log2(source_hz[voiced]), np.log2(converted_hz[voiced])
    assert voiced.mean() > 0.3
    assert np.corrcoef(source, made)[0, 1] > 0.95
    assert 1200 * np.median(np.abs(source - made)) < 30


def predict_f0(path: Path) -> np.ndarray:
    samples = read(path)
    return SwiftF0(None, "cpu").predict(samples, len(samples) // 512)


def read(path: Path) -> np.ndarray:
    samples, rate_hz = soundfile.read(path, dtype="float32")
    assert rate_hz == RATE_HZ
    return samples
