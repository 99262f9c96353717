"""submit, status, logs and cancel against a scripted API server."""

import json
import os
import signal
from pathlib import Path

import pytest
from cluster_server import Answer, ApiServer, status

from jobs.cluster import logs, submit, watch
from jobs.cluster.client import connect
from jobs.cluster.workflow import read_workflow
from jobs.console import Console
from jobs.stop import Stop
from svc_core.errors import ConfigError, Preempted, Transient

DATA = Path(__file__).parent / "data"
ARGO = "/apis/argoproj.io/v1alpha1/namespaces/svc"
TEMPLATE = {
    "metadata": {"name": "svc-speaker"},
    "spec": {
        "arguments": {
            "parameters": [
                {"name": "speaker"},
                {"name": "workspace", "value": ""},
                {"name": "preset", "value": "full", "enum": ["full", "tiny", "toy"]},
                {"name": "steps", "value": "20000"},
            ]
        }
    },
}


def recorded(file, **metadata):
    value = json.loads((DATA / f"workflow-{file}.json").read_text())
    value["metadata"] |= {"namespace": "svc", **metadata}
    return value


@pytest.fixture
def server(tmp_path, monkeypatch):
    started = ApiServer()
    monkeypatch.setenv("KUBECONFIG", str(started.kubeconfig(tmp_path / "kubeconfig")))
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    started.on["GET", f"{ARGO}/workflowtemplates/svc-speaker"] = Answer(200, TEMPLATE)
    started.on["GET", "/api/v1/namespaces/svc/pods"] = Answer(200, {"items": []})
    yield started
    started.close()


def holds(server, *values):
    """Makes the server hold these workflows."""
    items = [{"metadata": value["metadata"]} for value in values]
    server.on["GET", f"{ARGO}/workflows"] = Answer(200, {"items": items})
    for value in values:
        server.on["GET", f"{ARGO}/workflows/{value['metadata']['name']}"] = Answer(200, value)


def without_bucket(value):
    for node in value["status"]["nodes"].values():
        node.pop("inputs", None)
    return value


def creates(server, name):
    server.on["POST", f"{ARGO}/workflows"] = Answer(201, {"metadata": {"name": name}})


def test_submit_sends_only_what_was_given(server, svc_jobs):
    creates(server, "svc-zoe-k-x")
    ran = svc_jobs("submit", "Zoé K", "--preset", "toy", "-p", "steps=6", "--no-watch", "--json")
    assert (ran.code, json.loads(ran.out)["workflow"]) == (0, "svc-zoe-k-x")
    (sent,) = [asked.body for asked in server.asked if asked.method == "POST"]
    assert sent["spec"] == {
        "workflowTemplateRef": {"name": "svc-speaker"},
        "arguments": {
            "parameters": [
                {"name": "speaker", "value": "Zoé K"},
                {"name": "preset", "value": "toy"},
                {"name": "steps", "value": "6"},
            ]
        },
    }, "anything else would be refused under templateReferencing: Strict"
    assert sent["metadata"]["generateName"] == "svc-zoe-k-"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["../x"], "speaker name"),
        (["a/b"], "speaker name"),
        (["alice", "--preset", "huge"], "must be one of full, tiny, toy"),
        (["alice", "-p", "colour=red"], "no parameter 'colour', only speaker, workspace, preset, steps"),
        (["alice", "--f0", "dio"], "no parameter 'f0'"),
        (["alice", "-p", "steps"], "is not name=value"),
        (["alice", "--template", "svc-nothing"], "helm install"),
    ],
)
def test_what_cannot_be_submitted_is_said_before_anything_is_made(server, svc_jobs, arguments, words):
    server.on["GET", f"{ARGO}/workflowtemplates"] = Answer(200, {"items": []})
    ran = svc_jobs("submit", *arguments)
    assert ran.code == 78
    assert words in ran.err
    assert not [asked for asked in server.asked if asked.method == "POST"]


def test_a_speaker_is_checked_before_the_server_is_asked(server, svc_jobs):
    assert svc_jobs("submit", ".hidden").code == 78
    assert not server.asked


def test_every_mistake_is_named_at_once():
    known = submit.parameters(TEMPLATE)
    with pytest.raises(ConfigError) as raised:
        submit.check("svc-speaker", known, {"preset": "huge", "colour": "red"})
    assert all(word in str(raised.value) for word in ("preset", "colour", "needs speaker"))


