"""The whole job on a small made speaker: what a user gets, twice, interrupted, and with changed settings."""

import json
import os
import shutil
import signal
import time

import numpy as np
import pytest
import soundfile
from small_run import SETTINGS, content


def test_a_run_leaves_everything_the_contract_names(finished):
    keys = {path.relative_to(finished).as_posix() for path in finished.rglob("*") if path.is_file()}
    for key in (
        "data/44k/spk_map.json",
        "app/configs/44k/config_colab_alice.json",
        "data/prep/filelists/train.txt",
        "data/prep/filelists/val.txt",
        "data/prep/manifests/prepare/plan.json",
        "logs/44k/alice/G_6.pth",
        "logs/44k/alice/D_6.pth",
        "logs/44k/alice/state_6.pth",
        "logs/44k/alice/latest.json",
        "logs/44k/alice/metrics.jsonl",
        "models/alice/model.safetensors",
        "models/alice/config.json",
        "models/alice/SHA256SUMS",
        "reports/alice/index.html",
        "reports/alice/evaluation.json",
    ):
        assert key in keys
    assert not any("slices" in key or "preprocess" in key or ".tmp-" in key for key in keys)
    wavs = [key for key in keys if key.endswith(".wav") and key.startswith("data/")]
    for wav in wavs:
        for sidecar in (f"{wav}.soft.pt", f"{wav}.f0.npy", f"{wav}.uv.npy", f"{wav}.vol.npy", f"{wav[:-4]}.spec.pt"):
            assert sidecar in keys


def test_the_converted_clip_has_the_length_of_its_source(finished):
    (converted,) = (finished / "converted/alice").glob("*.wav")
    info = soundfile.info(converted)
    assert (info.frames, info.samplerate, info.channels) == (4 * 44_100 + 7, 44_100, 1)


def test_the_page_needs_no_other_file(finished):
    html = (finished / "reports/alice/index.html").read_text()
    assert "<script" not in html
    assert 'src="data:' in html
    assert "http://" not in html
    assert "https://" not in html
    assert "for demonstration and tests" in html, "mel-bands is labelled wherever it shows"


def test_a_second_run_does_nothing_and_every_stage_says_so(svc_jobs, copied):
    before = {path: path.stat().st_mtime_ns for path in copied.rglob("*") if path.is_file()}
    ran = svc_jobs("run", "-w", copied, "--device", "cpu", "--convert", copied.parent / "song.wav", "--json")
    assert ran.code == 0
    stages = json.loads(ran.out)["stages"]
    assert [(stage["stage"], stage["done"]) for stage in stages] == [
        (name, 0)
        for name in ("prepare", "slice", "filelists", "features", "train", "evaluate", "publish", "convert", "report")
    ]
    assert all("already done" in stage["message"] for stage in stages)
    assert {path: path.stat().st_mtime_ns for path in copied.rglob("*") if path.is_file()} == before


