import json

import numpy as np
import pytest
import soundfile
import torch

from svc_core import checkpoint, files, layout
from svc_core import config as configs
from svc_core.errors import BadInput, ConfigError, Diverged
from svc_core.evaluation.evaluate import (
    WINDOW_FRAMES,
    CheckpointScore,
    Evaluation,
    audio_clips,
    choose_best,
    evaluate,
)
from svc_core.evaluation.metrics import Metrics
from svc_core.features.sidecar import CorruptSidecar

VOICE = "duo"


@pytest.fixture
def run(trained, small_config):
    """Evaluates; returns the result and how many clips were scored for it."""

    def call(config=small_config) -> tuple[Evaluation, int]:
        calls = []
        result = evaluate(trained, VOICE, config, device="cpu", on_clip=lambda *now: calls.append(now))
        assert [done for done, _ in calls] == list(range(1, len(calls) + 1))
        return result, len(calls)

    return call


@pytest.fixture
def only_one(trained) -> None:
    """Takes all checkpoints but that of step 20 out of the history, where one is enough."""
    kept = [entry for entry in checkpoint.read_history(trained, VOICE) if entry.step == 20]
    checkpoint.History(checkpoints=tuple(kept)).write(trained / layout.latest_key(VOICE))


def score(step: int, mel: float | None) -> CheckpointScore:
    metrics = mel and Metrics(mel_distance=mel, f0_error_cents=1, voicing_error=0, loudness_error_db=0, frames=1)
    return CheckpointScore(step=step, epoch=1, generator_sha256="0", metrics=metrics, speakers={}, note="why")


def test_scores_every_checkpoint_and_names_the_best(run, trained):
    result, scored = run()
    assert scored == 3 * 4
    assert [one.step for one in result.checkpoints] == [10, 20, 30]
    distances = {one.step: one.metrics.mel_distance for one in result.checkpoints}
    assert result.best_step == min(distances, key=distances.get)
    assert set(result.best.speakers) == {"alice", "Böb's"}
    assert result.clips == (trained / layout.VAL_LIST).read_text(encoding="utf-8").splitlines()
    # All clips have the same length here, so the mean of the speakers is the mean of all, but for rounding to 6 digits.
    means = [one.mel_distance for one in result.best.speakers.values()]
    assert result.best.metrics.mel_distance == pytest.approx(np.mean(means), abs=2e-6)
    assert Evaluation.read(trained / layout.evaluation_key(VOICE)) == result


@pytest.mark.usefixtures("only_one")
def test_writes_audio_of_the_best_for_clips_of_every_speaker(run, trained):
    result, _ = run()
    assert {made.speaker for made in result.audio} == {"alice", "Böb's"}
    for made in result.audio:
        info = soundfile.info(trained / made.made.key)
        recorded = soundfile.info(trained / made.clip)
        assert (info.format, info.samplerate, info.frames) == ("FLAC", 44_100, recorded.frames // 512 * 512)


def test_a_second_call_does_nothing_and_a_new_checkpoint_alone_is_scored(run, trained, small_generator, add_checkpoint):
    first, _ = run()
    before = (trained / layout.evaluation_key(VOICE)).stat().st_mtime_ns
    assert run() == (first, 0)
    assert (trained / layout.evaluation_key(VOICE)).stat().st_mtime_ns == before
    add_checkpoint(trained, small_generator(40).state_dict(), 40)
    second, scored = run()
    assert scored == 4
    assert second.checkpoints[:3] == first.checkpoints


@pytest.mark.usefixtures("only_one")
def test_equal_work_gives_an_equal_record(run, trained):
    first, _ = run()
    (trained / layout.evaluation_key(VOICE)).unlink()
    second, _ = run()
    assert second.checkpoints == first.checkpoints
    assert [made.made.sha256 for made in second.audio] == [made.made.sha256 for made in first.audio]


@pytest.mark.usefixtures("only_one")
@pytest.mark.parametrize("part", ["wav", "f0", "volume", "content"])
def test_a_changed_clip_or_sidecar_is_scored_anew(run, trained, part):
    first, _ = run()
    key = first.clips[0]
    sidecars = layout.sidecar_keys(key)
    path = trained / {"wav": key, "f0": sidecars.f0, "volume": sidecars.volume, "content": sidecars.content}[part]
    if part == "content":
        torch.save(torch.load(path, weights_only=True) * 2, path)
    elif part == "wav":
        path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    else:
        np.save(path, np.load(path) * np.float32(1.01))
    assert run()[1] == 4


@pytest.mark.usefixtures("only_one")
def test_other_lists_are_scored_anew_and_old_audio_goes(run, trained):
    first, _ = run()
    path = trained / layout.VAL_LIST
    files.write_text(path, "".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]))
    second, scored = run()
    assert scored == 3
    gone = {made.made.key for made in first.audio} - {made.made.key for made in second.audio}
    assert len(gone) == 1
    assert not any((trained / key).exists() for key in gone)


@pytest.mark.usefixtures("only_one")
def test_lost_audio_is_made_again_without_scoring(run, trained):
    first, _ = run()
    (trained / first.audio[0].made.key).unlink()
    second, scored = run()
    assert scored == 0
    assert second.audio[0].made.sha256 == first.audio[0].made.sha256