def test_submit_watches_until_the_end_and_ends_as_the_workflow_did(server, svc_jobs, monkeypatch):
    monkeypatch.setattr(watch, "EVERY_S", 0.01)
    creates(server, "svc-x")
    looks = [recorded("mutex", name="svc-x"), recorded("failed", name="svc-x")]
    path = f"{ARGO}/workflows/svc-x"
    server.on["GET", path] = lambda asked: Answer(200, looks.pop(0) if len(looks) > 1 else looks[0])
    ran = svc_jobs("submit", "nobody", "--json")
    answer = json.loads(ran.out)
    assert (ran.code, answer["exit_code"], answer["status"]) == (66, 66, "error")
    assert "raw/nobody does not exist" in answer["sentence"]
    assert "raw/nobody does not exist" in answer["error"]
    assert answer["stages"][0]["stage"] == "prepare"
    events = [json.loads(line) for line in ran.err.splitlines()]
    assert "Mutex" in next(event for event in events if event["event"] == "workflow")["message"]
    assert {event["event"] for event in events} == {"note", "workflow", "stage"}
    ran = svc_jobs("status", "svc-x", "--watch")
    assert ran.code == 66
    assert ran.err.startswith("error: prepare: s3://")
    assert ran.err.count("\n") == 1


def test_status_lists_ours_newest_first(server, svc_jobs):
    old, new = recorded("succeeded", name="svc-old"), recorded("mutex", name="svc-new")
    other = {"metadata": {"name": "other", "labels": {}, "creationTimestamp": "2026-11-23T00:00:00Z"}}
    holds(server, old, new, other)
    listed = json.loads(svc_jobs("status", "--json").out)["workflows"]
    assert [item["workflow"] for item in listed] == ["svc-new", "svc-old"]
    assert (listed[0]["speaker"], listed[0]["phase"]) == ("bob", "Pending")
    assert listed[0]["age_s"] > 0


def test_status_of_an_empty_namespace_says_how_to_begin(server, svc_jobs):
    holds(server)
    ran = svc_jobs("status")
    assert ran.code == 0
    assert "svc-jobs submit" in ran.out


def test_status_finds_the_newest_workflow_of_a_speaker(server, svc_jobs):
    holds(server, without_bucket(recorded("succeeded", name="svc-done")), recorded("mutex", name="svc-later"))
    ran = svc_jobs("status", "bob")
    assert (ran.code, "svc-later (bob) Pending" in ran.out) == (0, True)
    ran = svc_jobs("status", "svc-done")
    assert "train  done" in ran.out


def test_of_a_speakers_workflows_the_one_at_work_is_meant(server, svc_jobs):
    ended = recorded("failed", name="svc-ended", creationTimestamp="2026-11-23T09:00:00Z")
    ended["metadata"]["labels"]["svc-jobs/speaker"] = "bob"
    holds(server, ended, without_bucket(recorded("running-train", name="svc-running")))
    assert "svc-running (bob) Running" in svc_jobs("status", "bob").out


def test_a_label_that_stands_for_two_names_is_not_enough(server, svc_jobs):
    value = recorded("mutex", name="svc-x", labels={"svc-jobs/speaker": "b-b"})
    value["spec"]["arguments"]["parameters"][0]["value"] = "b b"
    holds(server, value)
    assert svc_jobs("status", "b b").code == 0
    ran = svc_jobs("status", "b?b")
    assert (ran.code, "neither a workflow nor the speaker" in ran.err) == (66, True)


