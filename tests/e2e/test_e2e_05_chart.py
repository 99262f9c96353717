"""Life of the chart: strict templates, schedules, upgrade, uninstall, and the command line beside it."""

import json
import re
import shutil

import controller
import pytest
import yaml
from conftest import TOY
from workflows import Workflow, submit, wait_for

from k8s.render import CHART


@pytest.fixture
def strict(chart):
    """Argo takes nothing from a submitter but arguments, while it lasts."""
    argo = controller.around(chart)
    before = (argo.get("configmap", controller.SETTINGS).get("data") or {}).get("workflowRestrictions")

    def restrict(rule: str | None) -> None:
        change = json.dumps({"data": {"workflowRestrictions": rule}})
        argo.run("patch", "configmap", controller.SETTINGS, "--type=merge", "-p", change)

    restrict("templateReferencing: Strict\n")
    yield
    restrict(before)


def test_templates_work_where_argo_takes_nothing_but_arguments(trained, chart, strict):
    own = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"generateName": "own-"}}
    own["spec"] = {"entrypoint": "x", "templates": [{"name": "x", "suspend": {"duration": "1s"}}]}
    refused = Workflow(
        chart, json.loads(chart.run("create", "-o", "json", "-f", "-", stdin=json.dumps(own)))["metadata"]["name"]
    )
    assert refused.wait(60) == "Error", "the restriction holds"
    submit(chart, "svc-speaker", speaker="alice", steps=6, **TOY).succeed()


def test_new_recordings_are_trained_on_by_schedule(chart, bucket, values):
    bucket.record("nightly")
    schedule = {"name": "e2e", "speakers": ["nightly"], "schedule": "* * * * *", "stepsPerMinute": 20}
    settings = ["--set-json", f"schedules=[{json.dumps(schedule)}]", "--set", "defaults.steps=4"]
    chart.helm_run("upgrade", "svc-jobs", CHART, *values, *settings)
    try:
        first = finished(chart, set())
        assert first.outputs("train")["step"] == "12"
        bucket.record("nightly", first=3)
        seen, then = {first.name}, finished(chart, {first.name})
        while then.outputs("prepare")["recordings"] != "6":
            seen.add(then.name)
            then = finished(chart, seen)
        assert then.outputs("train")["step"] == "24"
    finally:  # which takes the schedule's workflows along
        chart.helm_run("upgrade", "svc-jobs", CHART, *values)


def finished(chart, before: set[str]) -> Workflow:
    """The first succeeded workflow of the schedule that is not one of these."""

    def look() -> Workflow | None:
        found = chart.items("workflows", "-l", "workflows.argoproj.io/cron-workflow=svc-speakers-e2e")
        fresh = [Workflow(chart, item["metadata"]["name"]) for item in found if item["metadata"]["name"] not in before]
        failed = [one.messages() for one in fresh if one.phase in ("Failed", "Error")]
        assert not failed, failed
        return next((one for one in fresh if one.phase == "Succeeded"), None)

    return wait_for("a scheduled workflow succeeds", look, 400, 2.0)


def test_upgrade_keeps_a_running_workflow(chart, bucket, values, tmp_path):
    bucket.record("upgraded")
    run = submit(chart, "svc-speaker", speaker="upgraded", steps=30, **TOY)
    run.running_pod("train")
    newer = shutil.copytree(CHART, tmp_path / "svc-jobs")
    text = (newer / "Chart.yaml").read_text(encoding="utf-8")
    (newer / "Chart.yaml").write_text(re.sub(r"(?m)^version: .*$", "version: 99.0.0", text), encoding="utf-8")
    chart.helm_run("upgrade", "svc-jobs", newer, *values, "--set", "defaults.parallelism=3")
    run.succeed()
    chart.helm_run("upgrade", "svc-jobs", CHART, *values)


def test_the_command_line_submits_watches_and_shows(trained, chart, svc_jobs):
    toy = [f"--{key}={value}" for key, value in TOY.items()]
    ran = svc_jobs("submit", "alice", "-n", chart.namespace, *toy, "--steps=6", "--json")
    assert ran.code == 0
    name = json.loads(ran.out)["workflow"]
    shown = svc_jobs("status", name, "-n", chart.namespace)
    assert shown.code == 0
    assert "Succeeded" in shown.out
    assert svc_jobs("logs", trained.name, "-n", chart.namespace).code == 0


def test_the_command_line_ends_as_the_failed_stage_did(chart, svc_jobs):
    ran = svc_jobs("submit", "not-there", "-n", chart.namespace, "--watch")
    assert ran.code == 66
    assert "raw/not-there" in ran.err


def test_cancel_lets_training_save(chart, bucket, svc_jobs):
    bucket.record("cancelled")
    run = submit(chart, "svc-speaker", speaker="cancelled", steps=4000, **TOY)
    run.running_pod("train")
    wait_for("steps are done", lambda: '"progress"' in run.logs("train"), 120)
    assert svc_jobs("cancel", run.name, "-n", chart.namespace).code == 0
    assert run.wait(120) == "Failed"
    assert any(key.endswith("latest.json") for key in bucket.entries("voices/cancelled/logs/44k/cancelled"))


def test_the_doctor_finds_nothing(chart, svc_jobs):
    ran = svc_jobs("doctor", "--cluster", "-n", chart.namespace)
    assert ran.code == 0, ran.out


def test_uninstall_leaves_the_bucket_alone(trained, chart, bucket, values):
    before = bucket.entries("voices")
    chart.helm_run("uninstall", "svc-jobs", "--wait")
    assert not chart.items("workflowtemplates")
    assert bucket.entries("voices") == before
    chart.helm_run("install", "svc-jobs", CHART, *values)
    rendered = [item for item in yaml.safe_load_all(chart.helm_run("get", "manifest", "svc-jobs")) if item]
    assert rendered
