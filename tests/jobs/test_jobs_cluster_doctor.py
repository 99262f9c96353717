"""doctor --cluster against a scripted API server: a sound cluster, and each thing that can be wrong with one."""

import copy
import json
from importlib import metadata
from pathlib import Path

import pytest
from cluster_server import Answer, ApiServer, status

from jobs.cluster import doctor_argo, doctor_nodes, doctor_pod
from jobs.cluster.client import connect
from jobs.cluster.doctor import findings
from jobs.cluster.doctor_pod import findings_of, pod_like
from jobs.cluster.installed import read_installed

DATA = Path(__file__).parent / "data"
CORE = "/api/v1/namespaces/svc"
ARGO = "/apis/argoproj.io/v1alpha1/namespaces/svc"
ACCESS = "/apis/authorization.k8s.io/v1"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DOCTORS_ANSWER = {"status": "done", "findings": [{"subject": "put", "level": "ok", "text": "an object can be written"}]}


def template():
    value = json.loads((DATA / "workflowtemplate-speaker.json").read_text())
    value["metadata"]["labels"]["app.kubernetes.io/version"] = metadata.version("svc-jobs")
    return value


def definition(full=True):
    spec = {"properties": {"spec": {"properties": {"entrypoint": {}}} if full else {"type": "object"}}}
    established = {"conditions": [{"type": "Established", "status": "True"}]}
    return {"spec": {"versions": [{"schema": {"openAPIV3Schema": spec}}]}, "status": established}


def controller(image="quay.io/argoproj/workflow-controller:v4.1.2", ready=1, args=()):
    container = {"image": image, "args": list(args)}
    return {
        "metadata": {"name": "workflow-controller", "namespace": "argo"},
        "spec": {"template": {"spec": {"containers": [container]}}},
        "status": {"readyReplicas": ready},
    }


