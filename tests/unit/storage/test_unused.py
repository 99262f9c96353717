"""gc finds what nothing refers to, and nothing else."""

import json
import os
import time

import pytest
import small_workspace as small

from svc_core import files
from svc_core.errors import BadInput
from svc_core.storage.memory import MemoryStore
from svc_core.storage.unused import clock_s, find_unused, remove

LATER_S = 7200.0


@pytest.fixture
def store(tmp_path):
    return small.make(tmp_path / "w")


def unused(store, **options):
    return {item.key: item.reason for item in find_unused(store, now_s=time.time() + LATER_S, **options)}


def test_a_workspace_in_order_has_nothing_unused(store):
    assert unused(store) == {}


def test_dropped_clips_go_with_their_sidecars_and_their_record_first(store):
    for key in (small.SLICE, small.LISTS):
        value = json.loads((store.root / key).read_text())
        small.record(store.root, key, {**value, "clips": value["clips"][1:]})
    gone = small.CLIPS[0]
    found = find_unused(store, now_s=time.time() + LATER_S)
    assert {item.key for item in found} == {gone, *small.sidecars(gone), small.features_record(gone)}
    assert found[0].key == small.features_record(gone)
    before = set(small.keys(store))
    assert sum(len(part) for part in remove(store, found, at_once=3)) == 7
    assert set(small.keys(store)) == before - {item.key for item in found}
    assert unused(store) == {}


def test_what_a_kill_left_goes_and_the_users_own_files_stay(store):
    rubbish = [
        "data/44k/alice/wavs/new-0123abcd-77.wav",
        "data/44k/alice/wavs/new-0123abcd-77.spec.pt",
        "data/44k/alice/wavs/.tmp-1-ab.wav",
        "logs/44k/alice/.tmp-9-ab.pth",
        *(f"logs/44k/alice/{part}_5.pth" for part in ("G", "D", "state")),
    ]
    own = [
        "notes.txt",
        ".tmp-lock",
        "raw/alice/.tmp-mine",
        "raw/alice/take-0123abcd-0.wav",
        "data/44k/alice/wavs/my song.wav",
        "data/44k/alice/wavs/notes.txt",
        "data/44k/spk_map.json.bak",
        "logs/44k/alice/G_7.pth",
        "logs/44k/alice/events.out",
        "logs/44k/other/state_5.pth",
        "converted/alice/mine.wav",
        "models/alice/LICENSE",
        "models/.tmp-old-alice/G_1.pth",
    ]
    for key in [*rubbish, *own]:
        small.put(store.root, key)
    assert unused(store).keys() == set(rubbish)
    assert unused(store, older_than_s=2 * LATER_S) == {}


def test_leases_that_nobody_renews_and_left_probes_go_whatever_age_is_asked_for(store):
    for key in ("data/prep/leases/slice-0.json", "data/prep/leases/train.json", "data/prep/doctor/x"):
        small.put(store.root, key)
    os.utime(store.root / "data/prep/leases/train.json", (1, 1))
    assert unused(store).keys() == {
        "data/prep/leases/slice-0.json",
        "data/prep/leases/train.json",
        "data/prep/doctor/x",
    }
    alive = {item.key for item in find_unused(store, now_s=time.time(), older_than_s=-1)}
    assert alive == {"data/prep/leases/train.json", "data/prep/doctor/x"}


@pytest.mark.parametrize("key", [small.SLICE, small.LATEST])
def test_with_a_damaged_record_nothing_is_called_unused(store, key):
    files.write_text(store.root / key, "{")
    with pytest.raises(BadInput, match="nothing is known to be unused"):
        unused(store)


def test_the_clock_is_the_stores_and_the_probe_goes():
    store = MemoryStore()
    assert abs(clock_s(store) - time.time()) < 60
    assert small.keys(store) == []


def test_what_a_killed_push_or_pull_left_goes_as_a_whole(store):
    folders = [store.root / f".tmp-hub-{name}" for name in ("pull-me-raw-alice", "push-me-alice", "clips-train-0")]
    for folder in folders:
        files.write_bytes(folder / "data" / ".cache" / "shard.parquet", b"x" * 10)
        files.write_bytes(folder / "svc-jobs.json", b"{}")
    kept = folders.pop()
    os.utime(kept / "svc-jobs.json", (time.time() + LATER_S,) * 2)
    found = find_unused(store, now_s=time.time() + LATER_S)
    assert {(one.key, one.size) for one in found} == {(folder.name, 12) for folder in folders}
    before = set(small.keys(store))
    assert list(remove(store, found))
    assert not any(folder.exists() for folder in folders)
    assert (kept / "data" / ".cache" / "shard.parquet").is_file(), "somebody is at work there"
    assert set(small.keys(store)) == before


def test_a_link_that_looks_like_a_push_is_left_alone(store, tmp_path):
    files.write_bytes(tmp_path / "mine" / "song.wav", b"x")
    (store.root / ".tmp-hub-push-x").symlink_to(tmp_path / "mine")
    assert unused(store) == {}
