"""Files that cannot be used: each ends in one BadInput sentence that names the file."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from svc_core.audio import io
from svc_core.errors import BadInput


def sentence(path) -> str:
    """What reading the whole file says, having checked that it is one sentence with the path and advice."""
    with pytest.raises(BadInput) as caught:
        list(io.stream(path))
    text = str(caught.value)
    assert text.startswith(str(path))
    assert ": " in text
    assert "\n" not in text
    return text


def cut(path, share: float = 0.6):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize("kind", ["wav", "rf64", "w64", "aiff", "caf", "au", "flac", "ogg", "opus"])
def test_truncated_files_of_libsndfile_are_found(tmp_path, tone, kind):
    path = tmp_path / f"a.{kind}"
    container = {"opus": "OGG"}.get(kind, kind.upper())
    soundfile.write(path, tone(3, 48_000), 48_000, format=container, subtype={"opus": "OPUS"}.get(kind))
    assert "truncated" in sentence(cut(path)) or "damaged" in sentence(path)


@pytest.mark.parametrize(
    ("suffix", "codec", "container", "options"),
    [
        ("mp3", "libmp3lame", "mp3", {}),
        ("m4a", "aac", "ipod", {}),
        ("m4a", "aac", "ipod", {"movflags": "faststart"}),
        ("webm", "libopus", "webm", {}),
        ("mka", "aac", "matroska", {}),
        ("wv", "wavpack", "wv", {}),
        ("aac", "aac", "adts", {}),
    ],
)
def test_truncated_files_of_ffmpeg_are_found(tmp_path, tone, write_av, suffix, codec, container, options):
    path = write_av(tmp_path / f"a.{suffix}", tone(4, 48_000), 48_000, codec, container=container, options=options)
    sentence(cut(path))


@pytest.mark.parametrize("container", ["mp4", "matroska", "avi"])
def test_truncated_videos_are_found(tmp_path, tone, write_av, container):
    codec = "libmp3lame" if container == "avi" else "aac"
    sentence(cut(write_av(tmp_path / "v", tone(4, 48_000), 48_000, codec, container=container, video=True)))


def test_one_missing_sample_of_a_wav_is_found(tmp_path, tone):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(1, 16_000), 16_000)
    path.write_bytes(path.read_bytes()[:-2])
    assert "promises 2 bytes more" in sentence(path)


def test_a_wav_with_more_after_its_sound_is_whole(tmp_path, tone):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(1, 16_000), 16_000)
    path.write_bytes(path.read_bytes() + b"LIST\x04\0\0\0INFO")
    assert sum(map(len, io.stream(path))) == 16_000


def test_damage_in_the_middle_of_a_flac_is_found(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 144_000), 48_000)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 500] = np.random.default_rng(1).bytes(500)
    path.write_bytes(content)
    assert "damaged" in sentence(path)


@pytest.mark.parametrize(
    "content",
    [
        b"hello, this is text\n" * 100,
        b"\0" * 100_000,
        b"RIFF" + b"\0" * 100_000,
        b"RIFF\x24\0\0\0WAVE" + b"\0" * 100_000,
        b"OggS",
        b"OggS\0" + b"\xff" * 50,
        b"fLaC",
        b"ID3",
        b"\xff\xfb",
        b"x",
        b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n",
        b"ffconcat version 1.0\nfile 'other.wav'\n",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 1000,
    ],
    ids=lambda content: repr(content[:12]),
)
def test_what_is_no_sound_is_refused(tmp_path, tone, content):
    soundfile.write(tmp_path / "other.wav", tone(1, 16_000), 16_000)
    for name in ("a.wav", "a.mp3", "a.m3u8", "a.ffconcat", "a.raw", "a.txt"):
        path = tmp_path / name
        path.write_bytes(content)
        sentence(path)
        with pytest.raises(BadInput):
            io.probe(path)


def test_random_bytes_are_refused(tmp_path):
    for seed in range(20):
        path = tmp_path / "noise.bin"
        path.write_bytes(np.random.default_rng(seed).bytes(20_000))
        sentence(path)


def test_an_image_and_a_silent_video_hold_no_sound(tmp_path):
    import av

    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as sink:
        pictures = sink.add_stream("mpeg4", rate=10)
        pictures.width = pictures.height = 64
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            frame.pts = number
            sink.mux(pictures.encode(frame))
        sink.mux(pictures.encode(None))
    assert "holds no sound" in sentence(path)


def test_an_empty_file_and_a_file_without_samples_are_refused(tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    assert "empty (0 bytes)" in sentence(tmp_path / "empty.wav")
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16_000)
    assert "holds no samples" in sentence(tmp_path / "none.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_values_that_are_no_sound_are_found_anywhere(tmp_path, tone, value):
    samples = tone(5, 8_000)
    samples[39_000] = value
    soundfile.write(tmp_path / "a.wav", samples, 8_000, subtype="FLOAT")
    assert "no sound after 4.0 s" in sentence(tmp_path / "a.wav")


def test_integers_stored_as_floats_are_sound(tmp_path, tone):
    samples = tone(1, 8_000) * 2.0**31
    soundfile.write(tmp_path / "a.wav", samples, 8_000, subtype="FLOAT")
    np.testing.assert_array_equal(np.concatenate(list(io.stream(tmp_path / "a.wav"))), samples)


@pytest.mark.parametrize(("rate_hz", "works"), [(7_999, False), (8_000, True), (192_000, True), (192_001, False)])
def test_rates_outside_8_to_192_khz_are_refused(tmp_path, tone, rate_hz, works):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(0.1, rate_hz), rate_hz)
    if works:
        assert io.probe(path).rate_hz == rate_hz
    else:
        assert f"sample rate of {rate_hz} Hz" in sentence(path)


def test_a_path_that_cannot_be_opened_is_refused(tmp_path):
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.wav").mkdir()
    for name in ("missing.wav", "loop.wav", "pipe.wav", "folder.wav"):
        sentence(tmp_path / name)


def test_a_file_without_permission_is_refused(tmp_path, tone):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(0.1, 16_000), 16_000)
    path.chmod(0)
    # Root may read anything unless it gives up that power.
    weaken = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    code = "import sys, pathlib; from svc_core.audio import io; io.probe(pathlib.Path(sys.argv[1]))"
    done = subprocess.run([*weaken, sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert "BadInput" in done.stderr
    assert f"{path} cannot be read (Permission denied)" in done.stderr


def test_a_stream_stopped_early_closes_its_file(tmp_path, tone, write_av):
    soundfile.write(tmp_path / "a.flac", tone(3, 48_000), 48_000)
    write_av(tmp_path / "a.mp3", tone(3, 48_000), 48_000, "libmp3lame", container="mp3")
    before = set(os.listdir("/proc/self/fd"))
    for name in ("a.flac", "a.mp3"):
        blocks = io.stream(tmp_path / name, block_s=0.1)
        next(blocks)
        blocks.close()
        io.probe(tmp_path / name)
    assert set(os.listdir("/proc/self/fd")) == before


def test_decoders_write_nothing_to_the_terminal(tmp_path, tone, write_av, capfd):
    write_av(tmp_path / "a.mp3", tone(4, 48_000), 48_000, "libmp3lame", container="mp3")
    write_av(tmp_path / "a.m4a", tone(4, 48_000), 48_000, "aac", container="ipod", options={"movflags": "faststart"})
    capfd.readouterr()
    for name in ("a.mp3", "a.m4a"):
        sentence(cut(tmp_path / name))
    assert capfd.readouterr() == ("", "")
