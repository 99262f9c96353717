"""The door of the slice stage: recordings that cannot be used, and places that cannot be written."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from recordings import talk, wavs

from svc_core import files
from svc_core.audio.prepare import RecordingRecord, prepare_recording
from svc_core.config import LoudnessBlock, SliceBlock
from svc_core.errors import BadInput
from svc_core.manifest import FileRecord


def poison(path: Path, kind: str, whole: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "text":
        path.write_text("hello\n" * 100)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "nan at the end":
        soundfile.write(path, np.append(whole, np.nan), 16_000, subtype="FLOAT", format="WAV")
    elif kind.startswith("truncated"):
        soundfile.write(path, whole, 16_000, format=kind.split()[1])
        path.write_bytes(path.read_bytes()[:-2000])
    elif kind == "rate":
        soundfile.write(path, whole, 4_000)


POISON = ["text", "empty", "folder", "pipe", "loop", "missing", "nan at the end", "rate"]
POISON += ["truncated WAV", "truncated FLAC", "truncated OGG"]


@pytest.mark.parametrize("kind", POISON)
def test_a_poison_file_gives_a_record_with_one_sentence(tmp_path, kind):
    key = "raw/alice/it's a take.wav"
    poison(tmp_path / key, kind, talk(20, 16_000))
    record = prepare_recording(tmp_path, key, SliceBlock(), LoudnessBlock())
    assert (record.clips, record.dropped) == ((), ())
    assert record.error.startswith(key)
    assert ": " in record.error
    assert str(tmp_path) not in record.error
    assert not (tmp_path / "data").exists()
    # What could not be read is never taken for unchanged.
    assert (record.source.size == -1) == (kind in ("folder", "pipe", "loop", "missing"))


CHANGE_AT_FIRST_CLIP = """
import os, pathlib, sys
from svc_core.audio.prepare import prepare_recording
from svc_core.config import LoudnessBlock, SliceBlock
root, change = pathlib.Path(sys.argv[1]), sys.argv[2]
source = root / "raw/alice/take.wav"
done = []
def at_rename(event, arguments):
    if event == "os.rename" and not done:
        done.append(True)
        data = source.read_bytes()
        if change == "content":
            source.write_bytes(data[:-4000] + bytes(4000))
        elif change == "shorter":
            source.write_bytes(data[: len(data) // 3])
        elif change == "gone":
            source.unlink()
        elif change == "touched":
            os.utime(source, (1, 1))
sys.addaudithook(at_rename)
print(prepare_recording(root, "raw/alice/take.wav", SliceBlock(), LoudnessBlock()).model_dump_json())
"""


@pytest.mark.parametrize("change", ["content", "shorter", "gone", "touched"])
def test_a_file_that_changes_between_the_two_reads_is_refused(tmp_path, upload, change):
    upload(talk(60, 16_000), 16_000)
    command = [sys.executable, "-c", CHANGE_AT_FIRST_CLIP, str(tmp_path), change]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    record = RecordingRecord.model_validate_json(done.stdout)
    if change == "touched":
        assert record.error is None
        assert wavs(tmp_path) == sorted(clip.file.key for clip in record.clips)
    else:
        assert record.error.startswith("raw/alice/take.wav ")
        assert record.clips == ()
        assert wavs(tmp_path) == []


def test_a_clip_that_cannot_be_written_raises(tmp_path, upload):
    key = upload(talk(6, 16_000), 16_000)
    (tmp_path / "data").write_text("a file in the way")
    with pytest.raises(OSError, match="data"):
        prepare_recording(tmp_path, key, SliceBlock(), LoudnessBlock())


@pytest.mark.parametrize("key", ["../raw/a/b.wav", "/raw/a/b.wav", "data/44k/a/b.wav", "raw/b.wav"])
def test_a_key_that_is_no_recording_raises(tmp_path, key):
    with pytest.raises(BadInput):
        prepare_recording(tmp_path, key, SliceBlock(), LoudnessBlock())


class Sink:
    """Keeps clips in memory; changes the recording when it gets its first."""

    def __init__(self, source: Path | None = None) -> None:
        self.clips: dict[str, bytes] = {}
        self._source = source

    def write(self, key: str, data: bytes) -> FileRecord:
        if self._source is not None:
            self._source.write_bytes(b"another upload")
        self.clips[key] = data
        return FileRecord(key=key, sha256=files.sha256_bytes(data), size=len(data), stamp="")

    def drop(self, keys: Sequence[str]) -> None:
        for key in keys:
            del self.clips[key]


def test_clips_go_to_a_sink_instead_of_the_folder(tmp_path, upload):
    key, sink = upload(talk(20, 16_000), 16_000), Sink()
    record = prepare_recording(tmp_path, key, SliceBlock(), LoudnessBlock(), sink)
    assert wavs(tmp_path) == []
    prepare_recording(tmp_path, key, SliceBlock(), LoudnessBlock())
    assert sink.clips == {clip.file.key: (tmp_path / clip.file.key).read_bytes() for clip in record.clips}


def test_a_sink_gives_back_the_clips_of_a_recording_that_is_refused(tmp_path, upload):
    key = upload(talk(60, 16_000), 16_000)
    sink = Sink(tmp_path / key)
    record = prepare_recording(tmp_path, key, SliceBlock(), LoudnessBlock(), sink)
    assert record.error
    assert sink.clips == {}
