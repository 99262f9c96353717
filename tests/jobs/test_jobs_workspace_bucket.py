"""`svc-jobs workspace` and `doctor` against real S3 servers."""

import itertools
import json
import os
import signal
import time

import boto3
import pytest
from servers.plugin import s3_servers
from servers.proxy import Fault, breaking

from svc_core import files
from svc_core.storage import places
from svc_core.storage.opening import open_store
from svc_core.storage.store import parse_url
from svc_core.storage.uploads import Uploads

NUMBERS = itertools.count()
LEFT_OVER = "data/44k/alice/wavs/old-0123abcd-5.wav"


@pytest.fixture(params=s3_servers())
def server(request, aws):
    found = request.getfixturevalue(request.param)
    aws(found)
    return found


@pytest.fixture
def bucket(server):
    """A new prefix; gives URLs below it."""
    number = next(NUMBERS)
    return lambda name: f"s3://{server.bucket}/workspace-{os.getpid()}-{number}/{name}"


@pytest.fixture
def client(server):
    return boto3.client("s3", endpoint_url=server.endpoint)


@pytest.fixture
def sliced(svc_jobs, recordings):
    root = recordings(count=2, seconds=6.0)
    for stage in ("prepare", "slice", "filelists"):
        assert svc_jobs(stage, "-w", root, "-q").code == 0
    return root


@pytest.fixture
def answer(svc_jobs):
    """Runs a command with --json and returns its object."""

    def call(*arguments, code=0):
        ran = svc_jobs(*arguments, "--json")
        assert ran.code == code, ran.err
        return json.loads(ran.out)

    return call


def place(client, server, url, key, data, **options):
    """Puts an object past all our checks."""
    client.put_object(Bucket=server.bucket, Key=f"{parse_url(url).prefix}/{key}", Body=data, **options)


def test_a_workspace_goes_through_two_buckets_and_back(answer, sliced, bucket, tmp_path):
    one, two, back = bucket("one"), bucket("two"), tmp_path / "back"
    for left, right in ((sliced, one), (one, two), (two, back)):
        moved = answer("workspace", "sync", left, right)
        assert moved["copied"] + moved["recorded"] == sum(path.is_file() for path in sliced.rglob("*"))
        assert answer("workspace", "diff", left, right)["same"]
        again = answer("workspace", "sync", left, right)
        assert (again["copied"], again["recorded"]) == (0, 0)
        assert answer("workspace", "verify", "-w", right)["faults"] == []
    assert answer("workspace", "diff", sliced, back)["same"]
    for path in [*sliced.rglob("*.wav"), *sliced.rglob("*.flac"), *sliced.rglob("*.txt")]:
        assert path.read_bytes() == (back / path.relative_to(sliced)).read_bytes()
    assert answer("slice", "-w", back)["done"] == 0
    here, there = answer("workspace", "du", "-w", sliced), answer("workspace", "du", "-w", two)
    strip = [(item["stage"], item["speaker"], item["files"], item["minutes"]) for item in here["stages"]]
    assert strip == [(item["stage"], item["speaker"], item["files"], item["minutes"]) for item in there["stages"]]


def test_every_record_at_the_bucket_knows_the_objects_there(answer, sliced, bucket):
    url = bucket("w")
    answer("workspace", "sync", sliced, url)
    store = open_store(url)
    plan = json.loads(b"".join(store.read("data/prep/manifests/prepare/plan.json").pieces))
    for recording in plan["recordings"]:
        assert (recording["size"], recording["stamp"]) == store.head(recording["key"]).version
    for stage in ("prepare", "slice", "filelists"):
        assert answer(stage, "-w", url)["done"] == 0
    assert answer("workspace", "diff", sliced, url)["same"]


def test_verify_names_a_changed_a_cut_and_a_lost_object(answer, sliced, bucket, client, server):
    url = bucket("w")
    answer("workspace", "sync", sliced, url)
    store = open_store(url)
    clips = sorted(item.key for item in store.list("data/44k/") if item.key.endswith(".wav"))
    whole = {key: (sliced / key).read_bytes() for key in clips}
    wrong = bytes(reversed(whole[clips[0]]))
    place(client, server, url, clips[0], wrong, Metadata={"sha256": files.sha256_bytes(whole[clips[0]])})
    place(client, server, url, clips[1], whole[clips[1]][:-1])
    store.delete([clips[2]])
    found = answer("workspace", "verify", "-w", url, code=66)
    assert {(fault["key"], fault["kind"]) for fault in found["faults"]} == {
        (clips[0], "content"), (clips[1], "size"), (clips[2], "missing"),
    }  # fmt: skip
    content = next(fault for fault in found["faults"] if fault["kind"] == "content")
    assert content["expected"] == files.sha256_bytes(whole[clips[0]])
    assert content["found"] == files.sha256_bytes(wrong)
    # What lies about its own content is only seen by reading it, so it has to go before a copy replaces it.
    store.delete([fault["key"] for fault in found["faults"]])
    assert answer("workspace", "sync", sliced, url)["copied"] == 3
    assert answer("workspace", "verify", "-w", url)["faults"] == []


