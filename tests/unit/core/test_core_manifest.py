"""Records: done is a fact about content, cheap to check and not fooled."""

import os

from hypothesis import given
from hypothesis import strategies as st

from svc_core import manifest
from svc_core.manifest import FileRecord


class Sample(manifest.Record):
    file: FileRecord


def made(tmp_path, content=b"abc"):
    (tmp_path / "a").write_bytes(content)
    return FileRecord.of(tmp_path, "a")


def test_an_untouched_file_is_itself(tmp_path):
    record = made(tmp_path)
    assert record.check(tmp_path) == record


def test_a_copied_workspace_keeps_its_records_and_gets_fresh_stamps(tmp_path):
    record = made(tmp_path)
    os.utime(tmp_path / "a", (1, 1))
    fresh = record.check(tmp_path)
    assert fresh.sha256 == record.sha256
    assert fresh.stamp != record.stamp
    assert fresh.check(tmp_path) == fresh


def test_changed_content_of_equal_size_is_found_when_the_stamp_moved(tmp_path):
    record = made(tmp_path)
    (tmp_path / "a").write_bytes(b"abd")
    os.utime(tmp_path / "a", (1, 1))
    assert record.check(tmp_path) is None


def test_another_size_or_no_file_is_found(tmp_path):
    record = made(tmp_path)
    (tmp_path / "a").write_bytes(b"abcd")
    assert record.check(tmp_path) is None
    (tmp_path / "a").unlink()
    assert record.check(tmp_path) is None


def test_a_torn_record_is_no_record(tmp_path):
    record = Sample(file=made(tmp_path))
    path = tmp_path / "r.json"
    record.write(path)
    assert Sample.read(path) == record
    for length in range(0, path.stat().st_size - 2, 7):
        torn = tmp_path / "torn.json"
        torn.write_bytes(path.read_bytes()[:length])
        assert Sample.read(torn) is None
    assert Sample.read(tmp_path / "absent.json") is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=5))
def test_a_fingerprint_does_not_depend_on_the_order_of_keys(values):
    turned = dict(reversed(values.items()))
    assert manifest.fingerprint(values) == manifest.fingerprint(turned)


@given(st.lists(st.integers(), max_size=4), st.lists(st.integers(), max_size=4))
def test_different_settings_have_different_fingerprints(one, other):
    assert (manifest.fingerprint(one) == manifest.fingerprint(other)) == (one == other)


file_records = st.builds(
    FileRecord, key=st.text(min_size=1, max_size=5), sha256=st.text(max_size=5), size=st.integers(0), stamp=st.text()
)


@given(st.lists(file_records, max_size=4), json_values)
def test_every_file_record_inside_a_value_is_found_in_order(records, other):
    value = {"a": other, "b": [{"c": record.model_dump()} for record in records]}
    assert list(manifest.file_records(value))[-len(records) :] == records if records else True
    assert not list(manifest.file_records(other))


@given(st.lists(file_records, max_size=4), json_values)
def test_new_stamps_are_set_where_one_is_given_and_nothing_else_changes(records, other):
    value = {"a": other, "b": [record.model_dump() for record in records]}
    assert manifest.restamped(value, lambda _: None) == value
    fresh = manifest.restamped(value, lambda record: f"etag:{record.key}" if record.size % 2 else None)
    for before, after in zip(records, manifest.file_records(fresh), strict=True):
        wanted = f"etag:{before.key}" if before.size % 2 else before.stamp
        assert after == before.model_copy(update={"stamp": wanted})


def test_what_only_resembles_a_file_record_is_none():
    whole = {"key": "a", "sha256": "b", "size": 1, "stamp": "c"}
    strange = [{**whole, "size": "1"}, {**whole, "size": True}, {**whole, "more": 1}, {"key": "a"}, {**whole, "key": 1}]
    assert not list(manifest.file_records(strange))


def test_a_recording_of_the_plan_gets_its_stamp_too():
    recording = {"key": "raw/a/b", "sha256": None, "size": 1, "stamp": "old", "seconds": 2.0}
    assert manifest.restamped([recording], lambda record: record.sha256 + "new") == [{**recording, "stamp": "new"}]
