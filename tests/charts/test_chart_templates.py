"""What the chart renders, held against the command line, the security rules and the mistakes of its users."""

import json
import re

import pytest
import yaml

from k8s.render import CHART, RENDERED, render
from svc_core.registry import ENCODERS, F0_PREDICTORS

REQUIRED = ["--set", "workspaces=s3://bucket/prefix"]
WORKED = sorted(path.name for path in (CHART / "ci").glob("*-values.yaml"))
STAGES = ["prepare", "slice", "filelists", "features", "train", "evaluate", "publish", "report"]
ALONE = [*STAGES, "convert"]
SAMPLES = {"shard": "0", "shards": "2", "steps": "10", "device": "cpu", "preset": "toy", "encoder": "mel-bands",
           "f0": "dio", "speaker": "alice", "workspace": "s3://bucket/prefix", "steps_per_minute": "0",
           "input": "song.wav", "transpose": "auto", "slice_shard_minutes": "60",
           "features_shard_minutes": "0.5"}  # fmt: skip


def worked(name: str) -> list:
    return [*REQUIRED, "-f", CHART / "ci" / name]


def templates(objects: list[dict]) -> list[dict]:
    return [item for item in objects if item["kind"] == "WorkflowTemplate"]


def pods(objects: list[dict]) -> list[dict]:
    """Every Argo template that runs a container."""
    return [part for item in templates(objects) for part in item["spec"]["templates"] if "container" in part]


@pytest.fixture(scope="session")
def rendered(helm) -> dict[str, list[dict]]:
    return {name: helm.render(*worked(name)) for name in WORKED}


def test_there_is_a_worked_file_for_each_kind_of_cluster():
    assert {"kind-values.yaml", "eks-values.yaml", "gke-values.yaml", "bare-metal-values.yaml"} <= set(WORKED)


@pytest.mark.parametrize("name", WORKED)
def test_the_chart_is_without_faults(helm, name):
    done = helm.run("lint", "--strict", CHART, *worked(name))
    assert done.returncode == 0, done.stdout


def test_each_stage_can_be_submitted_alone_and_all_together(rendered):
    names = {item["metadata"]["name"] for item in templates(rendered["kind-values.yaml"])}
    assert names == {"svc-speaker", "svc-speakers", *(f"svc-{stage}" for stage in ALONE)}
    for item in templates(rendered["kind-values.yaml"]):
        if item["metadata"]["name"] in ("svc-speaker", "svc-speakers"):
            dag = next(part for part in item["spec"]["templates"] if part["name"] == "speaker")
            assert [task["name"] for task in dag["dag"]["tasks"]] == STAGES


@pytest.mark.parametrize("name", WORKED)
def test_every_command_parses_with_the_real_command_line(rendered, name):
    from jobs.cli import load_command

    for pod in pods(rendered[name]):
        container = pod["container"]
        assert container["command"] == ["python", "-m", "jobs"], "exec form: signals reach the process"
        stage, *arguments = [re.sub(r"\{\{inputs\.parameters\.(\w+)\}\}", sample, text) for text in container["args"]]
        assert stage == pod["name"]
        load_command(stage).make_context(stage, arguments)


def environment(pod: dict) -> dict[str, str]:
    return {item["name"]: item["value"] for item in pod["container"]["env"] if "value" in item}


def sample(tag: re.Match) -> str:
    return SAMPLES[tag[1]]


@pytest.mark.parametrize("name", WORKED)
def test_no_tag_names_a_parameter_that_is_not_there(rendered, name):
    for item in templates(rendered[name]):
        known = {parameter["name"] for parameter in item["spec"]["arguments"]["parameters"]}
        assert set(re.findall(r"workflow\.parameters\.(\w+)", str(item["spec"]))) <= known
        for part in item["spec"]["templates"]:
            inputs = {parameter["name"] for parameter in part.get("inputs", {}).get("parameters", [])}
            assert set(re.findall(r"inputs\.parameters\.(\w+)", str(part))) <= inputs
            for task in part.get("dag", {}).get("tasks", []):
                called = next(other for other in item["spec"]["templates"] if other["name"] == task["template"])
                given = {parameter["name"] for parameter in task["arguments"]["parameters"]}
                assert given == {parameter["name"] for parameter in called["inputs"]["parameters"]}, task["name"]


