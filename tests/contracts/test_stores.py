"""What store.py promises, on every store: folder, memory, SeaweedFS, MinIO."""

import hashlib
import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from servers.plugin import s3_servers

from svc_core.errors import BadInput, ConfigError, Conflict
from svc_core.storage import s3_parts
from svc_core.storage.folder import FolderStore
from svc_core.storage.memory import MemoryStore
from svc_core.storage.opening import open_store
from svc_core.storage.probe import examine
from svc_core.storage.s3_parts import Content
from svc_core.storage.store import ABSENT

NUMBERS = itertools.count()
ODD_KEYS = [
    "raw/Zoë Ångström/take 1.wav", "raw/a'b/\"quoted\".wav", "raw/x/100%.wav", "raw/x/%20.wav", "raw/x/a+b&c=d.wav",
    "raw/x/#1 (final) [2].wav", "raw/x/what?.wav", "raw/x/~tilde*star.wav", "raw/日本語/ключ.wav",
    "raw/x/ lead and trail ",
    "raw/x/semi;colon,comma@at:colon", "raw/x/{brace}|pipe^caret`tick<lt>gt", "x" * 200 + "/" + "y" * 200,
]  # fmt: skip
BUCKETS = s3_servers()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(store, key: str, data: bytes, only_if=None):
    return store.write(key, data, sha256(data), only_if)


def get(store, key: str) -> bytes:
    return b"".join(store.read(key).pieces)


@pytest.fixture
def bucket_url(request):
    """A prefix of its own for each test."""
    return f"s3://workspaces/contract/{os.getpid()}/{next(NUMBERS)}"


@pytest.fixture(params=["folder", "memory", *BUCKETS])
def store(request, tmp_path, aws, bucket_url):
    if request.param == "folder":
        return FolderStore(tmp_path / "store")
    if request.param == "memory":
        return MemoryStore()
    aws(request.getfixturevalue(request.param))
    return open_store(bucket_url)


@pytest.fixture(params=BUCKETS)
def server(request, aws):
    found = request.getfixturevalue(request.param)
    aws(found)
    return found


@pytest.fixture
def bucket(server, bucket_url):
    return open_store(bucket_url)


@pytest.fixture
def boto(server):
    return server.client()


def records_hashes(store) -> bool:
    return not isinstance(store, FolderStore)


def test_what_is_written_is_read_with_version_and_hash(store):
    version = put(store, "a/b.json", b"content")
    reading = store.read("a/b.json")
    assert b"".join(reading.pieces) == b"content"
    assert reading.version == version
    assert version.size == 7
    assert reading.sha256 == (sha256(b"content") if records_hashes(store) else None)


def test_a_file_is_written_like_bytes(store, tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    store.write("k", tmp_path / "file", sha256(b"content"))
    assert get(store, "k") == b"content"


def test_nothing_at_all_is_content_too(store):
    version = put(store, "empty", b"")
    with store.open("empty") as handle:
        assert (version.size, get(store, "empty"), handle.read()) == (0, b"", b"")


def test_head_tells_version_and_hash_or_none(store):
    version = put(store, "a", b"1")
    facts = store.head("a")
    assert facts.version == version
    assert facts.sha256 == (sha256(b"1") if records_hashes(store) else None)
    assert store.head("b") is None


def test_a_listing_shows_the_versions_that_head_shows(store):
    version = put(store, "a/b", b"12345")
    (found,) = store.list()
    assert (found.key, found.version) == ("a/b", version)
    assert found.modified_s > 1.6e9


def test_another_content_is_another_version(store):
    first = put(store, "a", b"1")
    assert put(store, "a", b"22") != first
    assert get(store, "a") == b"22"


def test_absent_objects_are_bad_input_by_name(store):
    for ask in (store.read, store.open):
        with pytest.raises(BadInput, match=r"no/such"):
            ask("no/such")


def test_lists_by_any_prefix_of_the_key(store):
    for key in ("ab/1", "ab/2", "abc", "b"):
        put(store, key, b"x")
    assert sorted(item.key for item in store.list("ab")) == ["ab/1", "ab/2", "abc"]
    assert sorted(item.key for item in store.list("ab/")) == ["ab/1", "ab/2"]
    assert sorted(item.key for item in store.list()) == ["ab/1", "ab/2", "abc", "b"]
    assert list(store.list("c")) == []


def test_listing_2500_objects_takes_pages_and_loses_none(store):
    keys = {f"many/{number:04d}" for number in range(2500)}
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda key: put(store, key, b"x"), keys))
    found = [item.key for item in store.list("many/")]
    assert len(found) == 2500
    assert set(found) == keys
    store.delete(sorted(keys))
    assert list(store.list()) == []