def test_equal_inputs_give_equal_bytes(svc_jobs, finished, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(finished / "raw", other / "raw")
    assert svc_jobs("run", "-w", other, *SETTINGS, "-q").code == 0
    assert content(other) == content(finished)


def test_changing_the_f0_predictor_redoes_f0_and_uv_alone(svc_jobs, copied):
    before = content(copied, "data/44k")
    assert svc_jobs("prepare", "-w", copied, "--f0", "harvest").code == 0
    assert svc_jobs("features", "-w", copied, "--device", "cpu").code == 0
    after = content(copied, "data/44k")
    changed = {key.rpartition(".wav.")[2] for key in before if before[key] != after[key]}
    assert changed <= {"f0.npy", "uv.npy"}
    assert "f0.npy" in changed


def test_training_refuses_checkpoints_of_other_settings(svc_jobs, copied):
    for stage in (["prepare", "--f0", "harvest"], ["features", "--device", "cpu"]):
        assert svc_jobs(stage[0], "-w", copied, *stage[1:]).code == 0
    ran = svc_jobs("train", "-w", copied, "--device", "cpu")
    assert ran.code == 78
    assert "f0_predictor was 'dio' and is 'harvest'" in ran.err


def test_features_in_shards_write_what_one_writes(svc_jobs, finished, tmp_path):
    other = tmp_path / "other"
    for part in ("raw", "app", "data"):
        shutil.copytree(finished / part, other / part)
    for path in (other / "data/44k").rglob("*"):
        if path.suffix in (".pt", ".npy"):
            path.unlink()
    shutil.rmtree(other / "data/prep/manifests/features")
    for index in (1, 0):
        assert svc_jobs("features", "-w", other, "--shard", index, "--shards", 2, "--device", "cpu").code == 0
    assert content(other, "data/44k") == content(finished, "data/44k")


@pytest.mark.parametrize("damage", ["remove", "truncate", "flip"])
def test_a_damaged_sidecar_is_made_again(svc_jobs, copied, damage):
    before = content(copied, "data/44k")
    path = sorted((copied / "data/44k").rglob("*.soft.pt"))[0]
    data = path.read_bytes()
    path.unlink()
    if damage != "remove":
        path.write_bytes(data[:-50] if damage == "truncate" else data[:-50] + bytes([data[-50] ^ 1]) + data[-49:])
    assert svc_jobs("features", "-w", copied, "--device", "cpu").code == 0
    assert content(copied, "data/44k") == before


def test_a_corrupt_sidecar_met_by_train_is_named_and_features_redoes_it(svc_jobs, copied):
    before = content(copied, "data/44k")
    key = (copied / "data/prep/filelists/train.txt").read_text().splitlines()[0]
    path = copied / f"{key}.f0.npy"
    stat = path.stat()
    path.write_bytes(b"\0" * stat.st_size)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # rot that no stamp tells
    assert svc_jobs("prepare", "-w", copied, "--steps", "8").code == 0
    ran = svc_jobs("train", "-w", copied, "--device", "cpu")
    assert ran.code == 66
    assert f"{key}.f0.npy" in ran.err
    assert svc_jobs("features", "-w", copied, "--device", "cpu").code == 0
    assert content(copied, "data/44k") == before
    assert svc_jobs("train", "-w", copied, "--device", "cpu").code == 0


def test_wavs_in_neither_list_are_left_alone_and_counted(svc_jobs, copied):
    wav = sorted((copied / "data/44k/alice/wavs").glob("*.wav"))[0]
    shutil.copy2(wav, wav.with_name("of-the-users-own.wav"))
    ran = svc_jobs("features", "-w", copied, "--device", "cpu", "--json")
    assert json.loads(ran.out)["facts"]["in_no_list"] == 1
    assert wav.with_name("of-the-users-own.wav").exists()


def test_features_killed_at_any_moment_finishes_next_time(svc_jobs, svc_jobs_process, finished, tmp_path):
    other = tmp_path / "other"
    for part in ("raw", "app", "data"):
        shutil.copytree(finished / part, other / part)
    for path in (other / "data/44k").rglob("*"):
        if path.suffix in (".pt", ".npy"):
            path.unlink()
    shutil.rmtree(other / "data/prep/manifests/features")
    process = svc_jobs_process("features", "-w", other, "--device", "cpu")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list((other / "data/44k").rglob("*.npy")):
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert svc_jobs("features", "-w", other, "--device", "cpu").code == 0
    for path in other.rglob(".tmp-*"):
        path.unlink()
    assert content(other, "data/44k") == content(finished, "data/44k")


def test_sigterm_in_training_saves_exits_75_and_goes_on_to_the_same_weights(
    svc_jobs, svc_jobs_process, copied, finished
):
    shutil.rmtree(copied / "logs")
    process = svc_jobs_process("train", "-w", copied, "--device", "cpu", "--json")
    for line in process.stderr:
        if json.loads(line).get("task") == "train":
            break
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert json.loads(out)["exit_code"] == 75
    saved = json.loads((copied / "logs/44k/alice/latest.json").read_text())["checkpoints"][0]["step"]
    assert saved >= 1
    assert svc_jobs("train", "-w", copied, "--device", "cpu").code == 0
    assert content(copied, "logs/44k/*/G_6.pth") == content(finished, "logs/44k/*/G_6.pth")


def test_a_second_training_in_one_folder_is_refused_and_costs_the_first_nothing(
    svc_jobs, svc_jobs_process, copied, finished
):
    shutil.rmtree(copied / "logs")
    first = svc_jobs_process("train", "-w", copied, "--device", "cpu", "-q")
    while not (copied / "logs").exists():
        assert first.poll() is None
        time.sleep(0.002)
    first.send_signal(signal.SIGSTOP)
    second = svc_jobs("train", "-w", copied, "--device", "cpu")
    first.send_signal(signal.SIGCONT)
    assert second.code == 75
    assert f"another job trains in {copied}" in second.err
    assert first.wait(timeout=60) == 0
    assert content(copied, "logs/44k/*/[GD]_*.pth") == content(finished, "logs/44k/*/[GD]_*.pth")
    assert svc_jobs("train", "-w", copied, "--device", "cpu").code == 0, "the lock ends with its process"


def test_a_second_speaker_joins_and_training_goes_on(svc_jobs, copied, recordings):
    recordings("bob", root=copied)
    ran = svc_jobs("run", "-w", copied, "--device", "cpu", "-q")
    assert ran.code == 78
    assert "before bob joined" in ran.err
    ran = svc_jobs("run", "-w", copied, "--steps", "8", "--device", "cpu", "-q")
    assert ran.code == 0, ran.err
    assert json.loads((copied / "data/44k/spk_map.json").read_text()) == {"alice": 0, "bob": 1}
    assert (copied / "logs/44k/alice/G_8.pth").is_file()
    assert (
        svc_jobs("convert", copied.parent / "song.wav", "--speaker", "bob", "-w", copied, "--transpose", "auto").code
        == 0
    )


def test_convert_without_a_workspace_from_a_release(svc_jobs, finished, tmp_path):
    out = tmp_path / "out.flac"
    song = finished.parent / "song.wav"
    ran = svc_jobs("convert", song, "--speaker", "alice", "--model", finished / "models/alice", "-o", out)
    assert ran.code == 0, ran.err
    assert soundfile.info(out).frames == soundfile.info(song).frames
    again = tmp_path / "pth.flac"
    (model,) = (finished / "models/alice").glob("G_*.pth")
    config = finished / "models/alice/config.json"
    assert svc_jobs("convert", song, "--speaker", "0", "--model", model, "--config", config, "-o", again).code == 0
    np.testing.assert_array_equal(soundfile.read(out)[0], soundfile.read(again)[0])


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--speaker", "nobody"], 78, "no speaker 'nobody'"),
        (["--speaker", "alice", "--transpose", "99"], 78, "-48 to 48"),
        (["--speaker", "alice", "--model", "absent"], 78, "absent does not exist"),
    ],
)
def test_convert_refuses_in_a_sentence(svc_jobs, finished, arguments, code, sentence):
    ran = svc_jobs("convert", finished.parent / "song.wav", "-w", finished, *arguments)
    assert ran.code == code
    assert sentence in ran.err


