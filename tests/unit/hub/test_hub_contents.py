"""The manifest: what is written is read, and what is not ours is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.errors import BadInput, ConfigError, Damaged
from svc_core.hub import Repo, contents
from svc_core.hub.contents import Contents, Entry, HubFile, Member

REPO = Repo("sliced", "me", "alice")
KEY = "data/44k/alice/wavs/take-00000000-0.wav"


def made(key: str = KEY, **changes) -> Contents:
    file = HubFile(path="data/train-0.parquet", sha256="0" * 64, size=9)
    entry = Entry(key="raw/alice/take.wav", members=(Member(key=key, sha256="1" * 64, size=5, path=file.path),))
    return Contents(kind="sliced", name="alice", files=(file,), entries=(entry,)).model_copy(update=changes)


def test_what_is_written_is_read():
    assert contents.parse(made().to_bytes(), REPO) == made()
    assert contents.parse(Contents(kind="sliced", name="alice").to_bytes(), REPO).entries == ()


@pytest.mark.parametrize(
    "key",
    [
        "data/44k/bob/wavs/x.wav",
        "data/44k/alice/wavs/../../../x.wav",
        "data/44k/alice/wavs/x.wav.soft.pt",
        "raw/alice/x.wav",
        "/data/44k/alice/wavs/x.wav",
        "app/configs/44k/config_colab_alice.json",
        "",
    ],
)
def test_a_key_outside_of_the_speaker_s_clips_is_refused(key):
    with pytest.raises(Damaged, match="cannot be part of it"):
        contents.parse(made(key).to_bytes(), REPO)


@pytest.mark.parametrize(
    ("kind", "entry", "key", "may"),
    [
        ("raw", "raw/alice/x.wav", "raw/alice/x.wav", True),
        ("raw", "consents/alice.json", "consents/alice.json", True),
        ("raw", "consents/bob.json", "consents/bob.json", False),
        ("features", KEY, f"{KEY}.f0.npy", True),
        ("features", KEY, KEY, False),
        ("features", KEY, "data/44k/alice/wavs/other.wav.f0.npy", False),
        ("features", "data/prep/manifests/models/dio.json", "data/prep/manifests/models/dio.json", True),
        ("features", "x", "data/prep/manifests/models/../../x.json", False),
        ("model", "models/alice", "models/alice/config.json", True),
        ("model", "models/alice", "models/alice/../bob/config.json", False),
        ("model", "models/bob", "models/bob/config.json", False),
    ],
)
def test_each_kind_may_write_its_own_places_alone(kind, entry, key, may):
    assert contents.belongs(Repo(kind, "me", "alice"), entry, key) is may


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda value: json.dumps(value).encode())
)
def test_anything_else_is_no_manifest(data):
    with pytest.raises(BadInput):
        contents.parse(data, REPO)


def test_a_manifest_too_deep_to_read_is_none_either():
    with pytest.raises(BadInput, match="damaged"):
        contents.parse(b"[" * 200_000, REPO)
    with pytest.raises(Damaged, match="no list of records"):
        contents.parse_records(b"[" * 200_000 + b"\n", [], REPO)


def test_a_newer_format_and_another_speaker_are_said():
    with pytest.raises(ConfigError, match="newer svc-jobs"):
        contents.parse(made(format=2).to_bytes(), REPO)
    with pytest.raises(ConfigError, match="holds sliced of 'bob'"):
        contents.parse(made(name="bob").to_bytes(), REPO)


def test_records_travel_one_a_line_without_stamps():
    value = {"source": {"key": "raw/alice/x.wav", "sha256": "0", "size": 1, "stamp": "mtime:1"}, "text": "a\u2028b"}
    line = contents.record_line(value)
    entry = Entry(key="x", record=contents.record_digest(line))
    data = contents.records_bytes({"x": line, "a": "{}"})
    assert contents.parse_records(data, [entry], REPO)["x"] == line
    assert json.loads(line)["source"]["stamp"] == ""
    with pytest.raises(Damaged, match="another record"):
        contents.parse_records(contents.records_bytes({"x": "{}"}), [entry], REPO)
    with pytest.raises(Damaged, match="no list of records"):
        contents.parse_records(b"[1]\n", [entry], REPO)
