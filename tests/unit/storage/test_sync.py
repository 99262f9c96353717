"""sync makes equal what differs, in every direction; compare says what differs and what does not."""

import os
import shutil

import pytest
import small_workspace as small
from hypothesis import given
from hypothesis import strategies as st

from svc_core import files
from svc_core.errors import BadInput
from svc_core.storage.audit import verify
from svc_core.storage.compare import compare, take_inventory
from svc_core.storage.folder import FolderStore
from svc_core.storage.ledger import read_ledger
from svc_core.storage.memory import MemoryStore
from svc_core.storage.sync import carry_out, plan_sync


@pytest.fixture
def store(tmp_path):
    return small.make(tmp_path / "w")


def compared(left, right):
    return compare(take_inventory(left), take_inventory(right))


def planned(left, right, **options):
    here, there = take_inventory(left), take_inventory(right)
    return plan_sync(here, there, compare(here, there), **options)


def synced(left, right, **options):
    return list(carry_out(planned(left, right, **options)))


def targets(tmp_path):
    return {"folder": FolderStore(tmp_path / "target"), "memory": MemoryStore()}


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_a_copy_is_equal_whole_and_vouches_for_all_that_the_original_did(store, tmp_path, kind):
    target = targets(tmp_path)[kind]
    moved = []
    steps = list(carry_out(planned(store, target), on_bytes=moved.append))
    assert sorted(step.key for step in steps) == small.keys(store) == small.keys(target)
    data = [step for step in steps if step.what == "copied"]
    assert steps[: len(data)] == data, "records come after all data"
    assert sum(moved) == sum(step.size for step in data)
    assert compared(store, target).same
    assert verify(target).faults == []
    ledger = read_ledger(target)
    for item in store.list():
        here = read_ledger(store).vouched(item.key, item.version)
        assert ledger.vouched(item.key, target.head(item.key).version) == here


def test_the_plan_of_recordings_knows_the_files_where_they_arrived(store):
    target = MemoryStore()
    synced(store, target)
    known = {item.record: item for item in read_ledger(target).known[small.RAW[1]]}
    assert (known[small.PLAN].size, known[small.PLAN].stamp) == target.head(small.RAW[1]).version


def test_through_two_buckets_and_back_every_byte_of_data_is_the_same(store, tmp_path):
    first, second, back = MemoryStore("one"), MemoryStore("two"), FolderStore(tmp_path / "back")
    for left, right in ((store, first), (first, second), (second, back)):
        synced(left, right)
        assert compared(left, right).same
    for key in small.keys(store):
        if key not in read_ledger(store).said:
            assert (store.root / key).read_bytes() == (back.root / key).read_bytes()
    assert compared(store, back).same


def test_repeated_it_moves_nothing(store):
    target = MemoryStore()
    assert synced(store, target)
    assert synced(store, target) == []


@pytest.mark.parametrize("steps", [0, 1, 7, 20, 25, 30])
def test_after_a_kill_it_moves_only_what_is_missing(store, steps):
    target = MemoryStore()
    running = carry_out(planned(store, target), workers=1)
    arrived = {next(running).key for _ in range(steps)}
    running.close()  # what is in flight may still arrive
    assert not arrived & {step.key for step in synced(store, target)}
    assert compared(store, target).same
    again = read_ledger(target)
    assert again.vouched(small.CLIPS[0], target.head(small.CLIPS[0]).version)


def test_a_killed_copy_leaves_no_record_of_what_is_not_there(store):
    target = MemoryStore()
    running = carry_out(planned(store, target), workers=1)
    for _ in running:
        there = set(small.keys(target))
        # A list of hashes and the records come last.
        assert set(read_ledger(target).known) <= there


def test_what_changed_is_copied_and_what_is_extra_stays_without_delete(store):
    target = MemoryStore()
    synced(store, target)
    small.put(store.root, small.CONVERTED, "another")
    small.put(store.root, "data/prep/filelists/val.txt")
    target.write("extra.txt", b"x", files.sha256_bytes(b"x"))
    steps = synced(store, target)
    assert {step.key for step in steps if step.what == "copied"} == {small.CONVERTED, "data/prep/filelists/val.txt"}
    assert "extra.txt" in small.keys(target)
    assert compared(store, target).only_right == ["extra.txt"]


