"""Every format of an upload: its header, and its sound as one mono stream."""

import numpy as np
import pytest
import soundfile

from svc_core.audio import io

# One row per container: suffix, soundfile's names, rate in Hz, and the largest error of a decoded sample: half a step
# of PCM16 (truncated by libsndfile: one step), half a step of 8 bits, 0 for float.
LOSSLESS = [
    ("wav", {"format": "WAV", "subtype": "PCM_16"}, 44_100, 2**-15),
    ("wav", {"format": "WAV", "subtype": "PCM_U8"}, 8_000, 2**-7),
    ("wav", {"format": "WAV", "subtype": "PCM_24"}, 96_000, 2**-23),
    ("wav", {"format": "WAV", "subtype": "FLOAT"}, 192_000, 0),
    ("wav", {"format": "WAV", "subtype": "DOUBLE"}, 11_025, 0),
    ("wav", {"format": "RF64", "subtype": "PCM_16"}, 48_000, 2**-15),
    ("w64", {"format": "W64", "subtype": "PCM_16"}, 48_000, 2**-15),
    ("aiff", {"format": "AIFF", "subtype": "PCM_16"}, 32_000, 2**-15),
    ("caf", {"format": "CAF", "subtype": "PCM_16"}, 48_000, 2**-15),
    ("au", {"format": "AU", "subtype": "PCM_16"}, 22_050, 2**-15),
    ("flac", {"format": "FLAC", "subtype": "PCM_16"}, 48_000, 2**-15),
    ("flac", {"format": "FLAC", "subtype": "PCM_24"}, 44_100, 2**-23),
]


@pytest.mark.parametrize(("suffix", "kind", "rate_hz", "tolerance"), LOSSLESS)
def test_lossless_formats_give_their_samples(tmp_path, tone, suffix, kind, rate_hz, tolerance):
    samples = tone(0.5, rate_hz)
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, samples, rate_hz, **kind)

    header = io.probe(path)
    assert (header.rate_hz, header.channels) == (rate_hz, 1)
    assert header.duration_s == pytest.approx(0.5, abs=1 / rate_hz)
    blocks = list(io.stream(path))
    assert all(block.dtype == np.float32 and block.ndim == 1 for block in blocks)
    np.testing.assert_allclose(np.concatenate(blocks), samples, rtol=0, atol=tolerance)


# Codec, container, rate, options. Lossy codecs may add padding, and need not keep the phase: level and pitch decide.
LOSSY = [
    ("mp3", "libmp3lame", "mp3", 44_100, {}),
    ("mp3", "libmp3lame", "mp3", 48_000, {"write_xing": "0", "id3v2_version": "0"}),
    ("ogg", "libopus", "ogg", 48_000, {}),
    ("m4a", "aac", "ipod", 44_100, {}),
    ("m4a", "aac", "ipod", 48_000, {"movflags": "faststart"}),
    ("mp4", "aac", "mp4", 48_000, {"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"}),
    ("m4a", "alac", "ipod", 44_100, {}),
    ("aac", "aac", "adts", 32_000, {}),
    ("webm", "libopus", "webm", 48_000, {}),
    ("mka", "aac", "matroska", 48_000, {}),
    ("ts", "aac", "mpegts", 48_000, {}),
    ("g722", "g722", "g722", 16_000, {}),
    ("wv", "wavpack", "wv", 44_100, {}),
    ("wav", "pcm_mulaw", "wav", 8_000, {}),
]


@pytest.mark.parametrize(("suffix", "codec", "container", "rate_hz", "options"), LOSSY)
def test_every_other_format_keeps_length_level_and_pitch(
    tmp_path, tone, write_av, suffix, codec, container, rate_hz, options
):
    path = write_av(tmp_path / f"a.{suffix}", tone(2, rate_hz), rate_hz, codec, container=container, options=options)
    header = io.probe(path)
    assert (header.rate_hz, header.channels) == (rate_hz, 1)
    assert_is_tone(path, rate_hz, 2)


