"""verify finds what is wrong, names it, and is quiet about what is well."""

import pytest
import small_workspace as small

from svc_core import files
from svc_core.storage.audit import verify
from svc_core.storage.memory import MemoryStore
from svc_core.storage.store import Reading


@pytest.fixture
def store(tmp_path):
    return small.make(tmp_path / "w")


def test_a_whole_workspace_has_no_faults(store):
    moved = []
    audit = verify(store, on_bytes=moved.append)
    assert audit.faults == []
    assert audit.objects == len(small.keys(store))
    assert audit.size == sum(moved) == sum(item.version.size for item in store.list())


def test_in_a_bucket_too_where_every_object_carries_its_hash(store):
    audit = verify(small.pour(store, MemoryStore()))
    assert (audit.faults, audit.unrecorded) == ([], 0)


def test_missing_size_and_content_are_named_with_both_sides_and_the_record(store):
    files.write_text(store.root / small.CLIPS[0], "x")
    good = files.sha256_file(store.root / small.CLIPS[1])
    files.write_text(store.root / small.CLIPS[1], small.CLIPS[1].upper())
    store.delete([small.CONVERTED, small.RAW[0]])
    found = {fault.key: fault for fault in verify(store).faults}
    assert found.keys() == {*small.CLIPS[:2], small.CONVERTED, small.RAW[0]}
    size = found[small.CLIPS[0]]
    assert (size.kind, size.expected, size.found) == ("size", str(len(small.CLIPS[0])), "1")
    content = found[small.CLIPS[1]]
    assert (content.kind, content.expected) == ("content", good)
    assert content.found == files.sha256_file(store.root / small.CLIPS[1])
    assert found[small.CONVERTED].record == "data/prep/manifests/convert/song-1-alice.json"
    for part in (content.key, content.expected, content.found, content.record):
        assert part in str(content)


def test_an_object_that_does_not_hold_what_was_written_is_found_without_any_record():
    store = MemoryStore()
    store.write("data/prep/filelists/train.txt", b"a", files.sha256_bytes(b"b"))
    (fault,) = verify(store).faults
    assert (fault.kind, fault.expected, fault.found) == ("content", files.sha256_bytes(b"b"), files.sha256_bytes(b"a"))


def test_a_recording_that_left_the_plan_is_no_loss(store):
    store.delete([small.RAW[0]])
    small.record(store.root, small.PLAN, {"voice": "alice", "recordings": []})
    assert verify(store).faults == []


def test_a_planned_recording_that_vanished_or_shrank_is_one(store):
    store.delete([small.RAW[1]])
    assert [(fault.kind, fault.record) for fault in verify(store).faults] == [("missing", small.PLAN)]
    files.write_text(store.root / small.RAW[1], "")
    assert [(fault.kind, fault.found) for fault in verify(store).faults] == [("size", "0")]


def test_damaged_records_and_clashing_keys_are_faults(store):
    files.write_text(store.root / small.LATEST, "{")
    files.write_text(store.root / "raw/alice/Monday.flac", "x")
    assert {(fault.kind, fault.key) for fault in verify(store).faults} == {
        ("record", small.LATEST), ("key", "raw/alice/monday.flac"),
    }  # fmt: skip


def test_a_clip_made_anew_is_well_though_older_records_remember_another(store):
    text = (store.root / small.SLICE).read_text()
    old = files.sha256_file(store.root / small.CLIPS[0])
    files.write_text(store.root / small.CLIPS[0], small.CLIPS[0].upper())
    files.write_text(store.root / small.SLICE, text.replace(old, files.sha256_file(store.root / small.CLIPS[0])))
    assert verify(store).faults == []


class Shaky(MemoryStore):
    """Its first answer about each object has a wrong byte."""

    def read(self, key):
        reading = super().read(key)
        if key in self.asked:
            return reading
        self.asked.add(key)
        return Reading(reading.version, reading.sha256, (piece[:-1] + b"\0" for piece in reading.pieces))


def test_bytes_that_were_harmed_on_their_way_are_read_again_before_anything_is_called_damaged(store):
    target = Shaky()
    target.asked = set()
    small.pour(store, target)
    assert verify(target).faults == []
    assert target.asked == set(small.keys(target))