def test_a_damaged_checkpoint_is_left_out_and_comes_back(run, trained):
    best = run()[0].best_step
    path = trained / layout.checkpoint_keys(VOICE, best).generator
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    without, _ = run()
    assert without.best_step != best
    assert (
        next(one for one in without.checkpoints if one.step == best).note
        == f"checkpoint {best} is not scored: {path.relative_to(trained)} is missing or damaged: restore it"
    )
    path.write_bytes(whole)
    assert run()[0].best_step == best


def test_a_checkpoint_from_before_a_new_speaker_is_left_out(
    run, trained, small_config, small_generator, add_checkpoint
):
    values = small_config.model_dump(mode="json")
    values["model"]["n_speakers"] = 3
    values["spk"]["carol"] = 2
    config = configs.parse(values, "test")
    with pytest.raises(ConfigError, match=r"30 is not scored: model\.n_speakers was 2 and is 3: train on"):
        run(config)
    add_checkpoint(trained, small_generator(40, config).state_dict(), 40)
    result, scored = run(config)
    assert (result.best_step, scored) == (40, 4)
    assert result.checkpoints[0].note.startswith("checkpoint 10 is not scored: model.n_speakers was 2 and is 3")


def test_a_diverged_checkpoint_is_never_best(run, trained, small_generator, add_checkpoint):
    tensors = small_generator(40).state_dict()
    tensors["dec.conv_post.bias"].fill_(float("nan"))
    add_checkpoint(trained, tensors, 40)
    result, _ = run()
    assert result.best_step != 40
    assert "no numbers" in result.checkpoints[-1].note
    for step in (10, 20, 30):
        (trained / layout.checkpoint_keys(VOICE, step).generator).unlink()
    with pytest.raises(Diverged, match=r"checkpoint 10 is not scored: .* is missing or damaged"):
        run()
    (trained / layout.checkpoint_keys(VOICE, 40).generator).unlink()
    with pytest.raises(BadInput, match=r"checkpoint 40 is not scored: .*G_40\.pth is missing or damaged: restore it$"):
        run()


@pytest.mark.parametrize(
    ("distances", "best"),
    [
        ([(1, 0.5), (2, 0.4), (3, 0.6)], 2),
        ([(1, 0.5), (2, 0.5)], 2),
        ([(2, 0.5), (1, 0.5)], 2),
        ([(1, 0.5), (2, None)], 1),
    ],
)
def test_best_is_lowest_and_of_equals_the_later(distances, best):
    assert choose_best([score(*one) for one in distances]).step == best


def test_clips_to_hear_come_from_every_speaker_in_turn():
    keys = [layout.wav_key(speaker, f"c{number}") for speaker in ("a", "b") for number in range(5)]
    assert [layout.parse_wav_key(key) for key in audio_clips(keys)] == [
        ("a", "c0"),
        ("b", "c0"),
        ("a", "c1"),
        ("b", "c1"),
    ]
    assert len(audio_clips([layout.wav_key("a", "c0")])) == 1


def test_missing_inputs_are_66(run, trained):
    path = trained / layout.VAL_LIST
    text = path.read_text(encoding="utf-8")
    files.write_text(path, "")
    with pytest.raises(BadInput, match="names no clip"):
        run()
    path.unlink()
    with pytest.raises(BadInput, match="run filelists first"):
        run()
    files.write_text(path, text)
    key = text.splitlines()[0]
    (trained / layout.sidecar_keys(key).f0).write_bytes(b"torn")
    with pytest.raises(CorruptSidecar, match=r"f0\.npy"):
        run()
    (trained / key).unlink()
    with pytest.raises(BadInput, match="does not exist"):
        run()
    (trained / layout.latest_key(VOICE)).unlink()
    with pytest.raises(BadInput, match="run train first"):
        run()


@pytest.mark.usefixtures("only_one")
def test_long_clips_are_sung_in_bounded_windows(run, trained, sung, small_config):
    """A clip of 17 s is more than one window; the network must never see more frames than WINDOW_FRAMES."""
    from svc_core.audio.io import encode_pcm16
    from svc_core.features.extract import PARTS, extract, load_tools
    from svc_core.manifest import FileRecord

    seconds = 17.0
    frames = int(seconds * 44_100) // 512
    assert WINDOW_FRAMES < frames < 2 * WINDOW_FRAMES
    key = layout.wav_key("alice", "long")
    files.write_bytes(trained / key, encode_pcm16(sung(220.0, seconds)))
    extract(trained, FileRecord.of(trained, key), load_tools(small_config), PARTS)
    files.write_text(trained / layout.VAL_LIST, f"{key}\n")
    result, _ = run()
    assert result.best.metrics.frames == frames
    assert soundfile.info(trained / result.audio[0].made.key).frames == frames * 512


@pytest.mark.usefixtures("only_one")
def test_the_record_is_plain_json_without_nan(run, trained):
    run()
    text = (trained / layout.evaluation_key(VOICE)).read_text(encoding="utf-8")
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert str(trained) not in text