@pytest.mark.parametrize("name", WORKED)
def test_pods_are_restricted_and_hold_no_token(rendered, name):
    for pod in pods(rendered[name]):
        inside, around = pod["container"]["securityContext"], pod["securityContext"]
        assert around["runAsNonRoot"] is True
        assert around["runAsUser"] >= 10_000
        assert around["seccompProfile"] == {"type": "RuntimeDefault"}
        assert inside["readOnlyRootFilesystem"] is True
        assert inside["allowPrivilegeEscalation"] is False
        assert inside["capabilities"] == {"drop": ["ALL"]}
        assert pod["automountServiceAccountToken"] is False
        assert "script" not in pod


@pytest.mark.parametrize("name", WORKED)
def test_pods_ask_for_what_they_use(rendered, name):
    for pod in pods(rendered[name]):
        resources = pod["container"]["resources"]
        assert {"cpu", "memory", "ephemeral-storage"} <= resources["requests"].keys()
        assert resources["limits"]["memory"] == resources["requests"]["memory"]
        patch = yaml.safe_load(pod["podSpecPatch"])
        (main,) = [item for item in patch["containers"] if item["name"] == "main"]
        raised = main["resources"]["limits"]["memory"]
        assert raised == main["resources"]["requests"]["memory"] == environment(pod)["SVC_MEMORY_LIMIT"]
        assert resources["limits"]["memory"] in raised
        assert not pod["container"]["image"].endswith(":latest")
        assert "maxDuration" not in pod["retryStrategy"]["backoff"], "it would end a long training"
        assert int(pod["retryStrategy"]["limit"]) > 0


def test_gpu_stages_ask_for_a_gpu_and_are_not_moved_about(rendered):
    found = {pod["name"]: pod for pod in pods(rendered["eks-values.yaml"])}
    for stage in ("features", "train", "evaluate"):
        assert found[stage]["container"]["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert found[stage]["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "true"
        assert found[stage]["tolerations"]
    assert "nvidia.com/gpu" not in found["slice"]["container"]["resources"]["limits"]


def test_argos_account_may_report_and_nothing_else(rendered):
    (role,) = [item for item in rendered["kind-values.yaml"] if item["kind"] == "Role"]
    assert role["rules"] == [
        {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]}
    ]