def test_a_bucket_that_cannot_be_read_is_a_remark(server, svc_jobs, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setattr("jobs.cluster.remote.BUDGET_S", 0.1)
    holds(server, recorded("succeeded", name="svc-x"))
    ran = svc_jobs("status", "svc-x", "--json")
    answer = json.loads(ran.out)
    assert (ran.code, answer["phase"]) == (0, "Succeeded")
    assert answer["bucket"]["problem"]


@pytest.mark.parametrize(("flags", "shutdown"), [([], "Stop"), (["--now"], "Terminate")])
def test_cancel_asks_the_stages_to_save_or_ends_them(server, svc_jobs, flags, shutdown):
    holds(server, recorded("running-train", name="svc-x"))
    server.on["PATCH", f"{ARGO}/workflows/svc-x"] = Answer(200, {})
    ran = svc_jobs("cancel", "svc-x", *flags)
    assert (ran.code, shutdown.lower() in ran.out) == (0, True)
    (sent,) = [asked.body for asked in server.asked if asked.method == "PATCH"]
    assert sent == {"spec": {"shutdown": shutdown}}


def test_cancel_leaves_what_has_ended_alone(server, svc_jobs):
    holds(server, recorded("failed", name="svc-x"))
    ran = svc_jobs("cancel", "svc-x")
    assert (ran.code, "already ended" in ran.out) == (0, True)
    assert not [asked for asked in server.asked if asked.method == "PATCH"]


def test_cancel_that_is_not_allowed_names_the_verb(server, svc_jobs):
    holds(server, recorded("running-train", name="svc-x"))
    reason = 'workflows "svc-x" is forbidden: User "eve" cannot patch resource "workflows" in API group "argoproj.io"'
    server.on["PATCH", f"{ARGO}/workflows/svc-x"] = status(403, reason, "Forbidden")
    ran = svc_jobs("cancel", "svc-x")
    assert (ran.code, "you may not patch workflows in namespace svc" in ran.err) == (78, True)


def training_pod():
    pods = json.loads((DATA / "pods-running-train.json").read_text())
    (train,) = [pod for pod in pods["items"] if "train" in pod["metadata"]["name"]]
    return train


def running_pod(server, log):
    value = recorded("running-train", name="svc-x")
    train = training_pod()
    server.on["GET", "/api/v1/namespaces/svc/pods"] = Answer(200, {"items": [train]})
    server.on["GET", f"/api/v1/namespaces/svc/pods/{train['metadata']['name']}/log"] = log
    holds(server, value)
    return value


def rejected_train(server, value):
    """Makes a node reject the training pod, as the API server then shows it; returns the pod's name."""
    train = training_pod()
    rejection = {"reason": "NodeAffinity", "message": "Pod was rejected: Predicate NodeAffinity failed"}
    train["status"] = {"phase": "Failed", "startTime": "2026-11-23T00:37:01Z", **rejection}
    train["metadata"]["labels"]["workflows.argoproj.io/workflow"] = value["metadata"]["name"]
    node = value["status"]["nodes"][train["metadata"]["annotations"]["workflows.argoproj.io/node-id"]]
    node |= {"phase": "Failed", "message": rejection["message"], "taskResultSynced": False}
    server.on["GET", "/api/v1/namespaces/svc/pods"] = Answer(200, {"items": [train]})
    holds(server, value)
    return train["metadata"]["name"]


def stamped(*lines):
    return b"".join(f"2026-11-23T00:37:{number:02}.000000001Z {line}\n".encode() for number, line in enumerate(lines))


def test_logs_are_readable_and_pods_that_are_gone_say_what_remains(server, svc_jobs):
    progress = (DATA / "train-log.txt").read_text().splitlines()[-1]
    running_pod(server, Answer(200, stamped('{"event": "note", "text": "hello"}', progress, "a bare line")))
    ran = svc_jobs("logs", "svc-x")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0].startswith("prepare | its pod is gone, and its log with it; what remains: planned: 2 recordings")
    assert lines[-3:] == ["train | hello", lines[-2], "train | a bare line"]
    assert "64/160 steps" in lines[-2]


def test_logs_of_one_stage_and_shard(server, svc_jobs):
    running_pod(server, Answer(200, stamped("a", "b")))
    assert svc_jobs("logs", "svc-x", "--stage", "train").out.splitlines() == ["train | a", "train | b"]
    assert svc_jobs("logs", "svc-x", "--stage", "train", "--json").out.splitlines() == ["train | a", "train | b"]
    assert "slice" in svc_jobs("logs", "svc-x", "--stage", "slice", "--shard", "0").out
    for arguments in (["--stage", "sing"], ["--stage", "slice", "--shard", "7"]):
        ran = svc_jobs("logs", "svc-x", *arguments)
        assert (ran.code, ran.err.count("\n")) == (66, 1)


def test_a_followed_log_goes_on_where_it_was_and_outlives_a_broken_connection(server, monkeypatch):
    monkeypatch.setattr(logs, "EVERY_S", 0.0)
    answers = [
        Answer(200, stamped("a")),
        status(503, "away"),
        Answer(200, stamped("a", "b"), cut=True),
        Answer(200, stamped("a", "b", "c")),
    ]
    value = running_pod(server, lambda asked: answers.pop(0))
    ended = recorded("running-train", name="svc-x")
    ended["status"]["phase"] = "Succeeded"
    server.on["GET", f"{ARGO}/workflows/svc-x"] = lambda asked: Answer(200, value if len(answers) > 1 else ended)
    found = logs.lines(connect(), read_workflow(value), logs.Wanted("train"), Stop())
    said = [line.text for line in found]
    assert [text for text in said if len(text) == 1] == ["a", "b", "c"]
    assert [text for text in said if len(text) > 1] == [next(text for text in said if "cannot be read now" in text)]
    since = [asked.query.get("sinceTime") for asked in server.asked if asked.path.endswith("/log")]
    assert since == [None, *["2026-11-23T00:37:00Z"] * 3]


