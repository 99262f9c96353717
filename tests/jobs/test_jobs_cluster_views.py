"""Recorded workflow objects (Argo 4.1.2) as rows, sentences and exit codes."""

import copy
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.cluster import table
from jobs.cluster.events import last_reading
from jobs.cluster.outcome import outcome, workspace_of
from jobs.cluster.pods import read_pod
from jobs.cluster.snapshot import Snapshot, cost
from jobs.cluster.stages import rows
from jobs.cluster.workflow import read_workflow, seconds
from jobs.console import Console

DATA = Path(__file__).parent / "data"
STAGES = ["prepare", "slice", "filelists", "features", "train", "evaluate", "publish", "report"]


def recorded(name):
    return json.loads((DATA / f"workflow-{name}.json").read_text())


def snapshot(value, pods=(), readings=None, at="2026-11-23T00:40:00Z"):
    workflow = read_workflow(value)
    return Snapshot(workflow, tuple(rows(workflow)), {pod.node_id: pod for pod in pods}, readings or {}, seconds(at))


def recorded_pods(name):
    return [read_pod(value) for value in json.loads((DATA / f"pods-{name}.json").read_text())["items"]]


def sharded(count, phases):
    """The recorded run with slice divided into shards of these phases."""
    value = recorded("succeeded")
    nodes = value["status"]["nodes"]
    group = next(node for node in nodes.values() if node["displayName"] == "slice")
    (retry_id,) = group["children"]
    (pod_id,) = nodes[retry_id]["children"]
    retry, pod = nodes.pop(retry_id), nodes.pop(pod_id)
    group["children"] = []
    for index, phase in zip(range(count), phases, strict=True):
        name = f"slice({index}:{index})"
        attempt = {**copy.deepcopy(pod), "id": f"p{index}", "displayName": f"{name}(0)", "phase": phase}
        whole = {
            **copy.deepcopy(retry),
            "id": f"r{index}",
            "displayName": name,
            "phase": phase,
            "children": [f"p{index}"],
        }
        nodes |= {f"p{index}": attempt, f"r{index}": whole}
        group["children"].append(f"r{index}")
    return value


def test_a_finished_run_has_a_row_per_stage_in_the_dags_order():
    found = snapshot(recorded("succeeded"))
    assert [(row.stage, row.state, len(row.shards)) for row in found.rows] == [(name, "done", 1) for name in STAGES]
    assert {row.group for row in found.rows} == {"bob"}
    assert not table.is_fan_out(found)
    assert table.note(found, found.rows[0]) == "2 recordings of bob, 0.3 min, voice 'bob'"
    ended = outcome(found.workflow)
    assert (ended.exit_code, ended.report) == (0, "s3://svc/c/bob/reports/bob/index.html")
    assert workspace_of(found.workflow) == "s3://svc/c/bob"


def test_a_failure_is_the_pods_own_sentence_and_exit_code():
    found = snapshot(recorded("failed"))
    assert [row.state for row in found.rows] == ["failed", *["not reached"] * 7]
    ended = outcome(found.workflow)
    assert ended.exit_code == 66
    assert ended.sentence == (
        "prepare: s3://svc/voices/nobody/raw/nobody does not exist: put the recordings of 'nobody' into it"
    )


def test_a_workflow_that_waits_for_its_mutex_says_so():
    found = snapshot(recorded("mutex"))
    assert "Pending: Waiting for svc-c/Mutex/svc-jobs-bob lock" in table.headline(found)
    assert [row.state for row in found.rows] == ["not reached"] * 8


def test_a_workflow_that_nobody_has_looked_at_yet():
    value = recorded("mutex")
    del value["status"]
    found = snapshot(value)
    assert "not yet seen by Argo's controller" in table.headline(found)
    assert found.rows == () or {row.state for row in found.rows} == {"not reached"}


def test_a_pod_without_a_node_shows_why():
    found = snapshot(recorded("unschedulable"), recorded_pods("unschedulable"))
    row = next(row for row in found.rows if row.stage == "features")
    assert row.state == "pending"
    assert table.note(found, row).startswith("Unschedulable: 0/2 nodes are available")


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError"])
def test_a_container_that_cannot_start_shows_why(reason):
    pod = json.loads((DATA / "pods-unschedulable.json").read_text())["items"][0]
    waiting = {"waiting": {"reason": reason, "message": "no such thing"}}
    pod["status"] = {"phase": "Pending", "containerStatuses": [{"name": "main", "state": waiting}]}
    assert read_pod(pod).waits_for == f"{reason}: no such thing"