def test_secrets_are_named_and_never_held(rendered):
    for objects in rendered.values():
        for item in objects:
            assert item["kind"] != "Secret" or item["type"] == "kubernetes.io/service-account-token"
            assert "AWS_SECRET_ACCESS_KEY" not in str(item.get("spec", ""))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ([], "workspaces"),
        (["--set", "workspaces=bucket"], "workspaces"),
        (["--set", "workspaces=s3://bucket", "--set", "nonsense=1"], "nonsense"),
        (["--set", "workspaces=s3://bucket", "--set", "stages.train.memory=lots"], "memory"),
        (["--set", "workspaces=s3://bucket", "--set", "defaults.preset=huge"], "preset"),
        (["--set", "workspaces=s3://bucket", "--set", "defaults.device=tpu"], "device"),
        (["--set", "workspaces=s3://bucket", "--set", "images.digests.train=abc"], "train"),
        (["--set", "workspaces=s3://bucket", "--set-string", "pools.gpu.gpus=many"], "gpus"),
        (["--set", "workspaces=s3://bucket", "--set", "hub.namespace=team"], "HF_TOKEN"),
    ],
)
def test_a_mistake_in_the_values_is_refused(helm, change, sentence):
    done = helm.run("template", "t", CHART, *change)
    assert done.returncode != 0
    assert sentence in done.stderr


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("bucket.endpoint=http://minio.minio:9000", "AWS_ENDPOINT_URL_S3"),
        ("bucket.endpoint=http://minio.minio:9000", "insecure: true"),
        ("bucket.region=eu-west-3", "eu-west-3"),
        ("bucket.existingSecret=keys", "secretRef"),
        ("bucket.existingSecret=keys", "accessKeySecret"),
        ("bucket.caSecret=ca", "AWS_CA_BUNDLE"),
        ("bucket.caSecret=ca", "caSecret"),
        ("images.repository=registry.example/voices", "registry.example/voices/train:"),
        ("images.tag=1.2.3", "/slice:1.2.3"),
        ("images.pullPolicy=Always", "'imagePullPolicy': 'Always'"),
        ("images.pullSecrets[0]=registry", "imagePullSecrets"),
        ("serviceAccount.name=other", "'serviceAccountName': 'other'"),
        ("serviceAccount.annotations.role=arn", "'role': 'arn'"),
        ("defaults.preset=tiny", "'value': 'tiny'"),
        ("defaults.encoder=whisper-base", "'value': 'whisper-base'"),
        ("defaults.f0=rmvpe", "'value': 'rmvpe'"),
        ("defaults.steps=777", "'value': '777'"),
        ("defaults.device=auto", "'value': 'auto'"),
        ("defaults.parallelism=77", "'parallelism': 77"),
        ("defaults.speakers=78", "'parallelism': 78"),
        ("retryCodes={75,99}", "[-1, 75, 99]"),
        ("stages.train.retries=33", "'limit': '33'"),
        ("stages.train.memory=13Gi", "'memory': '13Gi'"),
        ("stages.train.memoryAfterOom=99Gi", "limit of 99Gi"),
        ("stages.train.scratch=99Gi", "'sizeLimit': '99Gi'"),
        ("stages.train.shm=3Gi", "'sizeLimit': '3Gi'"),
        ("stages.train.graceSeconds=99", "terminationGracePeriodSeconds: 99"),
        ("pools.cpu.queueName=team", "kueue.x-k8s.io/queue-name"),
        ("pools.cpu.priorityClassName=low", "priorityClassName"),
        ("pools.cpu.nodeSelector.disk=fast", "'disk': 'fast'"),
        ("pools.cpu.tolerations[0].key=batch", "'key': 'batch'"),
        ("pools.gpu.runtimeClassName=nvidia", "runtimeClassName"),
        ("pools.gpu.gpus=4", "'nvidia.com/gpu': '4'"),
        ("gpuResource=amd.com/gpu", "amd.com/gpu"),
        ("modelCacheClaim=models", "persistentVolumeClaim"),
        ("lifecycle.backoffSeconds=17", "'duration': '17s'"),
        ("lifecycle.backoffCapSeconds=170", "'cap': '170s'"),
        ("lifecycle.ttlSeconds=99", "'secondsAfterCompletion': 99"),
        ("lifecycle.pendingTimeoutSeconds=600", "pendingTimeout"),
        ("networkPolicy.enabled=true", "NetworkPolicy"),
        ("hub.namespace=team,hub.existingSecret=hub-token", "SVC_HUB"),
        ("hub.namespace=team,hub.existingSecret=hub-token", "hub-token"),
        ("hub.namespace=team,hub.existingSecret=hub-token,hub.endpoint=https://hub.example", "HF_ENDPOINT"),
    ],
)  # fmt: skip
def test_a_value_shows_where_it_is_set_and_nowhere_else(helm, value, place):
    assert place not in str(helm.render(*REQUIRED))
    assert place in str(helm.render(*REQUIRED, "--set", value))


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("defaults.sliceShardMinutes=7.5", "'value': '7.5'"),
        ("defaults.featuresShardMinutes=3.25", "'value': '3.25'"),
        ('stages.train.cpu="13"', "'value': '13'"),
    ],
)
def test_so_does_a_number_or_a_text_that_looks_like_one(helm, value, place):
    assert place not in str(helm.render(*REQUIRED))
    assert place in str(helm.render(*REQUIRED, "--set-json", value))


