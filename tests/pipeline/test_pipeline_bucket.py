"""A bucket does what a folder does: the same bytes, the same skipping, and no harm from kills, races and outages."""

import hashlib
import json
import secrets
import signal
import threading
import time
from pathlib import Path

import pytest
from servers.processes import BUCKET, SECRET_KEY, Server
from servers.proxy import Fault, Request, breaking
from small_run import SETTINGS, STAGES, content

from svc_core.manifest import restamped

DATA = ("data/44k/", "data/prep/filelists/", "app/", "models/")
RECORDS = ("data/prep/manifests/slice/", "data/prep/manifests/features/", "data/prep/manifests/filelists/")
BULK = (".wav", ".flac", ".pt", ".npy", ".pth", ".safetensors")
LIMIT_S = 240


class Bucket:
    """One workspace of its own on a real server, looked at with boto3."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.prefix = f"bucket-tests/{secrets.token_hex(4)}/"
        self.url = f"s3://{BUCKET}/{self.prefix}"
        self.client = server.client()

    def upload(self, root: Path, *parts: str) -> None:
        for part in parts:
            for path in sorted((root / part).rglob("*")):
                if path.is_file():
                    key = self.prefix + path.relative_to(root).as_posix()
                    self.client.upload_file(str(path), BUCKET, key)

    def keys(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=self.prefix)
        return [item["Key"].removeprefix(self.prefix) for page in pages for item in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        return self.client.get_object(Bucket=BUCKET, Key=self.prefix + key)["Body"].read()

    def content(self) -> dict[str, str]:
        return {key: hashlib.sha256(self.read(key)).hexdigest() for key in self.keys()}


@pytest.fixture
def bucket(seaweed, aws):
    aws(seaweed)
    return Bucket(seaweed)


@pytest.fixture(scope="module")
def finished_bucket(finished, seaweed):
    """The same run as `finished`, in a bucket."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in seaweed.environment().items():
            patch.setenv(name, value)
        bucket = Bucket(seaweed)
        bucket.upload(finished, "raw")
        from jobs.cli import run

        assert run(["run", "-w", bucket.url, *SETTINGS, "--convert", str(finished.parent / "song.wav"), "-q"]) == 0
    return bucket


@pytest.fixture
def watched(seaweed, aws):
    """Commands go through a proxy that writes down what they ask."""
    asked: list[Request] = []
    with breaking(seaweed.port, lambda request: asked.append(request)) as proxy:
        aws(seaweed, proxy.endpoint)
        yield asked


def unstamped(data: bytes) -> object:
    return restamped(json.loads(data), lambda record: "")


def test_a_run_on_a_bucket_writes_the_bytes_of_a_run_on_a_folder(finished, finished_bucket):
    there = finished_bucket.content()
    here = content(finished, "*")
    moving = ("events.out.tfevents", "/receipts/")
    assert {key for key in there if not any(part in key for part in moving)} == {
        key for key in here if not any(part in key for part in moving)
    }
    equal = [key for key in here if key.startswith(DATA) or key.endswith((".pth", ".flac", ".wav"))]
    assert len(equal) > 30
    assert {key: there[key] for key in equal} == {key: here[key] for key in equal}
    for key in [key for key in here if key.startswith(RECORDS)]:
        assert unstamped(finished_bucket.read(key)) == unstamped((finished / key).read_bytes()), key


def test_a_second_run_reads_no_data(svc_jobs, finished, finished_bucket, watched):
    song = finished.parent / "song.wav"
    ran = svc_jobs("run", "-w", finished_bucket.url, "--device", "cpu", "--convert", song, "--json")
    assert ran.code == 0, ran.err
    stages = json.loads(ran.out)["stages"]
    assert [(stage["stage"], stage["done"]) for stage in stages] == [(name, 0) for name in STAGES]
    assert all("already done" in stage["message"] for stage in stages)
    read = [request.target for request in watched if request.method == "GET"]
    assert read
    assert not [target for target in read if target.partition("?")[0].endswith(BULK)]