def node(name="n1", labels=None, taints=(), ready="True", **allocatable):
    images = [{"names": [f"docker.io/svc-jobs/{image}:0.1.0"]} for image in ("slice", "features", "train", "evaluate")]
    images.append({"names": ["docker.io/svc-jobs/publish:0.1.0"]})
    return {
        "metadata": {"name": name, "labels": labels or {"pool": "gpu"}},
        "spec": {"taints": list(taints)},
        "status": {
            "allocatable": {"cpu": "8", **allocatable},
            "images": images,
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }


def access(asked):
    """An executor that may do its two things, and a user who may do everything."""
    spec = asked.body["spec"]
    allowed = "user" not in spec or spec["resourceAttributes"]["resource"] == "workflowtaskresults"
    return Answer(201, {"status": {"allowed": allowed}})


def make_pod(asked):
    return Answer(201, {**asked.body, "metadata": {**asked.body["metadata"], "creationTimestamp": None}})


def look_at_pod(name):
    return Answer(200, {"metadata": {"name": name}, "status": {"phase": "Succeeded"}})


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A cluster on which all is well."""
    started = ApiServer()
    monkeypatch.setenv("KUBECONFIG", str(started.kubeconfig(tmp_path / "kubeconfig")))
    monkeypatch.setattr(doctor_pod.secrets, "token_hex", lambda count: "x")
    pod = f"{CORE}/pods/svc-jobs-doctor-x"
    started.on |= {
        ("GET", "/version"): Answer(200, {"gitVersion": "v1.34.4"}),
        ("GET", "/apis/apps/v1/deployments"): Answer(200, {"items": [controller()]}),
        ("GET", f"{ARGO}/workflowtemplates"): Answer(200, {"items": [template()]}),
        ("POST", f"{ACCESS}/selfsubjectaccessreviews"): access,
        ("POST", f"{ACCESS}/subjectaccessreviews"): access,
        ("GET", f"{CORE}/secrets/svc-jobs-executor.service-account-token"): Answer(200, {"data": {"token": "eA=="}}),
        ("GET", f"{CORE}/secrets/svc-bucket"): Answer(
            200, {"data": {"AWS_ACCESS_KEY_ID": "eA==", "AWS_SECRET_ACCESS_KEY": "eA=="}}
        ),
        ("GET", f"{CORE}/serviceaccounts/svc-jobs"): Answer(200, {}),
        ("GET", f"{CORE}/configmaps/svc-jobs-artifacts"): Answer(200, {"data": {"svc-jobs": "s3: {}"}}),
        ("GET", "/api/v1/namespaces/svc"): Answer(
            200, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
        ),
        ("GET", "/api/v1/nodes"): Answer(200, {"items": [node()]}),
        ("GET", f"{CORE}/pods"): Answer(200, {"items": []}),
        ("POST", f"{CORE}/pods"): make_pod,
        ("GET", pod): look_at_pod("svc-jobs-doctor-x"),
        ("GET", f"{pod}/log"): Answer(200, json.dumps(DOCTORS_ANSWER).encode()),
        ("DELETE", pod): Answer(200, {}),
    }
    for name in doctor_argo.DEFINITIONS:
        started.on["GET", f"{DEFINITIONS}/{name}.argoproj.io"] = Answer(200, definition())
    yield started
    started.close()


def examined(*subjects):
    found = list(findings(connect()))
    return [(item.level, item.text) for item in found if not subjects or item.subject.startswith(subjects)]


def test_a_sound_cluster_has_no_failure_and_leaves_nothing_behind(server, svc_jobs):
    ran = svc_jobs("doctor", "--cluster", "-n", "svc", "--json")
    answer = json.loads(ran.out)
    assert ran.code == 0, ran.err
    assert {item["level"] for item in answer["findings"]} == {"ok"}
    assert "in a pod: put" in {item["subject"] for item in answer["findings"]}
    made = [asked for asked in server.asked if asked.method == "POST" and asked.path == f"{CORE}/pods"]
    assert len([asked for asked in made if asked.query != {"dryRun": "All"}]) == 1
    assert [asked.path for asked in server.asked if asked.method == "DELETE"] == [f"{CORE}/pods/svc-jobs-doctor-x"]


def test_a_failure_exits_78_and_says_what_to_do(server, svc_jobs):
    server.on["GET", f"{CORE}/secrets/svc-bucket"] = status(404, "not found")
    ran = svc_jobs("doctor", "--cluster")
    assert (ran.code, "kubectl -n svc create secret generic svc-bucket" in ran.err) == (78, True)


def test_a_failure_answers_with_every_finding(server, svc_jobs):
    server.on["GET", f"{CORE}/secrets/svc-bucket"] = status(404, "not found")
    ran = svc_jobs("doctor", "--cluster", "--json")
    answer = json.loads(ran.out)
    assert (ran.code, answer["exit_code"], answer["status"], ran.err) == (78, 78, "error", "")
    levels = {item["subject"]: item["level"] for item in answer["findings"]}
    assert (levels["bucket's Secret"], levels["Pod Security"]) == ("fail", "ok")
    assert answer["error"].startswith("bucket's Secret: ")


def test_templates_that_may_not_be_listed_are_one_note(server):
    refused = 'workflowtemplates is forbidden: User "eve" cannot list resource "workflowtemplates" in API group ""'
    server.on["GET", f"{ARGO}/workflowtemplates"] = status(403, refused, "Forbidden")
    ((level, text),) = examined("workflow templates")
    assert (level, text.startswith("not checked")) == ("note", True)


def test_no_server_is_one_sentence(server, svc_jobs):
    server.close()
    ran = svc_jobs("doctor", "--cluster")
    assert (ran.code, ran.err.count("\n")) == (75, 1)


def test_an_old_api_server(server):
    server.on["GET", "/version"] = Answer(200, {"gitVersion": "v1.29.9-eks-1"})
    ((level, text),) = examined("API server")
    assert (level, "1.30" in text) == ("fail", True)


@pytest.mark.parametrize(
    ("answer", "level", "words"),
    [
        (status(404, "not found"), "fail", "absent: install Argo"),
        (Answer(200, {**definition(), "status": {}}), "fail", "not ready"),
        (Answer(200, definition(full=False)), "note", "without a schema"),
        (status(403, 'User "eve" cannot get resource "customresourcedefinitions"'), "note", "not checked"),
    ],
)
def test_definitions(server, answer, level, words):
    server.on["GET", f"{DEFINITIONS}/workflows.argoproj.io"] = answer
    (found,) = examined("Argo's CRDs")
    assert (found[0], words in found[1]) == (level, True)


@pytest.mark.parametrize(
    ("deployment", "level", "words"),
    [
        (controller("quay.io/argoproj/workflow-controller:v4.0.5"), "fail", "4.0.6 or later"),
        (controller("quay.io/argoproj/workflow-controller:v3.7.18"), "fail", "4.0.6 or later"),
        (controller("registry/workflow-controller@sha256:ab"), "note", "cannot be read"),
        (controller(ready=0), "fail", "is not ready"),
        (controller(args=["--namespaced"]), "fail", "its own namespace"),
        (controller(args=["--namespaced", "--managed-namespace", "svc"]), "ok", "v4.1.2"),
        (controller(args=["--namespaced", "--managed-namespace=svc"]), "ok", "v4.1.2"),
        (controller("quay.io/argoproj/workflow-controller:v4.0.5@sha256:ab"), "fail", "4.0.6 or later"),
    ],
)
def test_controllers(server, deployment, level, words):
    server.on["GET", "/apis/apps/v1/deployments"] = Answer(200, {"items": [deployment]})
    (found,) = examined("Argo's controller")
    assert (found[0], words in found[1]) == (level, True)


def test_of_several_controllers_one_that_serves_is_enough(server):
    other = controller("quay.io/argoproj/workflow-controller:v3.7.0", args=["--namespaced"])
    server.on["GET", "/apis/apps/v1/deployments"] = Answer(200, {"items": [other, controller()]})
    ((level, _),) = examined("Argo's controller")
    assert level == "ok"


def test_no_chart_is_said_and_the_rest_is_not_tried(server):
    server.on["GET", f"{ARGO}/workflowtemplates"] = Answer(200, {"items": []})
    assert "helm install" in examined("workflow templates")[0][1]
    assert not examined("executor")


def test_rights_that_are_missing_or_too_many(server):
    server.on["POST", f"{ACCESS}/selfsubjectaccessreviews"] = Answer(201, {"status": {"allowed": False}})
    assert "you may not create workflows" in examined("your rights")[0][1]
    server.on["POST", f"{ACCESS}/subjectaccessreviews"] = Answer(201, {"status": {"allowed": True}})
    assert examined("executor's rights")[0][0] == "note"
    server.on["POST", f"{ACCESS}/subjectaccessreviews"] = Answer(201, {"status": {"allowed": False}})
    assert "may not create workflowtaskresults, patch workflowtaskresults" in examined("executor's rights")[0][1]


@pytest.mark.parametrize("data", [None, {}, {"token": ""}])
def test_an_executor_without_a_token(server, data):
    name = f"{CORE}/secrets/svc-jobs-executor.service-account-token"
    server.on["GET", name] = status(404, "not found") if data is None else Answer(200, {"data": data})
    assert examined("executor's token")[0][0] == "fail"


def test_a_bucket_secret_with_half_its_keys(server):
    server.on["GET", f"{CORE}/secrets/svc-bucket"] = Answer(200, {"data": {"AWS_ACCESS_KEY_ID": "eA=="}})
    assert "lacks AWS_SECRET_ACCESS_KEY" in examined("bucket's Secret")[0][1]


GPU = {"nvidia.com/gpu": "1"}
TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


def cordoned(**allocatable):
    value = node(taints=[{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}], **allocatable)
    value["spec"]["unschedulable"] = True
    return value


def wanting_gpus():
    value = template()
    for stage in value["spec"]["templates"]:
        if stage["name"] in ("features", "train", "evaluate"):
            stage["container"]["resources"]["requests"]["nvidia.com/gpu"] = "1"
    return value


@pytest.mark.parametrize(
    ("nodes", "level", "words"),
    [
        ([node(**GPU)], "ok", "1 ready with 1 nvidia.com/gpu"),
        ([node(taints=[TAINT], **GPU)], "ok", "1 ready"),
        ([node(taints=[{"key": "other", "effect": "NoSchedule"}], **GPU)], "fail", "taints"),
        ([node()], "fail", "no node offers nvidia.com/gpu"),
        ([node(labels={"karpenter.sh/nodepool": "a"})], "note", "autoscaler"),
        ([node(ready="Unknown", **GPU)], "fail", "no ready node"),
        ([], "fail", "the cluster has no node"),
        (
            [node(taints=[{"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}], **GPU)],
            "fail",
            "pressure",
        ),
        ([cordoned(**GPU)], "fail", "no ready node with 1 nvidia.com/gpu, only n1: kubectl uncordon"),
        ([node(labels={"pool": "cpu"}, **GPU)], "fail", "kubectl label node NAME pool=gpu"),
        ([node(labels={"pool": "cpu"}, **GPU), node("n2")], "fail", "no node with 1 nvidia.com/gpu has the labels"),
    ],
)
def test_gpu_nodes(server, nodes, level, words):
    server.on["GET", f"{ARGO}/workflowtemplates"] = Answer(200, {"items": [wanting_gpus()]})
    server.on["GET", "/api/v1/nodes"] = Answer(200, {"items": nodes})
    found = next(item for item in findings(connect()) if item.subject == "nodes for features, train, evaluate")
    assert (found.level, words in found.text) == (level, True)


def test_cuda_without_gpus_asked_for(server):
    value = template()
    next(item for item in value["spec"]["arguments"]["parameters"] if item["name"] == "device")["value"] = "cuda"
    server.on["GET", f"{ARGO}/workflowtemplates"] = Answer(200, {"items": [value]})
    assert "pools.gpu.gpus" in examined("GPU")[0][1]


def test_images_that_no_node_has(server):
    empty = node()
    empty["status"]["images"] = []
    server.on["GET", "/api/v1/nodes"] = Answer(200, {"items": [empty]})
    assert "not seen on a node yet" in examined("image pulls")[0][1]


def test_a_lost_node_and_a_pod_without_its_image(server):
    gone = {
        "metadata": {"name": "svc-x-train-1", "deletionTimestamp": "2026-11-23T00:00:00Z"},
        "spec": {"nodeName": "n2", "containers": []},
        "status": {"phase": "Running"},
    }
    waiting = {"name": "main", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such host"}}}
    stuck = {
        "metadata": {"name": "svc-x-slice-1"},
        "spec": {"containers": []},
        "status": {"phase": "Pending", "containerStatuses": [waiting]},
    }
    server.on["GET", "/api/v1/nodes"] = Answer(200, {"items": [node(), node("n2", ready="Unknown")]})
    server.on["GET", f"{CORE}/pods"] = Answer(200, {"items": [gone, stuck]})
    assert "kubectl delete node n2" in examined("lost node")[0][1]
    assert "ErrImagePull: no such host" in examined("waiting pod")[0][1]


def test_a_pod_whose_settings_are_absent_says_what_to_create(server):
    state = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "svc-bucket" not found'}}
    value = {
        "metadata": {"name": "svc-x-slice-1"},
        "spec": {"containers": []},
        "status": {"phase": "Pending", "containerStatuses": [{"name": "main", "state": state}]},
    }
    server.on["GET", f"{CORE}/pods"] = Answer(200, {"items": [value]})
    ((level, text),) = examined("waiting pod")
    assert (level, "create what it names" in text) == ("fail", True)


@pytest.mark.parametrize(("phase", "found"), [("Running", 1), ("Failed", 0)])
def test_a_rejected_pod_of_a_workflow_at_work(server, phase, found):
    workflow = json.loads((DATA / "workflow-running-train.json").read_text())
    workflow["status"]["phase"] = phase
    pod = next(
        item
        for item in json.loads((DATA / "pods-running-train.json").read_text())["items"]
        if item["metadata"]["labels"]["svc-jobs/stage"] == "train"
    )
    pod["status"] = {"phase": "Failed", "reason": "OutOfcpu", "message": "Pod was rejected"}
    node = workflow["status"]["nodes"][pod["metadata"]["annotations"]["workflows.argoproj.io/node-id"]]
    node |= {"phase": "Failed", "taskResultSynced": False}
    name, owner = pod["metadata"]["name"], pod["metadata"]["labels"]["workflows.argoproj.io/workflow"]
    server.on["GET", f"{CORE}/pods"] = Answer(200, {"items": [pod]})
    server.on["GET", f"{ARGO}/workflows/{owner}"] = Answer(200, workflow)
    said = examined("rejected pod")
    assert len(said) == found
    assert all(f"kubectl -n svc delete pod {name}" in text for _, text in said)


def test_admission_says_which_stages_a_quota_refuses(server):
    def quota(asked):
        if asked.body["metadata"]["name"].endswith("-train"):
            return status(403, 'pods "svc-jobs-doctor-train" is forbidden: exceeded quota: q, requested: memory=3Gi')
        return make_pod(asked)

    server.on["POST", f"{CORE}/pods"] = quota
    (found,) = examined("admission of pods")
    assert found[0] == "fail"
    assert found[1].startswith("pods of train would be refused: exceeded quota: q, requested: memory=3Gi")


def test_pods_that_may_not_be_made_are_a_note(server):
    refused = status(403, 'pods is forbidden: User "eve" cannot create resource "pods" in API group ""', "Forbidden")
    server.on["POST", f"{CORE}/pods"] = refused
    assert {level for level, _ in examined("admission of pods", "bucket from a pod")} == {"note"}


def test_a_pod_that_never_starts_says_why_and_goes(server, monkeypatch):
    monkeypatch.setattr(doctor_pod, "_EVERY_S", 0.01)
    waiting = {"name": "main", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such host"}}}
    value = {"metadata": {"name": "x"}, "spec": {}, "status": {"phase": "Pending", "containerStatuses": [waiting]}}
    server.on["GET", f"{CORE}/pods/svc-jobs-doctor-x"] = Answer(200, value)
    cluster = connect()
    installed = read_installed(cluster)
    found = list(doctor_pod.bucket(cluster, installed, limit_s=0.1))
    assert "ErrImagePull: no such host" in found[-1].text
    assert server.asked[-1].method == "DELETE"
    monkeypatch.setattr(doctor_pod, "STUCK_S", 0.0)
    monkeypatch.setattr(doctor_pod, "_EVERY_S", 3600.0)
    assert list(doctor_pod.bucket(cluster, installed))[-1] == found[-1], "it isn't waited for in vain"


def test_a_doctors_pod_that_a_node_rejects_says_why(server):
    status_ = {"phase": "Failed", "reason": "OutOfcpu", "message": "Pod was rejected: OutOfcpu"}
    value = {"metadata": {"name": "svc-jobs-doctor-x"}, "spec": {}, "status": status_}
    server.on["GET", f"{CORE}/pods/svc-jobs-doctor-x"] = Answer(200, value)
    assert examined("bucket from a pod") == [("fail", "Pod was rejected: OutOfcpu")]


def test_what_a_pods_doctor_says_is_kept():
    assert [item.subject for item in findings_of(json.dumps(DOCTORS_ANSWER))] == ["in a pod: put"]
    refused = '{"event": "note"}\n{"status": "error", "exit_code": 78, "error": "put: 403, ask for s3:PutObject"}\n'
    assert [(item.level, item.text) for item in findings_of(refused)] == [("fail", "put: 403, ask for s3:PutObject")]
    failed = {**DOCTORS_ANSWER, "status": "error", "exit_code": 78, "error": "put: 403"}
    assert [item.subject for item in findings_of(json.dumps(failed))] == ["in a pod: put"]
    assert findings_of("Traceback\n12\n") == []


def test_a_doctors_pod_is_like_a_stages(server):
    installed = read_installed(connect())
    pod = pod_like(installed, installed.stages["train"], "x", beside_argo=True)
    main = pod["spec"]["containers"][-1]
    assert "args" not in main
    assert "{{" not in json.dumps(pod)
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["serviceAccountName"] == "svc-jobs"
    assert main["securityContext"]["readOnlyRootFilesystem"]
    assert installed.workspaces == "s3://svc/c"


def test_shared_memory_is_asked_of_the_train_template(server):
    value = template()
    train = next(item for item in value["spec"]["templates"] if item["name"] == "train")
    broken = copy.deepcopy(value)
    next(item for item in broken["spec"]["templates"] if item["name"] == "train")["volumes"] = []
    assert "shm" in json.dumps(train["volumes"])
    server.on["GET", f"{ARGO}/workflowtemplates"] = Answer(200, {"items": [broken]})
    (found,) = doctor_nodes.shared_memory(connect(), read_installed(connect()))
    assert (found.level, "stages.train.shm" in found.text) == ("fail", True)
