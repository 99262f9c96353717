"""Work divided over pods of two pools, many speakers at once, and stages that run out of memory."""

import json

import pytest
from bucket import flac
from conftest import TOY
from workflows import submit

from k8s.render import CHART

TAKES = 24


def spoiled(number: int) -> bytes:
    """A recording whose header is sound and whose samples are not."""
    content = bytearray(flac(number, 12.0))
    content[len(content) // 3 :] = bytes(len(content) - len(content) // 3)
    return bytes(content)


@pytest.fixture(scope="session")
def divided(chart, bucket):
    """25 recordings, one of them spoiled, in four parts for slice and three for features."""
    bucket.record("many", count=TAKES)
    bucket.write("voices/many/raw/many/spoiled.flac", spoiled(99))
    shards = {"slice_shard_minutes": 1.25, "features_shard_minutes": 1.6}
    return submit(chart, "svc-speaker", speaker="many", steps=4, **shards, **TOY).succeed(900)


def test_each_part_is_a_pod_in_its_pool(divided, chart, pools):
    slices, features = divided.nodes("slice"), divided.nodes("features")
    assert (len(slices), len(features)) == (4, 3)
    assert {node["hostNodeName"] for node in slices} <= set(pools.cpu)
    assert {node["hostNodeName"] for node in features} == {pools.gpu}
    assert all(node["resourcesDuration"]["nvidia.com/gpu"] >= 1 for node in features)
    shards = [{one["name"]: one["value"] for one in node["inputs"]["parameters"]}["shard"] for node in features]
    assert sorted(shards) == ["0", "1", "2"]


def test_a_spoiled_file_costs_that_file_and_is_named(divided, bucket):
    ledgers = [key for key in bucket.entries("voices/many/data/prep/manifests/slice/many") if "spoiled" in key]
    assert len(ledgers) == 1
    assert json.loads(bucket.read(f"voices/many/data/prep/manifests/slice/many/{ledgers[0]}"))["error"]
    wavs = [key for key in bucket.entries("voices/many/data/44k/many/wavs") if key.endswith(".wav")]
    assert len(wavs) >= TAKES
    assert not any("spoiled" in key for key in wavs)


def test_above_the_share_the_workflow_fails(chart, bucket):
    bucket.record("few")
    bucket.write("voices/few/raw/few/spoiled.flac", spoiled(98))
    failed = submit(chart, "svc-speaker", speaker="few", steps=4, **TOY)
    assert failed.wait() == "Failed"
    assert failed.exit_codes("slice") == ["66"]
    assert "1 of 4 recordings" in failed.nodes("slice")[0]["message"]


def test_one_speaker_that_fails_does_not_stop_the_others(chart, bucket):
    bucket.record("bob")
    run = submit(chart, "svc-speakers", speakers='["bob", "nobody"]', steps=4, **TOY)
    assert run.wait(900) == "Failed"
    assert sorted(run.exit_codes("prepare")) == ["0", "66"]
    assert run.exit_codes("report") == ["0"]
    assert any(key.startswith("models/bob/") for key in bucket.entries("voices/bob"))


@pytest.fixture
def changed(chart, values):
    """Upgrades the release with other values, and back at the end."""

    def change(*settings: str) -> None:
        chart.helm_run("upgrade", "svc-jobs", CHART, *values, *(part for one in settings for part in ("--set", one)))

    yield change
    chart.helm_run("upgrade", "svc-jobs", CHART, *values)


def test_a_stage_killed_for_memory_gets_more_once(chart, bucket, changed):
    changed("stages.features.memory=200Mi", "stages.features.memoryAfterOom=1536Mi")
    bucket.record("hungry")
    run = submit(chart, "svc-speaker", speaker="hungry", steps=4, **TOY).succeed()
    first, second = run.nodes("features")
    assert "OOMKilled" in first["message"]
    assert "limit of 200Mi" in first["message"]
    assert second["phase"] == "Succeeded"


def test_what_is_not_enough_either_ends_it_and_says_how_much_there_was(chart, bucket, changed):
    changed("stages.features.memory=180Mi", "stages.features.memoryAfterOom=220Mi")
    bucket.record("starved")
    run = submit(chart, "svc-speaker", speaker="starved", steps=4, **TOY)
    assert run.wait() == "Failed"
    limits = ["180Mi", "220Mi"]
    messages = [node["message"] for node in run.nodes("features")]
    assert len(messages) == 2
    assert all(f"limit of {limit}" in message for limit, message in zip(limits, messages, strict=True))
