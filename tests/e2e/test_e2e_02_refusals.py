"""Bad input and hostile parameters: what is said, where, and that nothing else happens."""

import json
import subprocess

import pytest
import yaml
from conftest import NAMESPACE, PLANNED, TOY
from workflows import refusal, submit, workflow

from k8s.render import CHART
from k8s.store import BUCKET


def test_a_missing_speaker_fails_at_once_and_retry_goes_on_when_it_is_there(chart, bucket, argo):
    failed = submit(chart, "svc-speaker", speaker="late", steps=4, **TOY)
    assert failed.wait() == "Failed"
    assert failed.exit_codes("prepare") == ["66"], "one attempt: no other would help"
    assert "raw/late" in failed.nodes("prepare")[0]["message"]
    bucket.record("late")
    subprocess.run([argo, "retry", failed.name, "-n", chart.namespace], check=True, timeout=60, capture_output=True)
    failed.succeed()
    assert any(key.startswith("models/late/") for key in bucket.entries("voices/late"))


def test_a_wrong_config_fails_with_the_field_and_without_another_attempt(trained, chart, bucket):
    bucket.copy("voices/alice", "voices/edited")
    key = "voices/edited/app/configs/44k/config_colab_alice.json"
    config = json.loads(bucket.read(key))
    config["train"]["learning_rate"] = "fast"
    bucket.write(key, json.dumps(config).encode())
    failed = submit(chart, "svc-train", speaker="alice", workspace=f"s3://{BUCKET}/voices/edited", device="cpu")
    assert failed.wait() == "Failed"
    assert failed.exit_codes("train") == ["78"]
    assert "train.learning_rate" in failed.nodes("train")[0]["message"]


def test_no_gpu_where_one_is_required(trained, chart):
    failed = submit(chart, "svc-features", speaker="alice", device="cuda")
    assert failed.wait() == "Failed"
    assert failed.exit_codes("features") == ["78"]
    assert "GPU" in failed.nodes("features")[0]["message"]


@pytest.mark.parametrize("speaker", ["../../x; rm", "a/b", ".hid", "{{workflow.name}}", "a\\b", "x" * 64])
def test_a_speaker_that_could_leave_its_place_is_refused_before_a_pod(chart, speaker):
    said = refusal(chart, workflow("svc-speaker", {"speaker": speaker}))
    assert "speaker must be" in said or "plain values" in said


@pytest.mark.parametrize(
    ("template", "parameters"),
    [
        ("svc-speaker", {"speaker": "a", "workspace": "s3://svc/../other"}),
        ("svc-speaker", {"speaker": "a", "workspace": "file:///etc"}),
        ("svc-convert", {"speaker": "a", "input": "/etc/passwd"}),
        ("svc-speakers", {"speakers": '["a", "../b"]'}),
        ("svc-speakers", {"speakers": '["{{workflow.name}}"]'}),
        ("svc-speaker", {"speaker": "a", "run": "{{=workflow.name}}"}),
    ],
)
def test_so_is_every_other_parameter(chart, template, parameters):
    refusal(chart, workflow(template, parameters))


def test_a_value_from_elsewhere_is_refused(chart):
    asked = json.loads(workflow("svc-speaker", {"speaker": "a"}))
    asked["spec"]["arguments"]["parameters"] = [
        {"name": "speaker", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "y"}}}
    ]
    assert "plain values" in refusal(chart, json.dumps(asked))


def test_a_shells_letters_arrive_as_letters(chart, bucket):
    """Letters that only a shell would act on are a legal folder name, and stay one."""
    speaker = "a$(id);`id`&& b"
    bucket.record(speaker)
    run = submit(chart, "svc-prepare", speaker=speaker, **PLANNED)
    run.succeed()
    assert speaker in run.outputs("prepare")["message"]


@pytest.mark.parametrize("name", sorted(path.name for path in (CHART / "ci").glob("*-values.yaml")))
def test_the_server_takes_every_rendered_object(chart, name):
    """Argo's full CRDs and Kubernetes' own checks, on the real API server."""
    rendered = chart.helm_run(
        "template", "other", CHART, "-f", CHART / "ci" / name, "--set", "serviceAccount.name=other"
    )
    kinds = {item["kind"] for item in yaml.safe_load_all(rendered) if item}
    assert {"WorkflowTemplate", "Role", "ValidatingAdmissionPolicy"} <= kinds
    # A namespace of its own: objects of the same name belong to the release that is installed.
    chart.run("create", "--dry-run=server", "-f", "-", "--namespace", "default", stdin=of_default(rendered))


def of_default(rendered: str) -> str:
    """The objects, moved to the namespace `default`, with a policy's name of its own."""
    return rendered.replace(f"svc-jobs-{NAMESPACE}", "svc-jobs-dry-run")


def test_a_pod_holds_no_token_and_gets_nothing_from_the_api(trained, chart):
    """The pod is one of ours in everything but its command."""
    pod = json.loads(probe(chart))
    name = pod["metadata"]["name"]
    chart.run("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s", limit_s=70)
    ask = (
        "import pathlib, ssl, urllib.request, urllib.error\n"
        "print(pathlib.Path('/var/run/secrets/kubernetes.io').exists())\n"
        "try:\n"
        "  urllib.request.urlopen('https://kubernetes.default.svc/api/v1/namespaces', "
        "context=ssl._create_unverified_context(), timeout=10)\n"
        "except urllib.error.HTTPError as error: print(error.code)\n"
    )
    said = chart.execute(name, "python", "-c", ask).split()
    chart.run("delete", "pod", name, "--wait=false", "--grace-period=1")
    assert said[0] == "False"
    assert said[1] in ("401", "403")


def probe(chart) -> str:
    template = chart.get("workflowtemplate", "svc-prepare")
    stage = next(part for part in template["spec"]["templates"] if "container" in part)
    container = {**stage["container"], "command": ["python", "-c", "import time; time.sleep(120)"], "args": []}
    container["env"] = [item for item in container["env"] if item["name"] != "SVC_MEMORY_LIMIT"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "probe-"},
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": stage["serviceAccountName"],
            "automountServiceAccountToken": stage["automountServiceAccountToken"],
            "securityContext": stage["securityContext"],
            "nodeSelector": stage["nodeSelector"],
            "volumes": stage["volumes"],
            "containers": [container],
        },
    }
    return chart.run("create", "-f", "-", "-o", "json", stdin=json.dumps(pod))
