"""Speakers, ids, voice, shards, and what a raw folder of the real world holds."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from svc_core import layout, plan, settings, speakers
from svc_core.errors import BadInput, ConfigError
from svc_core.raw import RawFolder
from svc_core.shards import shard


@dataclass(frozen=True)
class Job:
    key: str
    cost_s: float


@given(st.lists(st.floats(0.1, 1e4), max_size=40), st.integers(1, 8))
def test_shards_cover_everything_once_and_are_balanced(costs, count):
    jobs = [Job(f"k{number:03}", cost) for number, cost in enumerate(costs)]
    parts = [shard(jobs, index, count) for index in range(count)]
    assert sorted(job.key for part in parts for job in part) == [job.key for job in jobs]
    loads = [sum(job.cost_s for job in part) for part in parts]
    # Longest-first onto the lightest part never leaves parts further apart than the longest job.
    assert max(loads) - min(loads) <= max(costs, default=0) + 1e-6
    assert shard(list(reversed(jobs)), 0, count) == parts[0]


@pytest.mark.parametrize(("index", "count"), [(1, 1), (-1, 2), (0, 0), (5, 3)])
def test_a_shard_that_does_not_exist_is_refused(index, count):
    with pytest.raises(ConfigError, match="--shard must be"):
        shard([], index, count)


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=4), max_size=6))
def test_ids_are_append_only_and_dense(batches):
    ids: dict[str, int] = {}
    for batch in batches:
        grown = speakers.assign_ids(ids, batch)
        assert {name: grown[name] for name in ids} == ids
        ids = grown
    assert sorted(ids.values()) == list(range(len(ids)))


def tone(path: Path, seconds: float = 1.0, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).uniform(-0.1, 0.1, int(seconds * 16_000))
    soundfile.write(path, samples, 16_000)
    return path


def make(root: Path, named=(), previous=None):
    raw = RawFolder(root)
    names = speakers.find_speakers(raw, named, [])
    scanned = plan.scan(raw, plan.listing(raw, names), previous)
    config = settings.build(None, "v", speakers.assign_ids({}, names), {})
    return plan.make(raw, config, scanned, lambda speaker: (root / layout.wavs_dir(speaker)).is_dir())


def test_what_a_folder_of_the_real_world_holds(tmp_path):
    tone(tmp_path / "raw/alice/session one/a b 'c' \"d\".wav", seed=1)
    tone(tmp_path / "raw/alice/Ünïcödé 録音.flac", 2.0, seed=2)
    tone(tmp_path / "raw/alice/same.wav", seed=1)
    (tmp_path / "raw/alice/.DS_Store").write_bytes(b"junk")
    (tmp_path / "raw/alice/transcript.txt").write_text("hello")
    (tmp_path / "raw/alice/LICENSE").write_text("CC BY 4.0")
    (tmp_path / "raw/alice/empty.wav").write_bytes(b"")
    (tmp_path / "raw/alice/text.wav").write_text("this is no sound, whatever its name says")
    (tmp_path / "raw/alice/__MACOSX").mkdir()
    tone(tmp_path / "raw/alice/__MACOSX/x.wav")
    (tmp_path / "raw/.ipynb_checkpoints").mkdir()
    made = make(tmp_path)
    assert made.speakers_without_raw == ()
    assert {Path(item.key).name for item in made.to_slice()} == {"same.wav", "Ünïcödé 録音.flac"}
    assert {Path(item.key).name for item in made.recordings if item.error} == {"empty.wav", "text.wav"}
    assert sum(item.duplicate_of is not None for item in made.recordings) == 1
    assert len(made.ignored) == 3
    assert sum(item.seconds for item in made.to_slice()) == pytest.approx(3.0)


def test_an_unchanged_file_is_not_opened_again(tmp_path):
    path = tone(tmp_path / "raw/alice/a.wav")
    before = make(tmp_path)
    stat = path.stat()
    path.write_bytes(b"x" * stat.st_size)
    import os

    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert make(tmp_path, previous=before) == before
    os.utime(path, ns=(0, 0))
    with pytest.raises(BadInput, match="no usable audio"):
        make(tmp_path, previous=before)


def test_a_file_behind_a_link_is_seen_to_change_and_a_link_to_nothing_is_reported(tmp_path):
    path = tone(tmp_path / "elsewhere.wav")
    (tmp_path / "raw/alice").mkdir(parents=True)
    (tmp_path / "raw/alice/linked.wav").symlink_to(path)
    before = make(tmp_path)
    tone(path, seconds=2.0)
    assert [item.seconds for item in make(tmp_path, previous=before).to_slice()] == [2.0]
    (tmp_path / "raw/alice/nothing.wav").symlink_to(tmp_path / "absent.wav")
    (bad,) = (item for item in make(tmp_path).recordings if item.error)
    assert "nothing.wav" in bad.error


def test_recordings_that_are_not_taken_are_named(tmp_path):
    tone(tmp_path / "raw/alice/a.wav")
    tone(tmp_path / "raw/loose.flac")
    tone(tmp_path / "elsewhere/b.wav")
    (tmp_path / "raw/alice/inner").mkdir()
    for link in ("raw/alice/inner/linked", "raw/alice/.hidden", "raw/bob"):
        (tmp_path / link).symlink_to(tmp_path / "elsewhere")
    for name in (".DS_Store", "README", "notes.txt"):
        (tmp_path / "raw" / name).write_text("no recording")
    raw = RawFolder(tmp_path)
    assert raw.overlooked(raw.speakers()) == [
        "raw/loose.flac lies beside the speakers: move it into raw/<speaker>/",
        "raw/alice/inner/linked is a link to a folder and is not followed: copy it",
    ]


def test_missing_and_empty_raw_folders(tmp_path):
    with pytest.raises(BadInput, match="has no speaker"):
        make(tmp_path)
    (tmp_path / "raw/alice").mkdir(parents=True)
    with pytest.raises(BadInput, match="no usable audio among 0 files: put recordings into it"):
        make(tmp_path)
    tone(tmp_path / "raw/alice/a.wav")
    tone(tmp_path / "raw/bob/b.wav")
    with pytest.raises(BadInput, match=r"among 1 file: raw/bob/b\.wav has the content of raw/alice/a\.wav"):
        make(tmp_path)
    shutil.rmtree(tmp_path / "raw/bob")
    with pytest.raises(BadInput, match="does not exist"):
        make(tmp_path, named=["bob"])


def test_the_voice_is_the_only_speaker_or_given_and_then_stays(tmp_path):
    assert speakers.find_voice(tmp_path, None, ["alice"]) == "alice"
    assert speakers.find_voice(tmp_path, "duo", ["alice", "bob"]) == "duo"
    with pytest.raises(ConfigError, match="--voice"):
        speakers.find_voice(tmp_path, None, ["alice", "bob"])
    path = tmp_path / layout.config_key("duo")
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    assert speakers.find_voice(tmp_path, None, ["alice"]) == "duo"
    with pytest.raises(ConfigError, match="stays it"):
        speakers.find_voice(tmp_path, "other", ["alice"])


@pytest.mark.parametrize("content", ["{", "[1]", '{"a": "0"}', '{"a": 0, "b": 0}', '{"a": -1}', '{"a": true}'])
def test_a_damaged_speaker_map_is_never_guessed(content, tmp_path):
    path = tmp_path / layout.SPEAKER_MAP
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(ConfigError, match="restore it"):
        speakers.read_speaker_map(tmp_path)


def test_changed_settings_say_what_they_redo(tmp_path):
    tone(tmp_path / "raw/alice/a.wav")
    before = make(tmp_path)
    config = settings.build(None, "v", {"alice": 0}, {"svc_jobs.features.f0_predictor": "dio"})
    said = plan.consequences(before, plan.settings_facts(config))
    assert [sentence.split(" changed")[0] for sentence in said] == ["f0 predictor", "network"]
    assert plan.consequences(before, before.settings) == []


def test_the_plan_survives_the_disk(tmp_path):
    tone(tmp_path / "raw/alice/a.wav")
    made = make(tmp_path)
    made.write(tmp_path / "plan.json")
    assert plan.SlicePlan.read(tmp_path / "plan.json") == made
    assert json.loads((tmp_path / "plan.json").read_text())["voice"] == "v"