def test_shards_bring_in_their_own_recordings_alone_and_write_what_one_writes(
    svc_jobs, finished, finished_bucket, bucket, watched
):
    bucket.upload(finished, "raw")
    assert svc_jobs("prepare", "-w", bucket.url, *SETTINGS[:-2]).code == 0
    brought = []
    for index in (0, 1):
        watched.clear()
        assert svc_jobs("slice", "-w", bucket.url, "--shard", index, "--shards", 2).code == 0
        brought.append({r.target for r in watched if r.method == "GET" and "/raw/" in r.target and ".flac" in r.target})
    assert len(brought[0] | brought[1]) == 3
    assert not brought[0] & brought[1]
    assert svc_jobs("filelists", "-w", bucket.url).code == 0
    for index in (1, 0):
        assert svc_jobs("features", "-w", bucket.url, "--shard", index, "--shards", 2, "--device", "cpu").code == 0
    whole = finished_bucket.content()
    parts = {key: value for key, value in bucket.content().items() if key.startswith(DATA)}
    assert parts == {key: whole[key] for key in whole if key.startswith(DATA[:3])}


def test_the_same_shard_twice_at_once_ends_with_one_result(svc_jobs, svc_jobs_process, finished, bucket):
    bucket.upload(finished, "raw")
    assert svc_jobs("prepare", "-w", bucket.url, *SETTINGS[:-2]).code == 0
    ran = [svc_jobs_process("slice", "-w", bucket.url, "--shard", 0, "--shards", 1) for _ in range(2)]
    answers = [process.communicate(timeout=LIMIT_S) for process in ran]
    assert [process.returncode for process in ran] == [0, 0], answers
    assert sorted("already done" in out for out, _ in answers) == [False, True]
    clips = {key: value for key, value in bucket.content().items() if "/wavs/" in key}
    assert clips == content(finished, "data/44k/alice/wavs/*.wav")


def test_a_second_trainer_is_refused_and_the_first_goes_on(svc_jobs, svc_jobs_process, copied, bucket):
    bucket.upload(copied, "raw", "data", "app")
    assert svc_jobs("prepare", "-w", bucket.url, "--steps", "400").code == 0
    first = svc_jobs_process("train", "-w", bucket.url, "--device", "cpu")
    wait_for(lambda: "data/prep/leases/train.json" in bucket.keys())  # noqa: SIM118
    second = svc_jobs("train", "-w", bucket.url, "--device", "cpu")
    assert second.code == 75
    assert "at work on" in second.err
    assert first.poll() is None
    first.send_signal(signal.SIGTERM)
    _, err = first.communicate(timeout=LIMIT_S)
    assert first.returncode == 75, err
    assert "data/prep/leases/train.json" not in bucket.keys()  # noqa: SIM118


def test_a_killed_trainer_is_followed_by_one_that_ends_with_the_same_bytes(
    svc_jobs, svc_jobs_process, finished, copied, bucket
):
    bucket.upload(copied, "raw", "data", "app")
    first = svc_jobs_process("train", "-w", bucket.url, "--device", "cpu")
    wait_for(lambda: "logs/44k/alice/latest.json" in bucket.keys())  # noqa: SIM118
    first.kill()
    first.communicate(timeout=LIMIT_S)
    assert first.returncode == -signal.SIGKILL
    ran = svc_jobs("train", "-w", bucket.url, "--device", "cpu")
    assert ran.code == 0, ran.err
    there = {key: value for key, value in bucket.content().items() if key.endswith(".pth") and "state" not in key}
    assert there == content(finished, "logs/44k/*/[GD]_*.pth")