def test_vorbis_and_opus_of_libsndfile_are_read(tmp_path, tone):
    for name, subtype in (("a.ogg", "VORBIS"), ("a.opus", "OPUS")):
        soundfile.write(tmp_path / name, tone(2, 48_000), 48_000, format="OGG", subtype=subtype)
        assert_is_tone(tmp_path / name, 48_000, 2)


@pytest.mark.parametrize(("suffix", "container"), [("mp4", "mp4"), ("mkv", "matroska"), ("avi", "avi")])
def test_sound_of_a_video_is_read(tmp_path, tone, write_av, suffix, container):
    codec = "libmp3lame" if container == "avi" else "aac"
    path = write_av(tmp_path / f"v.{suffix}", tone(2, 48_000), 48_000, codec, container=container, video=True)
    assert_is_tone(path, 48_000, 2)


def assert_is_tone(path, rate_hz: int, duration_s: float) -> None:
    samples = np.concatenate(list(io.stream(path)))
    # Two frames of padding of the longest frame, 2048 samples.
    assert abs(len(samples) - duration_s * rate_hz) <= 2 * 2048
    middle = samples[rate_hz // 2 : rate_hz // 2 + rate_hz]
    spectrum = np.abs(np.fft.rfft(middle))
    # One second of signal: bins are 1 Hz apart.
    assert abs(int(spectrum.argmax()) - 440) <= 1
    # A sine of 0.25 has an RMS of 0.177; mu-law's steps near that level are 3 %, the other codecs stay within 2 %.
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.25 / np.sqrt(2), rel=0.05)


def test_channels_are_averaged(tmp_path, tone):
    left = tone(0.2, 44_100)
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([left, -left / 2], axis=1), 44_100, subtype="FLOAT")
    assert io.probe(path).channels == 2
    # Exact: both products are halves.
    np.testing.assert_array_equal(np.concatenate(list(io.stream(path))), (left - left / 2) / 2)


@pytest.mark.parametrize("container", ["wav", "m4a"])
def test_six_channels_are_averaged(tmp_path, tone, write_av, container):
    path, samples = tmp_path / f"surround.{container}", tone(2, 48_000)
    if container == "wav":
        soundfile.write(path, np.repeat(samples[:, None], 6, axis=1), 48_000)
    else:
        write_av(path, samples, 48_000, "aac", container="ipod", layout="5.1")
    assert io.probe(path).channels == 6
    # AAC codes the LFE channel with a low-pass, so that one of six may be missing: 17 % of the level.
    block = np.concatenate(list(io.stream(path)))[24_000:72_000]
    assert np.sqrt(np.mean(block**2)) == pytest.approx(0.25 / np.sqrt(2), rel=0.18)


def test_integer_formats_of_ffmpeg_have_full_scale_at_one(tmp_path, write_av):
    # pcm_u8 in matroska is decoded by FFmpeg; 255 of 8 bits stands for 127/128.
    path = write_av(tmp_path / "a.mka", np.ones(8_000, np.float32), 8_000, "pcm_u8", container="matroska")
    np.testing.assert_array_equal(np.concatenate(list(io.stream(path))), np.full(8_000, 127 / 128, np.float32))


def test_an_mp3_without_a_length_header_is_read_whole(tmp_path, write_av):
    """libsndfile returns a quarter of such a file: quiet and loud seconds, so that a bit rate tells nothing."""
    rng = np.random.default_rng(0)
    loud = np.repeat(rng.random(20) > 0.5, 24_000)
    samples = (0.2 * rng.standard_normal(len(loud)) * loud).astype(np.float32)
    options = {"write_xing": "0", "id3v2_version": "0"}
    path = write_av(tmp_path / "a.mp3", samples, 48_000, "libmp3lame", container="mp3", options=options)
    # Encoder delay and padding: at most three frames of 1152 samples.
    assert 0 <= sum(map(len, io.stream(path))) - len(samples) <= 3 * 1152


def test_an_ogg_of_two_streams_is_read_whole(tmp_path, tone):
    """libsndfile returns the first stream only."""
    soundfile.write(tmp_path / "one.ogg", tone(1, 48_000), 48_000)
    (tmp_path / "two.ogg").write_bytes(2 * (tmp_path / "one.ogg").read_bytes())
    # Vorbis pads the last block of a stream: at most 2048 samples.
    assert 0 <= sum(map(len, io.stream(tmp_path / "two.ogg"))) - 96_000 <= 2048