def test_a_reason_changes_once_a_minute_at_most():
    pod = json.loads((DATA / "pods-unschedulable.json").read_text())["items"][0]
    begun = datetime.fromtimestamp(time.time() - 125, UTC).isoformat()
    pod["status"] = {"phase": "Pending", "startTime": begun}
    assert read_pod(pod).waits_for == "containers are not created after 2 min: kubectl describe pod says why"


def test_progress_speed_and_rest_come_from_the_pods_log():
    pods = recorded_pods("running-train")
    reading = last_reading((DATA / "train-log.txt").read_text())
    value = recorded("running-train")
    node = next(node["id"] for node in value["status"]["nodes"].values() if node["displayName"] == "train(0)")
    found = snapshot(value, pods, {node: reading}, at="2026-11-23T00:37:15Z")
    row = next(row for row in found.rows if row.stage == "train")
    facts = table.facts(found, row)
    assert facts["state"] == "running"
    assert facts["progress"] == pytest.approx(reading.count / reading.total, abs=1e-4)
    assert (facts["rate"], facts["unit"], facts["eta_s"]) == (reading.rate, "steps", reading.eta_s)
    assert facts["note"].startswith("mel ")
    assert cost(found).cpu_h > cost(snapshot(value)).cpu_h, "running pods count as they were asked for"


def test_without_a_log_argos_own_progress_counts():
    value = recorded("running-train")
    node = next(node for node in value["status"]["nodes"].values() if node["displayName"] == "train(0)")
    node["progress"] = "250/1000"
    found = snapshot(value)
    assert found.share(next(row for row in found.rows if row.stage == "train")) == 0.25


def test_between_two_attempts_the_last_ones_end_is_shown():
    found = snapshot(recorded("between"))
    row = next(row for row in found.rows if row.stage == "train")
    assert row.state == "pending"
    assert table.note(found, row) == "next attempt soon, the last one: pod deleted"


@pytest.mark.parametrize(
    ("end", "state", "words"),
    [
        ({"phase": "Failed", "outputs": {"exitCode": "66"}}, "failed", "raw/bob"),
        ({"phase": "Failed", "outputs": {"exitCode": "78"}}, "failed", "raw/bob"),
        ({"phase": "Failed", "outputs": {"exitCode": "75"}}, "pending", "next attempt soon, the last one: raw/bob"),
        ({"phase": "Failed", "outputs": {"exitCode": "137"}}, "pending", "next attempt soon"),
        ({"phase": "Succeeded", "outputs": {"exitCode": "0"}}, "done", ""),
    ],
)
def test_only_what_is_tried_again_has_a_next_attempt(end, state, words):
    """Argo marks the end of a pod before it marks the end of the Retry node above it."""
    value = recorded("between")
    node = next(node for node in value["status"]["nodes"].values() if node["displayName"] == "train(0)")
    node |= end | {"message": f"main: Error (exit code {end['outputs']['exitCode']}): raw/bob is empty"}
    found = snapshot(value)
    row = next(row for row in found.rows if row.stage == "train")
    assert row.state == state
    assert table.note(found, row).startswith(words)


def pod_that_failed(**status):
    metadata = {"name": "x", "labels": {"workflows.argoproj.io/workflow": "svc-x"}}
    return read_pod({"metadata": metadata, "status": {"phase": "Failed", **status}})


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ({"reason": "NodeAffinity", "message": "Pod was rejected: Predicate NodeAffinity failed"}, "Predicate Node"),
        ({"reason": "OutOfcpu", "message": "Pod was rejected: not enough"}, "OutOfcpu: Pod was rejected"),
        ({"reason": "UnexpectedAdmissionError"}, "UnexpectedAdmissionError"),
        (
            {"reason": "NodeAffinity", "containerStatuses": [{"name": "main", "state": {"waiting": {}}}]},
            "NodeAffinity",
        ),
        ({"reason": "Evicted", "containerStatuses": [{"name": "main", "state": {"terminated": {}}}]}, ""),
        ({}, ""),
    ],
)
def test_a_rejected_pod_is_one_that_failed_before_a_container_began(status, text):
    found = pod_that_failed(**status).rejected
    assert text in found
    assert bool(text) == bool(found)


