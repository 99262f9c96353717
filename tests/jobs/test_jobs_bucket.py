"""What a bucket workspace brings in, takes out, and remembers, over the store in a dictionary."""

import json
import threading

import pytest

from jobs.bucket import BucketWorkspace
from jobs.bucket_raw import RawBucket
from jobs.console import Console, StageResult
from jobs.session import Session
from jobs.stages.prepare import prepare
from svc_core import files, layout
from svc_core.errors import BadInput, ConfigError, Conflict
from svc_core.manifest import FileRecord
from svc_core.storage.folder import FolderStore
from svc_core.storage.memory import MemoryStore
from svc_core.storage.store import Facts, Version

RECORD = "data/prep/manifests/slice/a/x.json"
WAV = "data/44k/a/wavs/x-00000000-0.wav"
QUIET = Console(quiet=True)


@pytest.fixture
def store():
    return MemoryStore("s3://bucket")


@pytest.fixture
def workspace(store, tmp_path):
    return BucketWorkspace(store, tmp_path / "scratch", QUIET)


def put(store, key: str, data: bytes) -> Version:
    return store.write(key, data, files.sha256_bytes(data))


def write(workspace, key: str, data: bytes) -> FileRecord:
    files.write_bytes(workspace.root / key, data)
    return FileRecord.of(workspace.root, key)


def text(store, key: str) -> bytes:
    return b"".join(store.read(key).pieces)


def test_what_is_brought_in_is_there_once(store, workspace):
    put(store, "raw/a/x.wav", b"sound")
    workspace.bring(["raw/a/x.wav", "raw/a/absent.wav"])
    assert (workspace.root / "raw/a/x.wav").read_bytes() == b"sound"
    assert not (workspace.root / "raw/a/absent.wav").exists()
    put(store, "raw/a/x.wav", b"other")
    workspace.bring(["raw/a/x.wav"])
    assert (workspace.root / "raw/a/x.wav").read_bytes() == b"sound", "known for the length of a command"


def test_a_record_goes_out_last_and_names_versions_of_the_bucket(store, workspace):
    order: list[str] = []
    real = store.write
    store.write = lambda key, *rest: order.append(key) or real(key, *rest)
    made = write(workspace, WAV, b"clip")
    files.write_json(workspace.root / RECORD, {"clips": [made.model_dump()]})
    workspace.take([RECORD, WAV])
    assert order == [WAV, RECORD]
    (there,) = json.loads(text(store, RECORD))["clips"]
    assert there == {**made.model_dump(), "stamp": store.head(WAV).version.stamp}
    assert made.stamp.startswith("mtime:")
    order.clear()
    workspace.take([RECORD, WAV])
    assert order == []


def test_a_record_of_the_bucket_is_checked_without_reading_the_object(store, workspace):
    version = put(store, WAV, b"clip")
    record = FileRecord(key=WAV, sha256=files.sha256_bytes(b"clip"), size=4, stamp=version.stamp)
    store.read = None
    assert workspace.check(record) == record
    moved = record.model_copy(update={"stamp": "mtime:1"})
    assert workspace.check(moved) == record, "the recorded sha256 tells where only the stamp differs"
    assert workspace.check(record.model_copy(update={"sha256": "0" * 64, "stamp": "mtime:1"})) is None
    assert workspace.check(record.model_copy(update={"size": 5})) is None
    assert workspace.check(record.model_copy(update={"key": WAV + "x"})) is None


def test_an_object_without_a_recorded_hash_is_read_to_be_checked(tmp_path):
    store = FolderStore(tmp_path / "store")
    put(store, WAV, b"clip")
    workspace = BucketWorkspace(store, tmp_path / "scratch", QUIET)
    record = FileRecord(key=WAV, sha256=files.sha256_bytes(b"clip"), size=4, stamp="mtime:1")
    checked = workspace.check(record)
    assert checked
    assert checked.sha256 == record.sha256
    assert workspace.check(record.model_copy(update={"sha256": "0" * 64})) is None


def test_what_somebody_else_replaced_meanwhile_is_not_overwritten(store, workspace):
    put(store, layout.SPEAKER_MAP, b'{"a": 0}')
    workspace.bring([layout.SPEAKER_MAP])
    put(store, layout.SPEAKER_MAP, b'{"a": 0, "b": 1}')
    files.write_json(workspace.root / layout.SPEAKER_MAP, {"a": 0, "c": 1})
    with pytest.raises(Conflict):
        workspace.take([layout.SPEAKER_MAP])
    assert text(store, layout.SPEAKER_MAP) == b'{"a": 0, "b": 1}'