def test_a_flac_without_a_length_is_read_whole(tmp_path, tone):
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(3, 48_000), 48_000)
    content = bytearray(path.read_bytes())
    # STREAMINFO: the low 36 of the 64 bits from byte 18 count the samples, 0 means unknown.
    fields = int.from_bytes(content[18:26], "big") >> 36 << 36
    content[18:26] = fields.to_bytes(8, "big")
    path.write_bytes(content)
    assert io.probe(path).duration_s is None
    assert sum(map(len, io.stream(path))) == 144_000


@pytest.mark.parametrize("size", [0xFFFF_FFFF, 0x7FFF_FFFF, 0x8000_0000])
def test_a_wav_streamed_to_a_pipe_has_no_known_length(tmp_path, tone, size):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(1, 16_000), 16_000)
    content = bytearray(path.read_bytes())
    content[40:44] = size.to_bytes(4, "little")
    path.write_bytes(content)
    assert sum(map(len, io.stream(path))) == 16_000


def test_content_decides_and_not_the_suffix(tmp_path, tone, write_av):
    soundfile.write(tmp_path / "a.flac", tone(1, 16_000), 16_000)
    (tmp_path / "a.flac").rename(tmp_path / "flac named.mp3")
    assert io.probe(tmp_path / "flac named.mp3").container == "flac"
    write_av(tmp_path / "aac named.wav", tone(1, 44_100), 44_100, "aac", container="adts")
    assert io.probe(tmp_path / "aac named.wav").container == "aac"
    write_av(tmp_path / "m4a named.wav", tone(1, 44_100), 44_100, "aac", container="ipod")
    assert io.probe(tmp_path / "m4a named.wav").container == "mov"
    soundfile.write(tmp_path / "a.wav", tone(1, 16_000), 16_000)
    (tmp_path / "a.wav").rename(tmp_path / "wav without a suffix")
    assert io.probe(tmp_path / "wav without a suffix").container == "wav"


@pytest.mark.parametrize(
    "name", ["with spaces", "quo'te\"s", "тест-日本語-é", "-dash", "new\nline", "%2e#?", "a" * 200]
)
def test_any_name_is_read(tmp_path, tone, write_av, name):
    soundfile.write(tmp_path / "a.wav", tone(0.1, 16_000), 16_000)
    (tmp_path / "a.wav").rename(tmp_path / f"{name}.wav")
    assert sum(map(len, io.stream(tmp_path / f"{name}.wav"))) == 1600
    path = write_av(tmp_path / "a.g722", tone(0.1, 16_000), 16_000, "g722", container="g722")
    path = path.rename(tmp_path / f"{name}.G722")
    assert sum(map(len, io.stream(path))) == 1600


def test_tags_of_any_encoding_do_no_harm(tmp_path, tone, write_av):
    path = write_av(tmp_path / "a.mp3", tone(1, 44_100), 44_100, "libmp3lame", container="mp3")
    tag = b"TIT2" + (6).to_bytes(4, "big") + b"\0\0" + b"\x00\xff\xfe\xc3\x28\xe9"
    path.write_bytes(b"ID3\x03\0\0" + bytes([0, 0, 0, len(tag)]) + tag + path.read_bytes())
    assert sum(map(len, io.stream(path))) == 44_100


def test_blocks_are_about_as_long_as_asked(tmp_path, tone, write_av):
    soundfile.write(tmp_path / "a.wav", tone(1, 16_000), 16_000)
    assert [len(block) for block in io.stream(tmp_path / "a.wav", block_s=0.3)] == [4800, 4800, 4800, 1600]
    path = write_av(tmp_path / "a.mp3", tone(3, 48_000), 48_000, "libmp3lame", container="mp3")
    lengths = [len(block) for block in io.stream(path, block_s=0.5)]
    # A block ends with the frame that reaches its length; frames of mp3 hold 1152 samples.
    assert all(24_000 <= length < 24_000 + 1152 for length in lengths[:-1])
    assert sum(lengths) == 144_000