def test_other_options_make_another_file_and_the_same_ones_none(svc_jobs, copied):
    def convert(*options):
        ran = svc_jobs("convert", copied.parent / "song.wav", "-w", copied, "--speaker", "alice", "--json", *options)
        assert ran.code == 0, ran.err
        found = json.loads(ran.out)
        return found["skipped"], found["facts"]["outputs"][0]

    (_, usual), (skipped, higher) = convert(), convert("--transpose", "5")
    assert (skipped, usual) == (0, higher[: -len("-01234567.wav")] + ".wav")
    assert convert("--transpose", "5") == (1, higher)
    assert convert("--transpose", "0") == (1, usual)


@pytest.mark.parametrize("second", ["two/song.wav", "one/song.flac"])
def test_two_inputs_that_would_be_one_output_are_refused(svc_jobs, finished, tmp_path, second):
    inputs = [tmp_path / "one/song.wav", tmp_path / second]
    for path in inputs:
        path.parent.mkdir(exist_ok=True)
        shutil.copy(finished.parent / "song.wav", path)
    ran = svc_jobs("convert", *inputs, "--speaker", "alice", "-w", finished, "-o", tmp_path / "out")
    assert ran.code == 78
    assert all(str(path) in ran.err for path in inputs)
    assert not (tmp_path / "out").exists()


def test_a_format_that_is_not_written_is_no_folder(svc_jobs, finished, tmp_path):
    out = tmp_path / "out.mp3"
    arguments = ["convert", finished.parent / "song.wav", "--speaker", "alice", "-w", finished, "-o", out]
    ran = svc_jobs(*arguments)
    assert (ran.code, out.exists()) == (78, False)
    assert "only .wav and .flac" in ran.err
    out.mkdir()
    assert svc_jobs(*arguments).code == 0
    assert [path.name for path in out.iterdir()] == ["song-alice.wav"]


def test_convert_of_no_audio_is_bad_input(svc_jobs, finished, tmp_path):
    (tmp_path / "x.wav").write_text("not audio")
    ran = svc_jobs("convert", tmp_path / "x.wav", tmp_path / "absent.wav", "-w", finished, "--speaker", "alice")
    assert ran.code == 66
    assert ran.err.count("x.wav") == 1