def test_a_damaged_object_is_not_brought_home(svc_jobs, answer, sliced, bucket, client, server, tmp_path):
    url = bucket("w")
    answer("workspace", "sync", sliced, url)
    key = next(item.key for item in open_store(url).list("data/44k/") if item.key.endswith(".wav"))
    data = (sliced / key).read_bytes()
    place(client, server, url, key, bytes(reversed(data)), Metadata={"sha256": files.sha256_bytes(data)})
    ran = svc_jobs("workspace", "sync", url, tmp_path / "home")
    assert ran.code == 66
    assert key in ran.err
    assert files.sha256_bytes(data) in ran.err
    assert not (tmp_path / "home" / key).exists()


def test_keys_that_a_folder_cannot_hold_are_refused_naming_both(svc_jobs, bucket, client, server, tmp_path):
    url = bucket("w")
    place(client, server, url, "raw/alice/A.wav", b"x")
    place(client, server, url, "raw/alice/a.wav", b"x")
    ran = svc_jobs("workspace", "sync", url, tmp_path / "home")
    assert ran.code == 66
    assert "raw/alice/A.wav" in ran.err
    assert "raw/alice/a.wav" in ran.err
    assert not (tmp_path / "home").exists()


def test_keys_that_clash_are_named_by_verify(answer, bucket, client, server):
    for key in ("raw/alice/A.wav", "raw/alice/a.wav"):
        place(client, server, bucket("w"), key, b"x")
    (fault,) = answer("workspace", "verify", "-w", bucket("w"), code=66)["faults"]
    assert (fault["key"], fault["kind"]) == ("raw/alice/a.wav", "key")
    assert "raw/alice/A.wav" in fault["found"]


def test_gc_removes_what_nothing_refers_to_and_sees_unfinished_uploads(answer, sliced, bucket, client, server):
    url = bucket("w")
    answer("workspace", "sync", sliced, url)
    before = {item["key"] for item in answer("workspace", "ls", "-w", url)["objects"]}
    place(client, server, url, LEFT_OVER, b"x")
    place(client, server, url, "raw/alice/old-0123abcd-5.wav", b"x")
    assert answer("workspace", "gc", "-w", url)["unused"] == []
    found = answer("workspace", "gc", "-w", url, "--delete", "--older-than-s", "0")
    assert [item["key"] for item in found["unused"]] == [LEFT_OVER]
    after = {item["key"] for item in answer("workspace", "ls", "-w", url)["objects"]}
    assert after == before | {"raw/alice/old-0123abcd-5.wav"}


def test_unfinished_uploads_are_found_and_aborted_but_not_below_raw(bucket, client, server):
    url = parse_url(bucket("w"))
    names = [f"{url.prefix}/{key}" for key in ("logs/44k/alice/G_1.pth", "raw/alice/a.wav")]
    for name in names:
        client.create_multipart_upload(Bucket=server.bucket, Key=name)
    uploads = Uploads(url)
    found = list(uploads.unfinished())
    # MinIO lists uploads only of a key that is given in full.
    assert [upload.key for upload in found] == (["logs/44k/alice/G_1.pth"] if server.name == "SeaweedFS" else [])
    for upload in found:
        uploads.abort(upload)
        uploads.abort(upload)
    assert list(uploads.unfinished()) == []


def test_doctor_finds_all_well_and_leaves_nothing(answer, bucket):
    url = bucket("w")
    findings = {finding["subject"]: finding for finding in answer("doctor", "-w", url)["findings"]}
    for subject in ("list", "put", "get", "conditional put", "compare and swap", "multipart", "clock", "delete"):
        assert findings[subject]["level"] == "ok", findings[subject]
    assert "MB/s" in findings["throughput"]["text"]
    assert list(open_store(url).list(places.PROBES)) == []


def test_doctor_says_which_setting_is_wrong(svc_jobs, bucket, server, monkeypatch):
    url = bucket("w")
    ran = svc_jobs("doctor", "-w", url.replace(server.bucket, "no-such-bucket"))
    assert ran.code == 78
    assert "no-such-bucket" in ran.err
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    ran = svc_jobs("doctor", "-w", url)
    assert ran.code == 78
    assert "AWS_SECRET_ACCESS_KEY" in ran.err
    assert server.secret_key not in ran.out + ran.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_killed_copy_shows_nothing_half_and_goes_on_where_it_was(
    svc_jobs_process, answer, server, aws, bucket, tmp_path, number
):
    url, root = bucket("w"), tmp_path / "w"
    content = {f"raw/alice/take {count}.wav": os.urandom(100_000) for count in range(400)}
    for key, data in content.items():
        files.write_bytes(root / key, data)
    store = open_store(url)
    with breaking(server.port, lambda request: Fault.HANG if request.number > 100 else None) as proxy:
        aws(server, proxy.endpoint)
        copying = svc_jobs_process("workspace", "sync", root, url, "-q")
        while not proxy.injected["hangs"] and copying.poll() is None:
            time.sleep(0.01)
        copying.send_signal(number)
        _, err = copying.communicate()
    aws(server)
    assert copying.returncode == (75 if number == signal.SIGTERM else -number), err
    assert number == signal.SIGKILL or "told to stop" in err
    there = {item.key: item.version.size for item in store.list()}
    assert 0 < len(there) < len(content)
    assert set(there.values()) == {100_000}
    # A request that was on its way may still have arrived after the listing.
    assert answer("workspace", "sync", root, url)["copied"] <= len(content) - len(there)
    assert answer("workspace", "diff", root, url)["same"]
    lost = [key for key, data in content.items() if b"".join(store.read(key).pieces) != data]
    assert lost == [], f"1 kill, {len(content)} objects, {len(lost)} lost"
