"""prepare, slice and filelists together: reruns, shards, kills, and the input of the real world."""

import hashlib
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from svc_core import files

SILENCE = np.zeros(8 * 16_000)


def tree(root: Path, *parts: str) -> dict[str, str]:
    """sha256 of every file below the parts of a workspace."""
    paths = [path for part in parts or ("data/44k",) for path in sorted((root / part).rglob("*")) if path.is_file()]
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def stamps(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def sliced(svc_jobs, recordings):
    root = recordings()
    for stage in ("prepare", "slice", "filelists"):
        assert svc_jobs(stage, "-w", root).code == 0
    return root


def test_a_second_run_writes_nothing_and_says_so(svc_jobs, sliced):
    before = stamps(sliced)
    for stage in ("prepare", "slice", "filelists"):
        ran = svc_jobs(stage, "-w", sliced)
        assert ran.code == 0
        assert ran.out.count("\n") == 1
        assert "already done" in ran.out
    assert stamps(sliced) == before


def test_shards_together_write_what_one_writes(svc_jobs, sliced, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(sliced / "raw", other / "raw")
    assert svc_jobs("prepare", "-w", other).code == 0
    for index in (2, 0, 1):
        assert svc_jobs("slice", "-w", other, "--shard", index, "--shards", 3).code == 0
    assert svc_jobs("filelists", "-w", other).code == 0
    assert tree(other, "data/44k", "data/prep/filelists", "app") == tree(
        sliced, "data/44k", "data/prep/filelists", "app"
    )


def test_another_number_of_shards_reuses_what_is_there(svc_jobs, sliced):
    ran = svc_jobs("slice", "-w", sliced, "--shard", 0, "--shards", 2)
    assert "already done" in ran.out


def test_a_copied_workspace_is_still_done(svc_jobs, sliced, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(sliced, copy, copy_function=shutil.copyfile)
    before = tree(copy)
    assert svc_jobs("prepare", "-w", copy).code == 0
    assert "already done" in svc_jobs("slice", "-w", copy).out
    assert tree(copy) == before


@pytest.mark.parametrize("damage", ["remove", "truncate", "change"])
def test_a_damaged_clip_is_made_again(svc_jobs, sliced, damage):
    before = tree(sliced)
    wav = sorted((sliced / "data/44k").rglob("*.wav"))[0]
    data = wav.read_bytes()
    if damage == "remove":
        wav.unlink()
    else:
        wav.write_bytes(data[:-100] if damage == "truncate" else data[:-1] + bytes([data[-1] ^ 1]))
    assert "sliced" in svc_jobs("slice", "-w", sliced).out
    assert tree(sliced) == before


def test_a_changed_recording_takes_its_old_clips_away(svc_jobs, sliced):
    old = {path.name for path in (sliced / "data/44k").rglob("*.wav") if path.name.startswith("take-0")}
    take = sliced / "raw/alice/take 0.flac"
    samples, rate = soundfile.read(take)
    soundfile.write(take, samples[rate:] * 0.5, rate)
    for stage in ("prepare", "slice", "filelists"):
        assert svc_jobs(stage, "-w", sliced).code == 0
    new = {path.name for path in (sliced / "data/44k").rglob("*.wav") if path.name.startswith("take-0")}
    assert new
    assert not new & old
    listed = (sliced / "data/prep/filelists/train.txt").read_text() + (
        sliced / "data/prep/filelists/val.txt"
    ).read_text()
    assert not any(name in listed for name in old)


@pytest.mark.parametrize("seed", range(4))
def test_slice_killed_at_any_moment_finishes_next_time(svc_jobs, svc_jobs_process, sliced, tmp_path, seed):
    other = tmp_path / "other"
    shutil.copytree(sliced / "raw", other / "raw")
    assert svc_jobs("prepare", "-w", other).code == 0
    process = svc_jobs_process("slice", "-w", other)
    wavs = other / "data/44k/alice/wavs"
    deadline = time.monotonic() + 60
    # Kill it when it has begun to write clips: a different one for each seed.
    while time.monotonic() < deadline and process.poll() is None:
        if wavs.is_dir() and len(os.listdir(wavs)) > seed:
            break
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert svc_jobs("slice", "-w", other).code == 0
    for path in list(other.rglob(".tmp-*")):
        path.unlink()
    assert tree(other) == tree(sliced)


def bad_file(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.wav"
    good = sorted(folder.glob("take*.flac"))[0]
    if kind == "zero-length":
        path.write_bytes(b"")
    elif kind == "truncated":
        path = folder / "truncated.flac"
        path.write_bytes(good.read_bytes()[:-2000])
    elif kind == "non-audio":
        path.write_bytes(os.urandom(5000))
    elif kind == "nan":
        soundfile.write(path, np.full(16_000, np.nan, dtype=np.float32), 16_000, subtype="FLOAT")
    elif kind == "silence":
        soundfile.write(path, SILENCE, 16_000)
    elif kind == "short":
        soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, 1600), 16_000)
    elif kind == "unreadable":
        shutil.copyfile(good, path)
        path.chmod(0)
    return path


BAD = ("zero-length", "truncated", "non-audio", "nan", "silence", "short", "unreadable")


@pytest.mark.parametrize("kind", BAD)
def test_one_poison_file_costs_that_file(svc_jobs_process, recordings, kind):
    root = recordings(count=2)
    path = bad_file(kind, root / "raw/alice")
    for stage in ("prepare", "slice", "filelists"):
        extra = ["--poison-share", "0.5"] if stage == "prepare" else []
        process = svc_jobs_process(stage, "-w", root, *extra)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    listed = (root / "data/prep/filelists/train.txt").read_text() + (root / "data/prep/filelists/val.txt").read_text()
    assert len(listed.splitlines()) >= 3
    assert path.stem not in listed


@pytest.mark.parametrize("kind", BAD)
def test_above_the_set_share_it_fails_naming_the_file(svc_jobs_process, recordings, kind):
    root = recordings(count=2)
    path = bad_file(kind, root / "raw/alice")
    codes, err = [], ""
    for stage in ("prepare", "slice", "filelists"):
        process = svc_jobs_process(stage, "-w", root)
        _, err = process.communicate(timeout=120)
        codes.append(process.returncode)
        if process.returncode:
            break
    assert codes[-1] == 66, err
    assert path.name in err.splitlines()[-1]
    assert "--poison-share" in err.splitlines()[-1]


def test_a_folder_that_became_a_speaker_by_mistake_is_said_and_can_be_taken_out_again(svc_jobs, sliced, recordings):
    recordings("out", count=1, seconds=2, root=sliced)
    assert "new speaker: out\n" in svc_jobs("prepare", "-w", sliced).out
    assert svc_jobs("slice", "-w", sliced).code == 0
    sentence = "if it was never meant to be a speaker and is in no checkpoint, remove its folders and its entry in"
    ran = svc_jobs("filelists", "-w", sliced)
    assert (ran.code, sentence in ran.err) == (66, True)
    for folder in ("raw/out", "data/44k/out"):
        shutil.rmtree(sliced / folder)
    ran = svc_jobs("prepare", "-w", sliced)
    assert (ran.code, sentence in ran.err) == (66, True)
    files.write_json(sliced / "data/44k/spk_map.json", {"alice": 0})
    for stage in ("prepare", "slice", "filelists"):
        assert svc_jobs(stage, "-w", sliced).code == 0


def test_one_is_not_said_as_many(svc_jobs, recordings):
    root = recordings(count=1)
    (root / "raw/alice/notes.txt").write_text("no recording")
    assert "ignored 1 file beside recordings" in svc_jobs("prepare", "-w", root, "-v").out
    assert "1 recording not sliced yet (the first: raw/alice/take 0.flac)" in svc_jobs("filelists", "-w", root).err


def test_too_many_files_that_are_no_sound_stop_slice_before_it_works(svc_jobs, recordings):
    root = recordings(count=1, seconds=2)
    (root / "raw/alice/text.wav").write_text("this is no sound, whatever its name says")
    assert svc_jobs("prepare", "-w", root).code == 0
    ran = svc_jobs("slice", "-w", root)
    assert ran.code == 66
    assert "1 of 2 recordings cannot be used" in ran.err
    assert "raw/alice/text.wav" in ran.err
    assert not list(root.rglob("manifests/slice"))


def test_what_lies_beside_the_speakers_is_said(svc_jobs, sliced):
    shutil.copyfile(sliced / "raw/alice/take 0.flac", sliced / "raw/loose.flac")
    assert svc_jobs("prepare", "-w", sliced).err == (
        "warning: raw/loose.flac lies beside the speakers: move it into raw/<speaker>/\n"
    )
    shutil.rmtree(sliced / "raw")
    ran = svc_jobs("prepare", "-w", sliced)
    assert ran.code == 0
    assert "raw/alice is gone" in ran.err


def test_odd_names_and_files_that_differ_by_suffix(svc_jobs, recordings):
    root = recordings(count=1)
    folder = root / "raw/alice"
    samples, rate = soundfile.read(folder / "take 0.flac")
    for number, name in enumerate(['it\'s "a" b.wav', "録音 一.flac", "x.wav", "x.flac", "-rf.wav"]):
        soundfile.write(folder / name, samples * (0.5 + 0.1 * number), rate)
    for stage in ("prepare", "slice", "filelists"):
        assert svc_jobs(stage, "-w", root).code == 0
    names = [path.name for path in (root / "data/44k/alice/wavs").glob("*.wav")]
    assert len(names) == len(set(names))
    assert all(name.isascii() and " " not in name for name in names)
    assert sum(name.startswith("x-") for name in names) >= 2


def test_a_read_only_workspace_is_a_matter_of_configuration(svc_jobs_process, recordings):
    root = recordings(count=1)
    for path in [root, root / "raw", root / "raw/alice"]:
        path.chmod(0o555)
    process = svc_jobs_process("prepare", "-w", root)
    _, err = process.communicate(timeout=60)
    root.chmod(0o755)
    assert process.returncode == 78
    assert "writable" in err
    assert err.count("\n") == 1


def test_a_full_disk_is_worth_another_try(svc_jobs, svc_jobs_process, recordings):
    import resource

    root = recordings(count=2)
    assert svc_jobs("prepare", "-w", root).code == 0
    # No file may grow beyond 100 kB: clips of more than a second cannot be written.
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # noqa: E731
    process = svc_jobs_process("slice", "-w", root, preexec_fn=limit)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "space" in err
    assert list((root / "data/44k/alice/wavs").iterdir()) == []
    assert svc_jobs("slice", "-w", root).code == 0


def test_sigterm_ends_slice_with_75_and_keeps_what_is_finished(svc_jobs, svc_jobs_process, recordings):
    root = recordings(count=6, seconds=30)
    assert svc_jobs("prepare", "-w", root).code == 0
    process = svc_jobs_process("slice", "-w", root)
    records = root / "data/prep/manifests/slice/alice"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(records.glob("[!.]*.json")):
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "told to stop" in err
    assert not list(root.rglob(".tmp-*"))
    kept = len(list(records.glob("[!.]*.json")))
    assert 1 <= kept < 6
    assert svc_jobs("slice", "-w", root, "--json").out.count(f'"skipped": {kept}') == 1