def test_dropped_is_gone_here_and_there_and_freed_only_here(store, workspace):
    put(store, WAV, b"clip")
    put(store, "raw/a/x.wav", b"sound")
    workspace.bring([WAV, "raw/a/x.wav"])
    workspace.drop([WAV, "never/there"])
    workspace.free(["raw/a/x.wav", "never/there"])
    assert not (workspace.root / WAV).exists()
    assert not (workspace.root / "raw/a/x.wav").exists()
    assert [stored.key for stored in store.list()] == ["raw/a/x.wav"]
    workspace.bring(["raw/a/x.wav"])
    assert (workspace.root / "raw/a/x.wav").exists()


def test_settling_stores_changes_removals_and_the_receipt(store, workspace):
    for key in ("models/v/old.bin", "models/v/kept.bin", "data/in.bin"):
        put(store, key, key.encode())
    reads = ["data/in.bin", *workspace.keys("models/v")]
    assert workspace.standing("publish", ["request"], reads) is None
    workspace.bring(reads)
    (workspace.root / "models/v/old.bin").unlink()
    write(workspace, "models/v/new.bin", b"new")
    workspace.settle("publish", ["request"], reads, StageResult("publish", 2, 0, "published: step 3"))
    receipt = layout.receipt_key("publish")
    assert {stored.key for stored in store.list()} == {"models/v/new.bin", "models/v/kept.bin", "data/in.bin", receipt}


@pytest.mark.parametrize("change", ["nothing", "input", "output", "vanished", "request", "reads more"])
def test_a_settled_stage_stands_until_something_changes(store, tmp_path, change):
    first = BucketWorkspace(store, tmp_path / "1", QUIET)
    put(store, "data/in.bin", b"in")
    write(first, "models/v/out.bin", b"out")
    first.bring(["data/in.bin"])
    first.settle("publish", ["request"], ["data/in.bin"], StageResult("publish", 2, 1, "published: step 3"))

    reads = ["data/in.bin"]
    if change in ("input", "output"):
        put(store, {"input": "data/in.bin", "output": "models/v/out.bin"}[change], b"other")
    elif change == "vanished":
        store.delete(["models/v/out.bin"])
    elif change == "reads more":
        reads.append("data/new.bin")
    second = BucketWorkspace(store, tmp_path / "2", QUIET)
    standing = second.standing("publish", ["request" if change != "request" else "another"], reads)
    if change == "nothing":
        assert standing == StageResult("publish", 0, 3, "already done: step 3")
    else:
        assert standing is None


def test_a_scratch_folder_that_is_too_small_is_refused_before_anything_moves(workspace, store):
    class Huge(MemoryStore):
        def head(self, key: str) -> Facts:
            return Facts(Version(1 << 60, "etag:1"), None)

        read = None

    huge = BucketWorkspace(Huge("s3://huge"), workspace.root, QUIET)
    with pytest.raises(ConfigError, match=r"GiB free and this needs .* --scratch"):
        huge.bring(["raw/a/x.wav"])


@pytest.mark.parametrize("key", ["../x", "raw/a/../../../x", "/x"])
def test_a_key_that_leaves_the_scratch_folder_is_refused(tmp_path, key):
    class Hostile(MemoryStore):
        def head(self, key: str) -> Facts:
            return Facts(Version(1, "etag:1"), None)

    workspace = BucketWorkspace(Hostile("s3://hostile"), tmp_path / "scratch", QUIET)
    with pytest.raises(BadInput, match="not a key"):
        workspace.bring([key])


def test_recordings_beside_the_speakers_are_named_without_another_request(store):
    for key in ("raw/a/x.wav", "raw/loose.flac", "raw/README.md", "raw/Thumbs.db"):
        put(store, key, b"sound")
    raw = RawBucket(store)
    assert raw.speakers() == ["a"]
    store.delete([stored.key for stored in store.list()])
    assert raw.overlooked(["a"]) == ["raw/loose.flac lies beside the speakers: move it into raw/<speaker>/"]


def test_sixteen_jobs_that_add_a_speaker_each_lose_none(store, tmp_path):
    import io

    import soundfile

    from jobs.demo import RATE_HZ, speak

    names = [f"speaker-{number:02}" for number in range(16)]
    for number, name in enumerate(names):
        sound = io.BytesIO()
        soundfile.write(sound, speak(number, 1.0), RATE_HZ, format="FLAC")
        put(store, f"raw/{name}/take.flac", sound.getvalue())
    failed: list[Exception] = []

    def add(name: str) -> None:
        session = Session(BucketWorkspace(store, tmp_path / name, QUIET), QUIET)
        try:
            prepare(session, [name], "choir", {})
        except Exception as error:
            failed.append(error)

    jobs = [threading.Thread(target=add, args=(name,)) for name in names]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert not failed
    ids = json.loads(text(store, layout.SPEAKER_MAP))
    assert set(ids) == set(names)
    assert sorted(ids.values()) == list(range(16))