def test_a_retried_stage_counts_its_attempts():
    found = snapshot(recorded("retried"))
    row = next(row for row in found.rows if row.stage == "train")
    assert (row.state, row.retries, len(row.shards[0].attempts)) == ("done", 1, 2)
    assert [pod.phase for pod in row.shards[0].attempts] == ["Error", "Succeeded"]
    assert (cost(found).attempts, cost(found).retried) == (9, 1)
    assert "1 of them tried again" in table.costline(found)


def test_a_fan_out_has_rows_for_each_speaker():
    found = snapshot(recorded("fanout-failed"))
    assert table.is_fan_out(found)
    assert table.columns(found)[0] == "speaker"
    by_speaker = {name: [row.state for row in found.rows if row.group == name] for name in ("alice", "bob", "nobody")}
    assert by_speaker == {"alice": ["done"] * 8, "bob": ["done"] * 8, "nobody": ["failed", *["not reached"] * 7]}
    ended = outcome(found.workflow)
    assert ended.exit_code == 66
    assert ended.sentence.startswith("nobody, prepare: s3://svc/c/nobody/raw/nobody does not exist")


def test_a_fan_out_at_work_knows_what_each_speaker_does():
    found = snapshot(recorded("fanout-running"))
    assert {row.state for row in found.rows if row.group == "alice"} >= {"done", "not reached"}
    assert all(len(row) == len(table.columns(found)) for row in table.cells(found))


def test_of_many_speakers_only_what_matters_has_a_row():
    assert [row[:3] for row in table.cells(snapshot(recorded("fanout-failed")))] == [
        ["alice", "report", "done"],
        ["bob", "report", "done"],
        ["nobody", "prepare", "failed"],
    ]


def test_a_running_pod_on_a_lost_node_says_what_frees_it():
    value = json.loads((DATA / "pods-running-train.json").read_text())
    for pod in value["items"]:
        pod["metadata"]["deletionTimestamp"] = "2026-11-23T00:37:00Z"
    found = snapshot(recorded("running-train"), [read_pod(pod) for pod in value["items"]])
    row = next(row for row in found.rows if row.stage == "train")
    assert row.state == "running"
    assert "kubectl delete node test-node-2" in table.note(found, row)


def test_a_speaker_that_waits_for_its_turn_is_one_row():
    value = recorded("fanout-running")
    nodes = value["status"]["nodes"]
    group = next(key for key, node in nodes.items() if node["displayName"].endswith(":alice)"))
    for key in [key for key, node in nodes.items() if node.get("boundaryID") == group]:
        del nodes[key]
    nodes[group] |= {"phase": "Pending", "message": "Waiting for svc-c/Mutex/svc-jobs-alice lock. Lock status: 0/1"}
    found = snapshot(value)
    (row,) = [row for row in found.rows if row.group == "alice"]
    assert (row.stage, row.state) == ("", "pending")
    assert "Mutex" in table.note(found, row)


def test_shards_are_summed():
    found = snapshot(sharded(4, ["Succeeded", "Succeeded", "Running", "Failed"]))
    row = found.rows[1]
    assert [shard.index for shard in row.shards] == ["0", "1", "2", "3"]
    assert table.facts(found, row)["shards"] == {"done": 2, "running": 1, "failed": 1}
    assert "2/4, 1 running, 1 failed" in table.line(found, row)


@given(st.lists(st.sampled_from(["Succeeded", "Running", "Pending", "Failed", "Error"]), min_size=1, max_size=13))
def test_every_shard_is_counted_once(phases):
    found = snapshot(sharded(len(phases), phases))
    row = found.rows[1]
    assert sum(table.facts(found, row)["shards"].values()) == len(phases)
    assert [shard.index for shard in row.shards] == [str(index) for index in range(len(phases))]
    assert 0 <= found.share(row) <= 1


def test_shards_that_have_no_node_yet_count_too():
    """As a fan-out wider than the workflow's parallelism looks: two of fifty have been begun, and both are done."""
    value = sharded(2, ["Succeeded", "Succeeded"])
    for key in ("r0", "r1"):
        value["status"]["nodes"][key]["inputs"] = {"parameters": [{"name": "shards", "value": "50"}]}
    found = snapshot(value)
    row = found.rows[1]
    assert (row.total, row.state, found.share(row)) == (50, "pending", 0.04)
    assert "2/50" in table.line(found, row)


def test_a_shard_that_was_submitted_alone_is_all_there_is():
    value = recorded("succeeded")
    for node in value["status"]["nodes"].values():
        if node["displayName"].startswith("slice("):
            node["displayName"] = "slice"
            node["inputs"] = {"parameters": [{"name": "shards", "value": "4"}]}
    assert (snapshot(value).rows[1].total, snapshot(value).rows[1].state) == (1, "done")


