"""The split: stable, never empty, never leaking a recording once there are ten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core import filelists, layout
from svc_core.audio.prepare import ClipRecord, RecordingRecord
from svc_core.config import ShardBlock, SplitBlock
from svc_core.errors import BadInput
from svc_core.files import sha256_bytes
from svc_core.manifest import FileRecord

SPLIT = SplitBlock()


def recording(speaker: str, number: int, clips: int, seconds: float = 6.0) -> RecordingRecord:
    key = f"raw/{speaker}/take {number}.wav"
    sha = sha256_bytes(key.encode())
    made = [
        ClipRecord(
            file=FileRecord(
                key=layout.wav_key(speaker, layout.clip_name(key, sha, start)), sha256=sha, size=1, stamp="mtime:0"
            ),
            start_ms=start,
            end_ms=start + int(seconds * 1000),
            first_sample=0,
            end_sample=int(seconds * 44_100),
            samples=int(seconds * 44_100),
            peak_dbfs=-3.0,
            rms_dbfs=-20.0,
        )
        for start in range(0, clips * 10_000, 10_000)
    ]
    source = FileRecord(key=key, sha256=sha, size=1, stamp="mtime:0")
    return RecordingRecord(
        source=source, speaker=speaker, settings="", rate_hz=44_100, channels=1, container="wav",
        duration_s=clips * 10.0, loudness_lufs=-23.0, true_peak_dbtp=-3.0, gain_db=0.0, notes=(), clips=tuple(made),
        dropped=(), error=None,
    )  # fmt: skip


def sides(made) -> dict[str, str]:
    return {clip.key: clip.side for clip in made.clips}


takes = st.lists(st.integers(1, 6), min_size=1, max_size=25).filter(lambda counts: sum(counts) >= 3)


@given(takes, st.floats(0, 0.49), st.integers(0, 50))
def test_both_sides_get_enough_and_a_rerun_changes_nothing(counts, share, seed):
    split = SplitBlock(val_share=share, seed=seed)
    records = [recording("a", number, count) for number, count in enumerate(counts)]
    made = filelists.build(records, ["a"], {}, split, ShardBlock())
    assert sum(clip.side == "val" for clip in made.clips) >= 2
    assert any(clip.side == "train" for clip in made.clips)
    assert len(made.clips) == sum(counts)
    assert filelists.build(records, ["a"], sides(made), split, ShardBlock()) == made


@given(takes, takes, st.floats(0, 0.49))
def test_adding_recordings_never_moves_an_old_clip(counts, more, share):
    split = SplitBlock(val_share=share)
    records = [recording("a", number, count) for number, count in enumerate(counts)]
    before = sides(filelists.build(records, ["a"], {}, split, ShardBlock()))
    added = [recording("a", 100 + number, count) for number, count in enumerate(more)]
    after = sides(filelists.build(records + added, ["a"], before, split, ShardBlock()))
    assert {key: after[key] for key in before} == before


@given(st.lists(st.integers(1, 6), min_size=10, max_size=25), st.floats(0, 0.49))
def test_with_ten_recordings_all_clips_of_one_fall_on_one_side(counts, share):
    records = [recording("a", number, count) for number, count in enumerate(counts)]
    made = filelists.build(records, ["a"], {}, SplitBlock(val_share=share), ShardBlock())
    by_recording: dict[str, set[str]] = {}
    for clip in made.clips:
        by_recording.setdefault(clip.recording, set()).add(clip.side)
    assert all(len(found) == 1 for found in by_recording.values())


def test_a_recording_cut_anew_stays_on_its_side():
    records = [recording("a", number, 3) for number in range(12)]
    before = sides(filelists.build(records, ["a"], {}, SPLIT, ShardBlock()))
    again = [
        record.model_copy(update={"clips": (*record.clips, recording("a", number, 9).clips[8])})
        for number, record in enumerate(records)
    ]
    after = filelists.build(again, ["a"], before, SPLIT, ShardBlock())
    for clip in after.clips:
        assert clip.side == next(before[other.file.key] for other in records[int(clip.recording[11:-4])].clips)


@pytest.mark.parametrize(("clips", "missing"), [(0, 3), (1, 2), (2, 1)])
def test_too_little_says_how_much_more_is_needed(clips, missing):
    with pytest.raises(BadInput, match=f"speaker 'a' .* add recordings for {missing} more clips"):
        filelists.build([recording("a", 0, clips)], ["a"], {}, SPLIT, ShardBlock())


def test_every_short_speaker_is_named_at_once():
    records = [recording("a", 0, 1), recording("b", 0, 2), recording("c", 0, 5)]
    with pytest.raises(BadInput) as caught:
        filelists.build(records, ["a", "b", "c"], {}, SPLIT, ShardBlock())
    assert "'a'" in str(caught.value)
    assert "'b'" in str(caught.value)
    assert "'c'" not in str(caught.value)


def test_the_lists_hold_one_key_per_line_in_order():
    made = filelists.build([recording("a", 0, 5)], ["a"], {}, SPLIT, ShardBlock())
    lines = (made.lines("train") + made.lines("val")).splitlines()
    assert sorted(lines) == [clip.key for clip in made.clips]
    assert filelists.parse_list(made.lines("val"), "val", "val.txt") == {
        clip.key: "val" for clip in made.clips if clip.side == "val"
    }


def test_a_line_that_is_no_clip_is_refused():
    with pytest.raises(BadInput, match=r"val\.txt.*not the key of a clip.*remove it, then run filelists"):
        filelists.parse_list("dataset/44k/a/x.wav\n", "val", "val.txt")