def test_deleting_what_is_absent_is_no_error(store):
    put(store, "a", b"1")
    store.delete(["a", "b"])
    store.delete(["a"])
    store.delete([])
    assert store.head("a") is None


def test_open_reads_anywhere(store):
    data = bytes(range(256)) * 4000
    put(store, "big", data)
    with store.open("big") as handle:
        assert handle.read(4) == data[:4]
        handle.seek(-10, os.SEEK_END)
        assert handle.read() == data[-10:]
        handle.seek(500_000)
        assert (handle.tell(), handle.read(7)) == (500_000, data[500_000:500_007])
        handle.seek(2_000_000)
        assert handle.read(5) == b""


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_come_back_as_they_are(store, key):
    put(store, key, key.encode())
    assert [item.key for item in store.list()] == [key]
    assert get(store, key) == key.encode()
    assert store.head(key) is not None
    store.delete([key, "another"])
    assert store.head(key) is None


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/./b", "a\\b", "a\nb", "x" * 1025])
def test_keys_that_cannot_be_kept_are_refused(store, key):
    with pytest.raises(BadInput, match="rename the file"):
        put(store, key, b"x")
    assert list(store.list()) == []


def test_only_if_absent_and_only_if_unchanged(store):
    first = put(store, "a", b"1", ABSENT)
    with pytest.raises(Conflict, match="somebody else"):
        put(store, "a", b"2", ABSENT)
    second = put(store, "a", b"22", first)
    with pytest.raises(Conflict):
        put(store, "a", b"3", first)
    with pytest.raises(Conflict):
        put(store, "never", b"3", first)
    assert store.head("a").version == second
    assert get(store, "a") == b"22"


def test_sixteen_writers_race_and_one_wins(store):
    gate, outcomes = threading.Barrier(16), []

    def race(number: int) -> None:
        gate.wait()
        try:
            put(store, "prize", f"writer {number}".encode(), ABSENT)
            outcomes.append(number)
        except Conflict:
            outcomes.append(None)

    run_all([lambda number=number: race(number) for number in range(16)])
    winners = [number for number in outcomes if number is not None]
    assert (len(outcomes), len(winners)) == (16, 1)
    assert get(store, "prize") == f"writer {winners[0]}".encode()


def test_sixteen_writers_count_by_compare_and_swap_and_lose_nothing(store):
    put(store, "count", b"0")

    def add_three() -> None:
        done = 0
        while done < 3:
            reading = store.read("count")
            value = int(b"".join(reading.pieces))
            try:
                # A longer text each time: a folder's versions are sizes and times, and times may stand still.
                put(store, "count", str(value + 1).encode(), reading.version)
                done += 1
            except Conflict:
                continue

    run_all([add_three] * 16)
    assert int(get(store, "count")) == 48, "increments were lost"


def test_the_probe_finds_nothing_amiss_and_leaves_nothing(store):
    checks = list(examine(store))
    assert {check.level for check in checks} == {"ok"}, checks
    assert list(store.list()) == []


def run_all(calls) -> None:
    with ThreadPoolExecutor(len(calls)) as threads:
        for future in [threads.submit(call) for call in calls]:
            future.result()


# Buckets alone.


@pytest.mark.parametrize("condition", [None, ABSENT])
def test_large_files_go_in_parts_and_come_in_ranges(bucket, tmp_path, condition):
    data = os.urandom(1 << 20) * 21 + b"end"
    (tmp_path / "large").write_bytes(data)
    version = bucket.write("large", tmp_path / "large", sha256(data), condition)
    assert version.stamp.endswith("-3"), "an ETag of three parts"
    reading = bucket.read("large")
    assert sha256(b"".join(reading.pieces)) == reading.sha256 == sha256(data)
    assert bucket.head("large").version == reading.version == version