def test_sigterm_in_an_upload_through_a_hanging_network_ends_the_process(
    svc_jobs, svc_jobs_process, seaweed, aws, finished, bucket
):
    bucket.upload(finished, "raw")
    assert svc_jobs("prepare", "-w", bucket.url, *SETTINGS[:-2]).code == 0
    began = threading.Event()

    def slow(request: Request):
        if request.method == "PUT" and "/wavs/" in request.target:
            began.set()
            return Fault.HANG
        return None

    with breaking(seaweed.port, slow) as proxy:
        aws(seaweed, proxy.endpoint)
        process = svc_jobs_process("slice", "-w", bucket.url)
        assert began.wait(LIMIT_S)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=15)
        assert process.returncode == 75, err
    assert not [key for key in bucket.keys() if "/wavs/" in key or "/slice/" in key]  # noqa: SIM118
    aws(seaweed)
    assert svc_jobs("slice", "-w", bucket.url).code == 0
    clips = {key: value for key, value in bucket.content().items() if "/wavs/" in key}
    assert clips == content(finished, "data/44k/alice/wavs/*.wav")


def test_the_network_goes_away_in_the_middle_and_costs_its_time(
    svc_jobs_process, svc_jobs, seaweed, aws, finished, bucket
):
    bucket.upload(finished, "raw")
    assert svc_jobs("prepare", "-w", bucket.url, *SETTINGS[:-2]).code == 0
    with breaking(seaweed.port, lambda request: Fault.LATENCY if request.method == "PUT" else None) as proxy:
        aws(seaweed, proxy.endpoint)
        process = svc_jobs_process("slice", "-w", bucket.url)
        wait_for(lambda: [key for key in bucket.keys() if "/wavs/" in key])  # noqa: SIM118
        with proxy.away():
            time.sleep(8)
            assert process.poll() is None
        _, err = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, err
    clips = {key: value for key, value in bucket.content().items() if "/wavs/" in key}
    assert clips == content(finished, "data/44k/alice/wavs/*.wav")


def test_no_word_of_the_credentials_gets_out(svc_jobs_process, finished, bucket):
    bucket.upload(finished, "raw")
    said = ""
    for stage in (["prepare", *SETTINGS[:-2]], ["slice"], ["slice", "--scratch", "/proc/nowhere"]):
        process = svc_jobs_process(*stage, "-w", bucket.url, "-v", "--json")
        assert SECRET_KEY not in Path(f"/proc/{process.pid}/cmdline").read_text()
        said += "".join(process.communicate(timeout=LIMIT_S))
    assert '"stage": "slice"' in said
    assert SECRET_KEY not in said
    assert not [key for key in bucket.keys() if SECRET_KEY.encode() in bucket.read(key)]  # noqa: SIM118


def test_a_song_in_the_bucket_is_converted_into_the_bucket(svc_jobs, finished, finished_bucket, bucket):
    song = "songs/a song.wav"
    there = finished_bucket
    there.client.upload_file(str(finished.parent / "song.wav"), BUCKET, there.prefix + song)
    ran = svc_jobs("convert", f"{there.url}{song}", "-w", there.url, "--speaker", "alice", "--transpose", "2", "--json")
    assert ran.code == 0, ran.err
    (made,) = json.loads(ran.out)["facts"]["outputs"]
    assert made.startswith("converted/alice/a-song-")
    assert made in there.keys()  # noqa: SIM118
    ran = svc_jobs("convert", f"{there.url}songs/absent.wav", "-w", there.url, "--speaker", "alice")
    assert ran.code == 66
    assert "songs/absent.wav does not exist" in ran.err


def test_a_changed_plan_waits_for_no_running_shard(svc_jobs, svc_jobs_process, seaweed, aws, finished, bucket):
    bucket.upload(finished, "raw")
    assert svc_jobs("prepare", "-w", bucket.url, *SETTINGS[:-2]).code == 0

    def slow(request: Request):
        return Fault.HANG if request.method == "PUT" and "/wavs/" in request.target else None

    with breaking(seaweed.port, slow) as proxy:
        aws(seaweed, proxy.endpoint)
        process = svc_jobs_process("slice", "-w", bucket.url)
        wait_for(lambda: proxy.injected)
        aws(seaweed)
        ran = svc_jobs("prepare", "-w", bucket.url, "--min-length-ms", "4000")
        assert ran.code == 75
        assert "slice-0-of-1.json" in ran.err
        process.kill()


def wait_for(condition) -> None:
    ends = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.2)
