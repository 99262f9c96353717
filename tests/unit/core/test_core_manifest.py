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