def test_a_large_conditional_write_can_lose(bucket, bucket_url, boto, tmp_path):
    (tmp_path / "large").write_bytes(bytes(9 << 20))
    put(bucket, "large", b"first")
    for condition in (ABSENT, bucket.head("large").version._replace(stamp="etag:other")):
        with pytest.raises(Conflict):
            bucket.write("large", tmp_path / "large", sha256(bytes(9 << 20)), condition)
    assert get(bucket, "large") == b"first"
    assert not unfinished(boto, bucket_url, "large")


def test_a_file_that_changes_while_it_is_sent_is_not_stored(bucket, bucket_url, boto, tmp_path):
    path, size = tmp_path / "file", 20 << 20
    path.write_bytes(bytes(size))
    content = Content.of(path, sha256(bytes(size)))
    pieces = content.pieces(8 << 20)
    next(pieces)
    path.write_bytes(b"x" * size)
    with pytest.raises(BadInput, match="changed while it was sent"):
        list(pieces)
    with pytest.raises(BadInput, match="changed while it was sent"):
        s3_parts.put(bucket._connection, f"{bucket_url.removeprefix('s3://workspaces/')}/file", content, {})
    assert bucket.head("file") is None
    assert not unfinished(boto, bucket_url, "file")


def unfinished(boto, bucket_url: str, key: str) -> list:
    """Uploads in parts that nobody completed or gave up, of this key: other tests leave theirs on the same server."""
    whole = f"{bucket_url.removeprefix('s3://workspaces/')}/{key}"
    return boto.list_multipart_uploads(Bucket="workspaces", Prefix=whole).get("Uploads", [])


def test_a_large_object_that_changes_while_it_is_read_is_a_conflict(bucket, tmp_path):
    (tmp_path / "large").write_bytes(bytes(20 << 20))
    bucket.write("large", tmp_path / "large", sha256(bytes(20 << 20)))
    reading = bucket.read("large")
    put(bucket, "large", b"other")
    with pytest.raises(Conflict, match="large"):
        list(reading.pieces)


def test_a_prefix_sees_only_its_own(server, bucket_url):
    whole, part, beside = (open_store(f"{bucket_url}{end}") for end in ("", "/a/b", "/a/bc"))
    put(part, "x", b"1")
    put(beside, "x", b"2")
    assert [item.key for item in part.list()] == ["x"]
    assert sorted(item.key for item in whole.list()) == ["a/b/x", "a/bc/x"]
    assert get(whole, "a/b/x") == b"1"


@pytest.mark.parametrize("key", ODD_KEYS)
def test_boto3_sees_the_very_same_keys(bucket, boto, bucket_url, key):
    put(bucket, key, b"x")
    full = f"{bucket_url.removeprefix('s3://workspaces/')}/{key}"
    assert boto.head_object(Bucket="workspaces", Key=full)["Metadata"]["sha256"] == sha256(b"x")
    boto.put_object(Bucket="workspaces", Key=full, Body=b"yy")
    assert get(bucket, key) == b"yy"
    assert bucket.head(key).sha256 is None


def test_keys_that_break_the_rules_are_listed_and_deleted_as_they_are(bucket, boto, bucket_url):
    base = bucket_url.removeprefix("s3://workspaces/")
    boto.put_object(Bucket="workspaces", Key=f"{base}/folder/", Body=b"")
    put(bucket, "neighbour", b"x")
    assert sorted(item.key for item in bucket.list()) == ["folder/", "neighbour"]
    bucket.delete(["folder/"])
    assert [item.key for item in bucket.list()] == ["neighbour"]


def test_a_key_may_be_the_start_of_another(bucket):
    put(bucket, "a/b", b"1")
    put(bucket, "a/b/c", b"2")
    assert (get(bucket, "a/b"), get(bucket, "a/b/c")) == (b"1", b"2")


def test_no_such_bucket_is_a_setting(server):
    absent = open_store("s3://no-such-bucket/x")
    for ask in (lambda: put(absent, "k", b"x"), lambda: absent.read("k"), lambda: absent.head("k"),
                lambda: list(absent.list()), lambda: absent.delete(["k"])):  # fmt: skip
        with pytest.raises(ConfigError, match=r"no-such-bucket.*does not exist: create it"):
            ask()