def test_a_stage_without_work_is_skipped_and_the_next_ones_are_not():
    value = recorded("succeeded")
    nodes = value["status"]["nodes"]
    features = [key for key, node in nodes.items() if node["templateName"] == "features"]
    group = next(node for key, node in nodes.items() if key in features and node["type"] == "TaskGroup")
    for key in features:
        if nodes[key] is not group:
            del nodes[key]
    group |= {"type": "Skipped", "phase": "Skipped", "message": "Skipped, empty params", "children": []}
    states = [row.state for row in snapshot(value).rows]
    assert states == ["done"] * 3 + ["skipped"] + ["done"] * 4


def failed_pod(**changes):
    """The recorded failure with another end of its pod."""
    value = recorded("failed")
    pod = next(node for node in value["status"]["nodes"].values() if node["type"] == "Pod")
    pod.update(changes)
    return value


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"outputs": {"exitCode": "2"}}, 2),
        ({"outputs": {"exitCode": "70"}}, 70),
        ({"outputs": {"exitCode": "75"}}, 75),
        ({"outputs": {"exitCode": "78"}}, 78),
        ({"outputs": {"exitCode": "1"}}, 70),
        ({"outputs": {"exitCode": "143"}}, 75),
        ({"outputs": {"exitCode": "137"}, "message": "OOMKilled (exit code 137): limit of 2Gi"}, 78),
        ({"outputs": {}, "phase": "Error", "message": "pod deleted"}, 75),
        ({"outputs": {}, "phase": "Error", "message": 'pods "x" is forbidden: violates PodSecurity'}, 78),
    ],
)
def test_the_exit_code_is_the_stages_own_or_says_whether_to_try_again(changes, code):
    assert outcome(read_workflow(failed_pod(**changes))).exit_code == code


def test_a_stopped_workflow_can_go_on():
    value = failed_pod(message="workflow shutdown with strategy:  Stop")
    value["spec"]["shutdown"] = "Stop"
    ended = outcome(read_workflow(value))
    assert ended.exit_code == 75
    assert ended.sentence == "prepare was told to stop: what it saved stays, submit again to go on"


def test_a_workflow_that_argo_refuses_has_its_message():
    value = recorded("mutex")
    value["status"] |= {"phase": "Error", "message": "invalid spec: templates.speaker.tasks.x does not exist"}
    ended = outcome(read_workflow(value))
    assert (ended.exit_code, ended.sentence) == (78, value["status"]["message"])


def test_gpu_hours_count_every_kind_of_device():
    value = recorded("succeeded")
    pods = [node for node in value["status"]["nodes"].values() if node["type"] == "Pod"]
    pods[0]["resourcesDuration"] = {"cpu": 3600, "nvidia.com/gpu": 7200, "memory": 10, "ephemeral-storage": 0}
    pods[1]["resourcesDuration"] = {"amd.com/gpu": 3600}
    found = snapshot(value)
    assert cost(found).gpu_h == pytest.approx(3)
    assert "3 GPU hours" in table.costline(found)


def test_columns_that_say_nothing_are_left_out():
    names, rows = table.grid(snapshot(recorded("succeeded")))
    assert names == ["stage", "state", "done", "time", ""]
    assert all(len(row) == len(names) for row in rows)
    assert table.grid(snapshot(recorded("mutex")))[0] == ["stage", "state"]


def test_the_live_table_renders():
    from rich.console import Console as Rich

    from jobs.cluster.watch import picture

    rich = Rich(width=150, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with rich.file:
        rich.print(picture(snapshot(recorded("fanout-failed"))))
    text = rich.export_text()
    assert "nobody" in text
    assert "CPU hours" in text


def test_lines_are_said_once_for_each_change(capsys):
    from jobs.cluster.watch import Lines

    show = Lines(Console())
    for _ in range(3):
        show(snapshot(recorded("unschedulable"), recorded_pods("unschedulable")))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(set(lines)) == 5
    assert "Unschedulable" in lines[-1]


def test_json_changes_are_lines_on_stderr(capsys):
    from jobs.cluster.watch import Lines

    Lines(Console(json_mode=True))(snapshot(recorded("succeeded")))
    said = capsys.readouterr()
    events = [json.loads(line) for line in said.err.splitlines()]
    assert [event["event"] for event in events] == ["workflow", *["stage"] * 8]
    assert said.out == ""