def test_a_record_of_older_content_is_not_stamped_as_if_it_knew_the_new_one(store):
    small.put(store.root, small.CLIPS[0], "sliced anew")
    target = MemoryStore()
    synced(store, target)
    assert read_ledger(target).vouched(small.CLIPS[0], target.head(small.CLIPS[0]).version) is None


def test_delete_removes_what_the_source_has_not_records_first_and_never_raw(store):
    target = MemoryStore()
    synced(store, target)
    gone = [small.CLIPS[2], small.features_record(small.CLIPS[2]), small.RAW[1]]
    store.delete(gone)
    steps = [step.key for step in synced(store, target, delete=True) if step.what == "deleted"]
    assert steps == [gone[1], gone[0]]
    assert small.RAW[1] in small.keys(target)


def test_an_empty_source_never_empties_the_target(store):
    with pytest.raises(BadInput, match="holds nothing"):
        planned(MemoryStore(), store, delete=True)


def test_leases_receipts_and_unfinished_files_are_of_one_store_only(store):
    for key in ("data/prep/leases/a.json", "data/prep/doctor/b", "data/prep/manifests/slice/receipt.json"):
        small.put(store.root, key)
    target = MemoryStore()
    synced(store, target)
    assert not [key for key in small.keys(target) if "receipt" in key or "leases" in key or "doctor" in key]
    target.write("data/prep/leases/b.json", b"", files.sha256_bytes(b""))
    assert synced(store, target, delete=True) == []


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["raw/alice/A.wav", "raw/alice/a.wav"], "only in case"),
        (["raw/alice/a", "raw/alice/a/b.wav"], "folder of"),
        (["raw/alice//b.wav"], "//"),
    ],
)
def test_keys_that_cannot_stand_together_are_refused_before_anything_moves(tmp_path, keys, words):
    source, target = MemoryStore(), FolderStore(tmp_path / "target")
    for key in keys:
        source.write("any", b"x", files.sha256_bytes(b"x"))
        source._objects[key] = source._objects.pop("any")  # a bucket may hold what `write` refuses
    with pytest.raises(BadInput, match=words) as refused:
        planned(source, target)
    assert all(key in str(refused.value) for key in keys)
    assert not target.root.exists()


def test_a_clash_with_what_stands_at_the_target_is_refused_too(store):
    target = MemoryStore()
    target.write("raw/alice/Monday.flac", b"x", files.sha256_bytes(b"x"))
    with pytest.raises(BadInput, match="only in case"):
        planned(store, target)
    target.write("a/b", b"x", files.sha256_bytes(b"x"))
    target.write("a/b/c", b"x", files.sha256_bytes(b"x"))
    target.delete(["raw/alice/Monday.flac"])
    assert planned(store, target).copies, "a clash among the target's own is not this copy's matter"


def test_damaged_content_of_the_source_is_not_copied(store):
    bucket = MemoryStore()
    synced(store, bucket)
    item = bucket._objects[small.CLIPS[0]]
    bucket._objects[small.CLIPS[0]] = item._replace(data=item.data.upper())
    with pytest.raises(BadInput, match="sha256"):
        synced(bucket, MemoryStore())


def test_a_copied_folder_is_equal_though_every_stamp_differs(store, tmp_path):
    shutil.copytree(store.root, tmp_path / "copy")
    for key in small.keys(store):
        os.utime(tmp_path / "copy" / key, (1, 1))
    found = compared(store, FolderStore(tmp_path / "copy"))
    assert found.same
    assert len(found.equal) == len(small.keys(store))


@given(left=st.dictionaries(st.sampled_from("abcd"), st.binary(max_size=2)),
       right=st.dictionaries(st.sampled_from("abcd"), st.binary(max_size=2)))  # fmt: skip
def test_compare_agrees_with_comparing_all_bytes_and_sync_with_copying_them(left, right):
    stores = []
    for content in (left, right):
        stores.append(MemoryStore())
        for key, data in content.items():
            stores[-1].write(key, data, files.sha256_bytes(data))
    found = compared(*stores)
    assert found.only_left == sorted(left.keys() - right.keys())
    assert found.only_right == sorted(right.keys() - left.keys())
    assert found.different == sorted(key for key in left.keys() & right.keys() if left[key] != right[key])
    synced(*stores)
    assert {key: stores[1].open(key).read() for key in small.keys(stores[1])} == {**right, **left}