def test_a_stage_runs_in_its_pool_with_its_image(helm):
    found = helm.render(*REQUIRED, "--set", "stages.train.pool=cpu,stages.train.image=features")
    for train in [pod for pod in pods(found) if pod["name"] == "train"]:
        assert train["container"]["image"] == "svc-jobs/features:0.1.0"
        assert "nvidia.com/gpu" not in train["container"]["resources"]["limits"]


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("artifacts.enabled=false", "artifactRepositoryRef"),
        ("artifacts.enabled=false", "report-html"),
        ("metrics.enabled=false", "prometheus"),
        ("admissionPolicy=false", "ValidatingAdmissionPolicy"),
        ("pools.gpu.gpus=0", "svc_jobs_gpu_hours_total"),
    ],
)
def test_what_is_switched_off_is_gone(helm, value, place):
    assert place in str(helm.render(*REQUIRED))
    assert place not in str(helm.render(*REQUIRED, "--set", value))


@pytest.mark.parametrize(
    ("value", "place"),
    [("bucketCidrs={10.9.0.0/16}", "10.9.0.0/16"), ("bucketPorts={9443}", "9443"), ("hub=false", "192.168.0.0/16")],
)
def test_the_network_policy_allows_what_is_named(helm, value, place):
    on = [*REQUIRED, "--set", "networkPolicy.enabled=true"]
    assert place not in str(helm.render(*on))
    assert place in str(helm.render(*on, "--set", f"networkPolicy.{value}"))


def test_a_digest_goes_before_the_tag(helm):
    digest = "sha256:" + 64 * "a"
    images = {
        pod["name"]: pod["container"]["image"]
        for pod in pods(helm.render(*REQUIRED, "--set", f"images.digests.train={digest}"))
    }
    assert images["train"] == f"svc-jobs/train@{digest}"
    assert images["slice"] == "svc-jobs/slice:0.1.0"


def test_a_schedule_becomes_a_cron_workflow(helm):
    found = helm.render(
        *REQUIRED,
        "--set",
        "schedules[0].name=a,schedules[0].speakers={alice,bob},schedules[0].schedule=0 3 * * *,"
        "schedules[0].stepsPerMinute=500",
    )
    (cron,) = [item for item in found if item["kind"] == "CronWorkflow"]
    assert cron["spec"]["schedules"] == ["0 3 * * *"]
    assert cron["spec"]["workflowSpec"]["workflowTemplateRef"] == {"name": "svc-speakers"}
    given = {item["name"]: item["value"] for item in cron["spec"]["workflowSpec"]["arguments"]["parameters"]}
    assert given == {"speakers": '["alice","bob"]', "steps_per_minute": "500", "run": "a"}


def test_what_lies_in_k8s_is_what_the_chart_renders_for_kind(helm):
    assert RENDERED.read_text(encoding="utf-8") == render(helm.program), "run `make k8s` and commit what it renders"


@pytest.mark.parametrize(("value", "rows"), [("encoder", ENCODERS), ("f0", F0_PREDICTORS)])
def test_what_the_chart_offers_is_known_and_in_the_images(rendered, value, rows):
    schema = json.loads((CHART / "values.schema.json").read_text())
    offered = schema["properties"]["defaults"]["properties"][value]["enum"]
    assert set(offered) <= {name for name, row in rows.items() if row.extra == "train"}
    forms = [
        parameter["enum"]
        for objects in rendered.values()
        for one in templates(objects)
        for parameter in one["spec"].get("arguments", {}).get("parameters", [])
        if parameter["name"] == value
    ]
    assert forms
    assert all(form == offered for form in forms)
