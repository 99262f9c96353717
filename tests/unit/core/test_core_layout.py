"""Keys: built and parsed in one place, safe for any name a user may give a file."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core import layout
from svc_core.errors import BadInput, ConfigError

SHA = "0123456789abcdef" * 4


@pytest.mark.parametrize(("one", "other"), [("名前", "別名"), ("Zoë", "zoe"), ("a b", "a-b"), ("clip", "声")])
def test_files_of_speakers_with_one_slug_have_two_names(one, other):
    assert layout.slug(one) == layout.slug(other)
    keys = {layout.converted_key("v", "song.wav", SHA, speaker) for speaker in (one, other)}
    assert len(keys) == 2
    assert all(key.isascii() for key in keys)


@given(st.text(min_size=1, max_size=80), st.integers(0, 10**8))
def test_clip_names_are_plain_ascii_whatever_the_file_is_called(stem, start_ms):
    name = layout.clip_name(f"raw/a/{stem.replace('/', '_')}.wav", SHA, start_ms)
    assert name.isascii()
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert name.endswith(f"-01234567-{start_ms}")


@given(st.text(max_size=70))
def test_a_speaker_name_is_either_refused_or_survives_the_round_trip_through_a_key(name):
    if layout.speaker_problem(name) is None:
        parsed = layout.parse_wav_key(layout.wav_key(name, "clip-01234567-0"))
        assert parsed == (name, "clip-01234567-0")
        assert unicodedata.is_normalized("NFC", name)
    else:
        with pytest.raises(ConfigError, match="choose another name"):
            layout.wav_key(name, "clip")


@pytest.mark.parametrize(
    "name", ["", ".hidden", "a/b", "a\\b", "a|b", "..", "a..b", "tab\there", "e\u0301", "x" * 64, "é" * 32]
)
def test_bad_speaker_names(name):
    assert layout.speaker_problem(name)


@pytest.mark.parametrize("name", ["alice", "Анна", "名前", 'O\'Brien "x"', "a b", "x" * 63])
def test_good_speaker_names(name):
    assert layout.speaker_problem(name) is None


def test_sidecars_lie_beside_the_wav_under_the_names_of_the_contract():
    assert layout.sidecar_keys("data/44k/a/wavs/c.wav") == (
        "data/44k/a/wavs/c.wav.soft.pt",
        "data/44k/a/wavs/c.wav.f0.npy",
        "data/44k/a/wavs/c.wav.uv.npy",
        "data/44k/a/wavs/c.spec.pt",
        "data/44k/a/wavs/c.wav.vol.npy",
    )


@pytest.mark.parametrize("key", ["data/44k/a/c.wav", "x", "data/44k/a/wavs/.tmp-1.wav", "data/44k/../wavs/c.wav"])
def test_what_is_no_clip_key_is_refused(key):
    with pytest.raises(BadInput, match="not the key of a clip"):
        layout.parse_wav_key(key)


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a/../../b", "", "a\\..\\b"])
def test_a_key_cannot_leave_the_workspace(key):
    with pytest.raises(BadInput):
        layout.local(Path("w"), key)


def test_two_recordings_that_differ_only_by_suffix_have_records_of_their_own():
    assert layout.slice_manifest("raw/a/x.wav") != layout.slice_manifest("raw/a/x.flac")
