"""What the records of a workspace say together."""

import json

import pytest
import small_workspace as small
from hypothesis import given
from hypothesis import strategies as st

from svc_core import files
from svc_core.storage import places
from svc_core.storage.ledger import read_ledger
from svc_core.storage.memory import MemoryStore


@pytest.fixture
def store(tmp_path):
    return small.make(tmp_path / "w")


def test_every_object_that_a_stage_made_is_known_by_its_content(store):
    ledger = read_ledger(store)
    made = {key for key in small.keys(store) if places.place_of(key).stage in ("raw", "clips", "sidecars", "converted")}
    # The second recording was planned, not sliced: its content is not known yet.
    assert made - {small.RAW[1]} <= {key for key, items in ledger.known.items() if any(item.sha256 for item in items)}
    for key in small.CLIPS:
        assert {item.sha256 for item in ledger.known[key]} == {files.sha256_file(store.root / key)}
        assert len(ledger.known[key]) == 3
    assert ledger.known["models/alice/model.safetensors"][0].record == small.SUMS
    assert not ledger.damaged


def test_a_users_own_source_and_the_records_themselves_are_not_expected_in_the_workspace(store):
    known = read_ledger(store).known
    assert "song.wav" not in known
    assert small.SUMS not in known


def test_a_record_vouches_for_the_very_version_only(store):
    ledger, key = read_ledger(store), small.CLIPS[0]
    version = store.head(key).version
    assert ledger.vouched(key, version) == files.sha256_file(store.root / key)
    assert ledger.vouched(key, version._replace(stamp="mtime:1")) is None
    assert ledger.vouched(key, version._replace(size=1)) is None
    assert ledger.vouched(small.RAW[1], store.head(small.RAW[1]).version) is None
    assert ledger.vouched("nothing", version) is None


def test_seconds_of_audio_come_from_the_records(store):
    seconds = read_ledger(store).seconds
    assert [seconds[small.RAW[0]], seconds[small.CLIPS[0]], seconds[small.CONVERTED]] == [30.0, 10.0, 2.0]


def test_what_records_say_is_compared_without_their_stamps(store):
    before = read_ledger(store).said
    text = (store.root / small.SLICE).read_text().replace("mtime:", "mtime:1")
    files.write_text(store.root / small.SLICE, text)
    after = read_ledger(store).said
    assert after[small.SLICE].unstamped == before[small.SLICE].unstamped
    assert after[small.SLICE].exact != before[small.SLICE].exact
    files.write_text(store.root / small.SLICE, text.replace('"samples": 441000', '"samples": 441001'))
    assert read_ledger(store).said[small.SLICE].unstamped != before[small.SLICE].unstamped


def test_records_of_dropped_clips_are_not_in_force(store):
    for key in (small.SLICE, small.LISTS):
        text = json.loads((store.root / key).read_text())
        text["clips"] = text["clips"][:2]
        small.record(store.root, key, text)
    ledger = read_ledger(store)
    assert ledger.left_behind() == {small.features_record(small.CLIPS[2])}
    in_force = dict(ledger.in_force())
    assert small.sidecars(small.CLIPS[1])[0] in in_force
    assert not {small.CLIPS[2], *small.sidecars(small.CLIPS[2])} & in_force.keys()


def test_without_any_record_of_clips_nothing_counts_as_left_behind(store):
    store.delete([small.SLICE, small.LISTS])
    assert not read_ledger(store).left_behind()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"clips": ['])
def test_a_damaged_record_is_named_and_the_others_are_read(store, content):
    files.write_bytes(store.root / small.SLICE, content)
    ledger = read_ledger(store)
    assert list(ledger.damaged) == [small.SLICE]
    assert "it is no JSON" in ledger.damaged[small.SLICE]
    assert small.LISTS in ledger.said


@pytest.mark.parametrize("value", [[], 1, None, {"recordings": 1}, {"clips": [1, {}]}, {"conversion": [], "output": 1}])
def test_json_of_another_shape_says_nothing_and_breaks_nothing(value):
    store, text = MemoryStore(), json.dumps(value).encode()
    for key in (small.PLAN, small.SLICE, "data/prep/manifests/convert/a.json", small.LATEST):
        store.write(key, text, files.sha256_bytes(text))
    ledger = read_ledger(store)
    assert len(ledger.said) == 4
    assert (ledger.known, ledger.seconds) == ({}, {})


def test_a_record_with_other_bytes_than_were_written_is_damaged():
    store = MemoryStore()
    store.write(small.SLICE, b"{}", "0" * 64)
    assert "was written as" in read_ledger(store).damaged[small.SLICE]


@given(st.sets(st.from_regex(r"[ab]{1,2}(/[abAB]{1,2}){0,2}", fullmatch=True), max_size=12))
def test_keys_that_clash_are_found_and_no_others(keys):
    found = {trouble.key for trouble in places.key_troubles(keys)}
    prefixes = {key for key in keys if any(other.startswith(f"{key}/") for other in keys)}
    folded = [key for key in sorted(keys) if any(key != other and key.lower() == other.lower() for other in keys)]
    assert prefixes <= found
    assert found <= prefixes | set(folded)
    assert bool(found & set(folded)) >= bool(folded)


def test_both_clashing_keys_are_named():
    texts = [f"{trouble.key} {trouble.text}" for trouble in places.key_troubles(["a/b/c", "a/b", "x/Y", "x/y", "z//z"])]
    assert texts == [
        "a/b is also the folder of 'a/b/c'",
        "x/y differs from 'x/Y' only in case",
        "z//z is empty, starts or ends with '/', or holds '//'",
    ]


def test_places_of_keys():
    assert [places.place_of(key) for key in (small.RAW[1], small.CLIPS[0], *small.sidecars(small.CLIPS[0])[:1])] == [
        ("raw", "alice"), ("clips", "alice"), ("sidecars", "alice"),
    ]  # fmt: skip
    assert places.place_of("data/44k/spk_map.json") == ("records", "")
    assert places.place_of("data/prep/manifests/slice/alice/a.json") == ("records", "alice")
    assert places.place_of("consents/alice.json") == ("records", "alice")
    assert places.place_of("notes.txt") == ("other", "")
    assert places.is_record(small.LATEST)
    assert not places.is_record("logs/44k/alice/other.json")
    assert not places.is_record("data/prep/manifests/slice/alice/.tmp-1-a.json")
