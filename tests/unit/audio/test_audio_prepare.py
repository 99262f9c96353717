"""The door of the slice stage, driven with real files: what it writes and what it records."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import talk, wavs

from svc_core.audio.io import read_clip
from svc_core.audio.loudness import LoudnessMeter
from svc_core.audio.prepare import RecordingRecord, prepare_recording, settings_fingerprint
from svc_core.config import LoudnessBlock, SliceBlock

PEAK, NONE = LoudnessBlock(mode="peak"), LoudnessBlock(mode="none")
COMPATIBLE = SliceBlock(max_length_ms=None)


def pcm(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0].astype(int)


# ---- against 4.1's resample.py ---------------------------------------------------------------------------------

GOLDEN = ["mono48000", "mono22050", "mono16000", "speech48000_skip", "float44100_clip", "float44100_clip_skip"]
GOLDEN += ["stereo44100"]

# README of the goldens, "Measured agreement": largest and RMS distance in steps of int16 between librosa 0.9.1's
# kaiser_best and soxr HQ; at equal rates none.
DISTANCE = {"mono48000": (1425, 141), "mono22050": (1425, 141), "mono16000": (1425, 141), "speech48000_skip": (45, 0.6)}


@pytest.mark.parametrize("case", GOLDEN)
def test_clips_equal_those_of_4_1(tmp_path, golden, upload, case):
    given_, new = golden("resample_librosa0_9_1"), golden("resample_librosa0_11_0")
    samples, rate_hz = given_[f"{case}_in"], int(given_[f"{case}_sr"])
    key = upload(samples, rate_hz, subtype="FLOAT" if samples.dtype == np.float32 else "PCM_16")
    record = prepare_recording(tmp_path, key, COMPATIBLE, NONE if given_[f"{case}_skip_loudnorm"] else PEAK)

    (clip,) = record.clips
    assert (record.error, record.gain_db, record.dropped) == (None, 0, ())
    assert [clip.first_sample, clip.end_sample] == new[f"{case}_trim"].tolist() == given_[f"{case}_trim"].tolist()
    made = pcm(tmp_path / clip.file.key)
    np.testing.assert_array_equal(made, new[f"{case}_out"])
    off = np.abs(made - given_[f"{case}_out"])
    largest, rms = DISTANCE.get(case, (0, 0))
    assert off.max() <= largest
    assert np.sqrt(np.mean(off**2.0)) <= rms


def test_the_golden_files_hold_no_other_case(golden):
    names = [name for name in golden("resample_librosa0_11_0") if name.endswith("_out")]
    assert sorted(names) == sorted(f"{case}_out" for case in GOLDEN)


# ---- what is written -------------------------------------------------------------------------------------------


def test_clips_are_the_samples_at_their_recorded_offsets(tmp_path, upload):
    samples = talk(40, 44_100)
    record = prepare_recording(tmp_path, upload(samples, 44_100, subtype="FLOAT"), SliceBlock(), NONE)
    assert len(record.clips) >= 3
    for clip in record.clips:
        source = samples[clip.first_sample : clip.end_sample]
        np.testing.assert_array_equal(pcm(tmp_path / clip.file.key), (source * np.float32(32_767)).astype(np.int16))
        assert clip.start_ms * 44.1 - 1 <= clip.first_sample < clip.end_sample <= (clip.end_ms + 1) * 44.1
        assert clip.samples == len(source)
        assert clip.file.key == f"data/44k/alice/wavs/take-{record.source.sha256[:8]}-{clip.start_ms}.wav"
        assert clip.file.check(tmp_path) == clip.file
        # Recorded to 0.01 dB.
        assert clip.peak_dbfs == pytest.approx(20 * np.log10(np.abs(source).max()), abs=0.01)
        assert clip.rms_dbfs == pytest.approx(20 * np.log10(np.sqrt(np.mean(source**2))), abs=0.01)
    assert wavs(tmp_path) == sorted(clip.file.key for clip in record.clips)


def test_the_record_holds_the_facts_and_survives_storage(tmp_path, upload):
    samples = talk(20, 48_000)
    key = upload(np.stack([samples, samples], axis=1), 48_000, "a take.flac")
    record = prepare_recording(tmp_path, key, SliceBlock(), LoudnessBlock())
    assert (record.source.key, record.speaker, record.error) == (key, "alice", None)
    assert (record.container, record.rate_hz, record.channels, record.duration_s) == ("flac", 48_000, 2, 20.0)
    assert record.settings == settings_fingerprint(SliceBlock(), LoudnessBlock())
    meter = LoudnessMeter(48_000)
    meter.add(samples)
    # Recorded to 0.01 dB; 16 bits add noise 70 dB below.
    assert record.loudness_lufs == pytest.approx(meter.result().integrated_lufs, abs=0.011)
    record.write(tmp_path / "record.json")
    assert RecordingRecord.read(tmp_path / "record.json") == record


def test_equal_inputs_give_equal_bytes(tmp_path):
    contents = []
    for name in ("one", "two"):
        folder = tmp_path / name / "raw/alice"
        folder.mkdir(parents=True)
        soundfile.write(folder / "take.wav", talk(20, 48_000), 48_000)
        record = prepare_recording(tmp_path / name, "raw/alice/take.wav", SliceBlock(), LoudnessBlock())
        contents.append({clip.file.key: (tmp_path / name / clip.file.key).read_bytes() for clip in record.clips})
    assert contents[0] == contents[1]
    assert contents[0]


def test_clips_stay_below_the_maximum_and_no_maximum_leaves_them_whole(tmp_path, upload):
    steady = (0.1 * np.random.default_rng(0).standard_normal(40 * 16_000)).astype(np.float32)
    key = upload(steady, 16_000)
    record = prepare_recording(tmp_path, key, SliceBlock(), LoudnessBlock())
    lengths_s = [clip.samples / 44_100 for clip in record.clips]
    # A third of the maximum and the maximum; less two hops.
    assert 5 - 0.02 <= min(lengths_s) <= max(lengths_s) <= 15
    assert sum(lengths_s) == pytest.approx(40, abs=0.01)
    (clip,) = prepare_recording(tmp_path, key, COMPATIBLE, LoudnessBlock()).clips
    assert clip.samples == 40 * 44_100


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 44_100, 192_000])
def test_any_rate_gives_44_1_khz(tmp_path, upload, rate_hz):
    record = prepare_recording(tmp_path, upload(talk(3, rate_hz), rate_hz), SliceBlock(), LoudnessBlock())
    (clip,) = record.clips
    assert len(read_clip(tmp_path / clip.file.key).samples) == clip.samples
    assert clip.samples == -(-(clip.end_sample - clip.first_sample) * 44_100 // rate_hz)


@pytest.mark.parametrize("name", ["a b.wav", "quo'te\"s.wav", "тест 日本語.wav", "sub/deep er/a.wav", "no suffix"])
def test_odd_names_of_recordings_and_speakers(tmp_path, upload, name):
    key = upload(talk(3, 16_000), 16_000, name, "Zoë O'Hara", format="WAV")
    record = prepare_recording(tmp_path, key, SliceBlock(), LoudnessBlock())
    assert (record.error, record.speaker, len(record.clips)) == (None, "Zoë O'Hara", 1)
    assert wavs(tmp_path) == [record.clips[0].file.key]
    assert record.clips[0].file.key.startswith("data/44k/Zoë O'Hara/wavs/")


def test_compressed_uploads_go_the_same_way(tmp_path, write_av):
    path = tmp_path / "raw/alice/take.m4a"
    path.parent.mkdir(parents=True)
    write_av(path, talk(8, 48_000), 48_000, "aac", container="ipod", layout="stereo")
    record = prepare_recording(tmp_path, "raw/alice/take.m4a", SliceBlock(), LoudnessBlock())
    assert (record.container, record.channels, record.error) == ("mov", 2, None)
    assert sum(clip.samples for clip in record.clips) > 6 * 44_100


# ---- loudness --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.003, 0.02])
def test_recordings_reach_the_target(tmp_path, upload, level):
    key = upload(talk(30, 44_100, level), 44_100, subtype="FLOAT")
    record = prepare_recording(tmp_path, key, SliceBlock(), LoudnessBlock())
    meter = LoudnessMeter(44_100)
    for clip in record.clips:
        meter.add(read_clip(tmp_path / clip.file.key).samples)
    # What trimming and slicing took away lies below the gate; blocks across a joint hold other pauses: some tenths.
    assert meter.result().integrated_lufs == pytest.approx(-23, abs=0.3)
    assert record.gain_db == pytest.approx(-23 - record.loudness_lufs, abs=0.02)


def test_quiet_speech_is_cut_by_its_level_after_the_gain(tmp_path, upload):
    # 60 dB below full scale, all of it under the threshold of -40 dB before the gain.
    key = upload(talk(30, 16_000, 1e-3), 16_000, subtype="FLOAT")
    record = prepare_recording(tmp_path, key, SliceBlock(threshold_db=-35), LoudnessBlock())
    assert len(record.clips) >= 3
    assert "raised by" in record.notes[0]
    assert prepare_recording(tmp_path, key, SliceBlock(threshold_db=-35), NONE).clips == ()


def test_the_true_peak_stays_below_its_ceiling(tmp_path, upload):
    samples = talk(20, 48_000, 0.01)
    samples[48_000::96_000] = 0.9
    record = prepare_recording(tmp_path, upload(samples, 48_000), SliceBlock(), LoudnessBlock())
    assert "gain lowered by" in record.notes[0]
    assert record.true_peak_dbtp + record.gain_db == pytest.approx(-1, abs=0.02)
    # Resampling moves a peak by what the interpolator may misread: 0.2 dB (EBU Tech 3341), and a click rings less.
    assert max(clip.peak_dbfs for clip in record.clips) <= -1 + 0.2


def test_each_clip_is_peak_normalised_as_by_4_1(tmp_path, upload):
    samples = np.concatenate([talk(6, 48_000, 0.01), talk(6, 48_000, 0.2)])
    key = upload(samples, 48_000)
    record = prepare_recording(tmp_path, key, SliceBlock(threshold_db=-60, max_length_ms=None), PEAK)
    assert len(record.clips) >= 2
    for clip in record.clips:
        assert np.abs(pcm(tmp_path / clip.file.key)).max() == 32_767
        assert clip.peak_dbfs == 0


@pytest.mark.parametrize("loudness", [LoudnessBlock(), PEAK, NONE], ids=lambda block: block.mode)
def test_samples_above_full_scale_and_dc_do_not_overflow(tmp_path, upload, loudness):
    samples = np.clip(30 * talk(4, 44_100), -4, 4) + 1
    record = prepare_recording(tmp_path, upload(samples, 44_100, subtype="FLOAT"), SliceBlock(), loudness)
    (clip,) = record.clips
    made = pcm(tmp_path / clip.file.key)
    factor = np.abs(made).max() / 5
    assert factor >= 32_767 * 10 ** (-23 / 20) / 5
    # Proportional to the source, to one step and the peak's own: nothing wrapped around, nothing was clipped.
    np.testing.assert_allclose(made, samples * factor, rtol=0, atol=2)


# ---- what is dropped -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loudness", [LoudnessBlock(), PEAK, NONE], ids=lambda block: block.mode)
@pytest.mark.parametrize("duration_s", [0.00002, 0.1, 3.0, 12.0])
def test_pure_silence_gives_no_clip_and_a_reason(tmp_path, upload, loudness, duration_s):
    key = upload(np.zeros(max(1, round(duration_s * 48_000))), 48_000)
    record = prepare_recording(tmp_path, key, SliceBlock(), loudness)
    assert (record.clips, record.error, record.loudness_lufs, record.gain_db) == ((), None, None, 0)
    # Longer than min_length, the slicer has already removed all of it.
    reasons = ["silent: its peak is below slice.threshold_db"] if duration_s < 5 else []
    assert [item.reason for item in record.dropped] == reasons
    assert not (tmp_path / "data").exists()


def test_a_tenth_of_a_second_is_too_short(tmp_path, upload, tone):
    record = prepare_recording(tmp_path, upload(tone(0.1, 48_000), 48_000), SliceBlock(), LoudnessBlock())
    assert record.clips == ()
    (item,) = record.dropped
    assert (item.start_ms, item.end_ms) == (0, 100)
    assert item.reason == "0.100 s after trimming: shorter than slice.min_clip_ms"
    assert "0.4 s" in record.notes[0]


def test_the_shortest_clip_allowed_is_kept(tmp_path, upload, tone):
    # 300 ms at 48 kHz are 14400 samples and give 13230 at 44.1 kHz; one hop of trimming less is too short.
    assert len(prepare_recording(tmp_path, upload(tone(0.3, 48_000), 48_000), SliceBlock(), NONE).clips) == 1
    assert not prepare_recording(tmp_path, upload(tone(0.299, 48_000), 48_000), SliceBlock(), NONE).clips


def test_one_sample_is_a_recording(tmp_path, upload):
    record = prepare_recording(tmp_path, upload(np.ones(1), 48_000), SliceBlock(), LoudnessBlock())
    assert (record.clips, record.error, len(record.dropped)) == ((), None, 1)


def test_sound_that_44_1_khz_cannot_hold_is_silent(tmp_path, upload):
    high = (0.5 * np.cos(np.pi * 0.9 * np.arange(96_000))).astype(np.float32)
    record = prepare_recording(tmp_path, upload(high, 96_000, subtype="FLOAT"), SliceBlock(), PEAK)
    # The ends of the tone are audible clicks, at 44.1 kHz too; they are short.
    assert record.error is None
    assert all(np.isfinite(clip.rms_dbfs) for clip in record.clips)


# ---- settings and memory ---------------------------------------------------------------------------------------


def test_the_fingerprint_changes_with_any_setting():
    base = settings_fingerprint(SliceBlock(), LoudnessBlock())
    changed = [
        settings_fingerprint(SliceBlock(threshold_db=-41), LoudnessBlock()),
        settings_fingerprint(SliceBlock(max_length_ms=None), LoudnessBlock()),
        settings_fingerprint(SliceBlock(), LoudnessBlock(target_lufs=-20)),
        settings_fingerprint(SliceBlock(), PEAK),
    ]
    assert len({base, *changed}) == 5
    assert settings_fingerprint(SliceBlock(), LoudnessBlock()) == base


MEASURE_MEMORY = """
import pathlib, re, sys
from svc_core.audio.prepare import prepare_recording
from svc_core.config import LoudnessBlock, SliceBlock
record = prepare_recording(pathlib.Path(sys.argv[1]), sys.argv[2], SliceBlock(), LoudnessBlock())
assert record.clips, record
print(re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1])
"""


def test_memory_does_not_grow_with_the_length(tmp_path, upload):
    def peak_mb(duration_s: int) -> float:
        key = upload(np.tile(talk(30, 16_000), duration_s // 30), 16_000, f"{duration_s}.flac")
        command = [sys.executable, "-c", MEASURE_MEMORY, str(tmp_path), key]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) / 1000

    # 12 minutes more are 46 MB of float32 at 16 kHz; the envelope of 72000 frames needs 0.6 MB, the heap some slack.
    assert peak_mb(780) - peak_mb(60) < 15


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 60_000),
    st.sampled_from([8_000, 22_050, 44_100]),
    st.sampled_from(["lufs", "peak", "none"]),
    st.sampled_from([None, 600, 1500]),
)
def test_any_sound_gives_clips_or_reasons(tmp_path_factory, seed, count, rate_hz, mode, max_length_ms):
    rng = np.random.default_rng(seed)
    levels = 10 ** rng.uniform(-5, 0.5, -(-count // 1500)) * (rng.random(-(-count // 1500)) > 0.3)
    samples = (np.repeat(levels, 1500)[:count] * rng.standard_normal(count)).astype(np.float32)
    root = tmp_path_factory.mktemp("any")
    (root / "raw/a").mkdir(parents=True)
    soundfile.write(root / "raw/a/x.wav", samples, rate_hz, subtype="FLOAT")
    slicing = SliceBlock(min_length_ms=500, min_interval_ms=100, max_sil_kept_ms=100, max_length_ms=max_length_ms)
    record = prepare_recording(root, "raw/a/x.wav", slicing, LoudnessBlock(mode=mode))
    assert record.error is None
    passages = sorted((item.start_ms, item.end_ms) for item in [*record.clips, *record.dropped])
    assert all(start <= end for start, end in passages)
    assert all(end <= start for (_, end), (start, _) in pairwise(passages))
    assert len({clip.file.key for clip in record.clips}) == len(record.clips)
    for clip in record.clips:
        assert len(read_clip(root / clip.file.key).samples) == clip.samples >= 0.3 * 44_100
        assert max_length_ms is None or clip.end_sample - clip.first_sample <= max_length_ms * rate_hz / 1000
