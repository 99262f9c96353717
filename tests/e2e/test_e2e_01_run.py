"""A speaker from recordings to a voice in the cluster, held against the same run on this machine."""

import json
import subprocess
import time

import controller
import pytest
from bucket import takes
from compare import keys_here, keys_there, made_here, made_there
from conftest import PLANNED, STAGES, TOY, make_here
from workflows import Workflow, submit


@pytest.fixture(scope="session")
def here(tmp_path_factory, durations):
    """The workspace that a run on this machine makes from alice's recordings."""
    start = time.monotonic()
    root = make_here(tmp_path_factory.mktemp("here"), "alice", takes(3), "report", **PLANNED, steps=6)
    durations["the same stages on this machine, one process each"] = time.monotonic() - start
    return root


def test_the_workspace_is_what_a_run_here_makes(trained, bucket, here):
    assert keys_there(bucket, "voices/alice") == keys_here(here)
    assert made_there(bucket, "voices/alice", "alice") == made_here(here, "alice")


def test_every_stage_is_a_pod_with_figures(trained):
    assert [node["templateName"] for node in trained.nodes()] == list(STAGES)
    assert trained.outputs("prepare")["recordings"] == "3"
    assert trained.outputs("slice")["clips"] == trained.outputs("features")["clips"]
    assert trained.outputs("train")["step"] == "6"
    assert float(trained.outputs("train")["mel_loss"]) > 0
    assert trained.outputs("publish")["folder"] == "models/alice"


def test_the_report_is_an_artifact_that_a_browser_opens(trained, bucket):
    (report,) = [one for one in trained.nodes("report")[-1]["outputs"]["artifacts"] if one["name"] == "report-html"]
    page = bucket.read(report["s3"]["key"])
    assert page == bucket.read("voices/alice/reports/alice/index.html")
    assert page.lstrip().lower().startswith(b"<!doctype html>")


def test_labels_find_it(trained, chart):
    def found(selector: str) -> list[str]:
        return [item["metadata"]["name"] for item in chart.items("workflows", "-l", selector)]

    assert trained.name in found("svc-jobs/speaker=alice,svc-jobs/stage=all")
    assert found(f"svc-jobs/run={trained.name}") == [trained.name]
    stages = {pod["metadata"]["labels"]["svc-jobs/stage"] for pod in chart.items("pods", "-l", "svc-jobs/stage")}
    assert stages <= set(STAGES)


def test_logs_are_lines_of_json_with_one_answer(trained, chart):
    again = submit(chart, "svc-prepare", speaker="alice", steps=6, **PLANNED)
    again.succeed()
    lines = [json.loads(line) for line in again.logs("prepare").splitlines() if line.startswith("{")]
    (answer,) = [line for line in lines if "status" in line]
    assert (answer["status"], answer["exit_code"]) == ("done", 0)
    assert all("event" in line for line in lines if line != answer)


def test_the_controller_counts_for_prometheus(trained, chart):
    # Argo's own figures name mutexes, and with them speakers; ours must not.
    said = "\n".join(line for line in controller.metrics(chart).splitlines() if "svc_jobs_" in line)
    for stage in STAGES:
        assert f'svc_jobs_stage_seconds_count{{stage="{stage}",status="Succeeded"}}' in said
    assert 'svc_jobs_gpu_hours_total{stage="train"}' in said
    assert "alice" not in said


def test_a_second_submit_touches_no_data(trained, chart, bucket, durations):
    before = data(bucket)
    start = time.monotonic()
    again = submit(chart, "svc-speaker", speaker="alice", steps=6, **TOY).succeed()
    durations["submit of a speaker that is done"] = time.monotonic() - start
    assert all("already done" in again.outputs(stage)["message"] for stage in STAGES)
    assert data(bucket) == before


def test_resubmit_touches_no_data(trained, chart, bucket, argo):
    before = data(bucket)
    command = [argo, "resubmit", trained.name, "-n", chart.namespace, "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    Workflow(chart, json.loads(done.stdout)["metadata"]["name"]).succeed()
    assert data(bucket) == before


def test_two_submits_of_one_speaker_wait_for_each_other(trained, chart):
    pair = [submit(chart, "svc-speaker", speaker="alice", steps=6, **TOY) for _ in range(2)]
    for one in pair:
        one.succeed()
    spans = sorted((one.nodes()[0]["startedAt"], one.nodes()[-1]["finishedAt"]) for one in pair)
    assert spans[0][1] <= spans[1][0], f"they ran beside each other: {spans}"


def data(bucket) -> dict[str, tuple[str, str]]:
    """Everything but leases and receipts, which say who looked and when."""
    passing = ("data/prep/leases/", "data/prep/manifests/receipts/")
    return {key: value for key, value in bucket.entries("voices/alice").items() if not key.startswith(passing)}
