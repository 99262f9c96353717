import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core import files
from svc_core.errors import BadInput, Damaged
from svc_core.storage.folder import FolderStore
from svc_core.storage.memory import MemoryStore
from svc_core.storage.transfer import LARGE_BYTES, Item, Moved, fetch, send


@given(contents=st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.binary(max_size=300), max_size=20))
def test_what_is_sent_is_fetched(tmp_path_factory, contents):
    folder, store, told = tmp_path_factory.mktemp("t"), MemoryStore(), []
    for name, data in contents.items():
        files.write_bytes(folder / "in" / name, data)
    sent = set(send(store, (Item(f"k/{name}", folder / "in" / name) for name in contents), on_bytes=told.append))
    fetched = set(fetch(store, [Item(f"k/{name}", folder / "out" / name) for name in contents], on_bytes=told.append))
    assert sent == fetched
    assert sent == {
        Moved(f"k/{name}", store.head(f"k/{name}").version, files.sha256_bytes(data)) for name, data in contents.items()
    }
    assert {name: (folder / "out" / name).read_bytes() for name in contents} == contents
    assert sum(told) == 2 * sum(map(len, contents.values()))


def test_a_file_that_is_not_what_was_expected_is_not_sent(tmp_path):
    (tmp_path / "f").write_bytes(b"1")
    store = MemoryStore()
    with pytest.raises(Damaged, match=r"f has sha256 .* instead of 0000"):
        list(send(store, [Item("k", tmp_path / "f", "0" * 64)]))
    assert store.head("k") is None


@pytest.mark.parametrize("size", [10, LARGE_BYTES + 1])
def test_a_file_that_changes_while_it_is_sent_is_refused(tmp_path, size):
    path = tmp_path / "f"
    path.write_bytes(bytes(size))

    class Slow(MemoryStore):
        def write(self, key, source, sha256, only_if=None):
            with path.open("ab") as handle:
                handle.write(b"more")
            return super().write(key, source, sha256, only_if)

    with pytest.raises(BadInput, match="changed while it was sent"):
        list(send(Slow(), [Item("k", path)]))


def test_files_that_are_absent_are_named(tmp_path):
    with pytest.raises(BadInput, match="gone"):
        list(send(MemoryStore(), [Item("k", tmp_path / "gone")]))
    with pytest.raises(BadInput, match="memory/gone"):
        list(fetch(MemoryStore(), [Item("gone", tmp_path / "f")]))


def test_a_folder_records_no_hash_but_the_expected_one_holds(tmp_path):
    store = FolderStore(tmp_path / "store")
    store.write("k", b"content", "")
    (moved,) = fetch(store, [Item("k", tmp_path / "f", files.sha256_bytes(b"content"))])
    assert moved.sha256 == files.sha256_bytes(b"content")
    with pytest.raises(Damaged, match="store/k has sha256"):
        list(fetch(store, [Item("k", tmp_path / "g", "0" * 64)]))
    assert not (tmp_path / "g").exists()