def test_a_pod_without_a_log_does_not_keep_the_others_back(server, svc_jobs):
    running_pod(server, status(400, 'container "main" in pod "x" is not available', "BadRequest"))
    server.on["GET", f"/api/v1/namespaces/svc/pods/{training_pod()['metadata']['name']}"] = Answer(200, training_pod())
    ran = svc_jobs("logs", "svc-x")
    assert ran.code == 0
    assert "planned: 2 recordings" in ran.out
    assert ran.out.splitlines()[-1].startswith("train | its log cannot be read now: ")


def test_a_pod_that_waits_says_why_it_has_no_log(server, svc_jobs):
    holds(server, recorded("unschedulable", name="svc-x"))
    pods = json.loads((DATA / "pods-unschedulable.json").read_text())
    server.on["GET", "/api/v1/namespaces/svc/pods"] = Answer(200, pods)
    ran = svc_jobs("logs", "svc-x", "--stage", "features")
    assert ran.out.startswith("features | no log yet: Unschedulable: 0/2 nodes are available")


def test_logs_that_may_not_be_read_are_an_error(server, svc_jobs):
    reason = 'pods "x" is forbidden: User "eve" cannot get resource "pods/log" in API group ""'
    running_pod(server, status(403, reason, "Forbidden"))
    ran = svc_jobs("logs", "svc-x")
    assert (ran.code, "you may not get pods/log" in ran.err) == (78, True)


def test_a_rejected_pod_is_named_with_its_cure(server, svc_jobs):
    value = without_bucket(recorded("running-train", name="svc-x"))
    name = rejected_train(server, value)
    ran = svc_jobs("status", "svc-x")
    assert any(
        line.startswith("train  pending") and line.endswith("Pod was rejected: Predicate NodeAffinity failed")
        for line in ran.out.splitlines()
    )
    assert f"kubectl -n svc delete pod {name}" in ran.err
    ran = svc_jobs("logs", "svc-x", "--stage", "train")
    assert ran.out == "train | its pod never began: Pod was rejected: Predicate NodeAffinity failed\n"
    value["status"]["phase"] = "Failed"
    assert "kubectl" not in svc_jobs("status", "svc-x").err, "an ended workflow waits for nothing"


def test_a_pod_that_goes_between_listing_and_reading_is_no_error(server):
    value = running_pod(server, status(404, "pods not found"))
    assert list(logs.lines(connect(), read_workflow(value), logs.Wanted("train"))) == []


def test_watching_waits_out_a_server_that_is_away(server, monkeypatch, capsys):
    answers = [status(503, "etcd is away"), Answer(200, recorded("mutex")), Answer(200, recorded("succeeded"))]
    monkeypatch.setattr(watch, "EVERY_S", 0.0)
    server.on["GET", f"{ARGO}/workflows/svc-x"] = lambda asked: answers.pop(0)
    last = watch.watch(connect(), "svc-x", Console(), Stop())
    assert last.workflow.phase == "Succeeded"
    assert "etcd is away" in capsys.readouterr().err


def test_watching_ends_when_the_server_stays_away(server, monkeypatch):
    monkeypatch.setattr(watch, "PATIENCE_S", -1.0)
    server.on["GET", f"{ARGO}/workflows/svc-x"] = status(503, "away")
    with pytest.raises(Transient, match="svc-x goes on without it"):
        watch.watch(connect(), "svc-x", Console(), Stop())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_watching_and_says_how_to_go_on(server, number):
    stop = Stop()
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}

    def look(asked):
        os.kill(os.getpid(), number)
        return Answer(200, recorded("running-train"))

    server.on["GET", f"{ARGO}/workflows/svc-x"] = look
    try:
        stop.install()
        with pytest.raises(Preempted) as raised:
            watch.watch(connect(), "svc-x", Console(quiet=True), stop)
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
    assert all(word in str(raised.value) for word in ("svc-x goes on", "status svc-x -n svc --watch", "cancel svc-x"))
    assert not [asked for asked in server.asked if asked.method != "GET"]


def test_pods_that_may_not_be_listed_cost_only_the_details(server, svc_jobs):
    holds(server, recorded("running-train", name="svc-x"))
    reason = 'pods is forbidden: User "eve" cannot list resource "pods" in API group ""'
    server.on["GET", "/api/v1/namespaces/svc/pods"] = status(403, reason, "Forbidden")
    value = recorded("running-train", name="svc-x")
    holds(server, without_bucket(value))
    ran = svc_jobs("status", "svc-x")
    assert ran.code == 0
    assert "you may not list pods in namespace svc" in ran.err


def test_watch_without_a_name_does_not_parse(server, svc_jobs):
    assert svc_jobs("status", "--watch").code == 2
