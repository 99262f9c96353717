"""The chart installed from nothing into a namespace of its own, with a store and recordings beside it.

Wants KUBECONFIG with Argo in it and the images on its nodes; `make e2e` sees to the images.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bucket import Bucket
from pools import Pools
from workflows import Workflow, submit

from k8s import store
from k8s.cluster import Cluster
from k8s.render import CHART

NAMESPACE = os.environ.get("SVC_E2E_NAMESPACE", "svc-e2e")
PLANNED = {"preset": "toy", "encoder": "mel-bands", "f0": "dio"}
"""What prepare is told of the smallest voice."""
TOY = {**PLANNED, "device": "cpu"}
STAGES = ("prepare", "slice", "filelists", "features", "train", "evaluate", "publish", "report")
WITH_DEVICE = ("features", "train", "evaluate")
DURATIONS: dict[str, float] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.timeout(1800))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for what, seconds in DURATIONS.items():
        terminalreporter.write_line(f"{what}: {seconds:.0f} s")


@pytest.fixture(scope="session")
def durations() -> dict[str, float]:
    """What was measured on the way, by name; told at the end."""
    return DURATIONS


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    made = Cluster.unpacked(folder, NAMESPACE)
    assert os.environ.get("KUBECONFIG"), "KUBECONFIG is unset: it names the cluster that the tests run in"
    made.run("get", "crd", "workflowtemplates.argoproj.io")
    made.run("delete", "namespace", NAMESPACE, "--ignore-not-found", limit_s=180)
    made.run("create", "namespace", NAMESPACE)
    made.run("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/warn=restricted")
    yield made
    if not os.environ.get("SVC_E2E_KEEP"):
        made.run("delete", "namespace", NAMESPACE, limit_s=180)


@pytest.fixture(scope="session")
def argo() -> str:
    """Argo's own command line, for what only it can do."""
    found = os.environ.get("SVC_E2E_ARGO") or shutil.which("argo")
    assert found, "argo is missing: put Argo's command line on PATH, or name it with SVC_E2E_ARGO"
    return found


@pytest.fixture(scope="session")
def pools(cluster):
    made = Pools.find(cluster)
    made.dress()
    yield made
    made.undress()


@pytest.fixture(scope="session")
def store_namespace(cluster):
    """The store lies in a namespace beside, since its image does not keep to the rules of `restricted`."""
    name = f"{NAMESPACE}-store"
    beside = cluster.beside(name)
    beside.run("delete", "namespace", name, "--ignore-not-found", limit_s=180)
    beside.run("create", "namespace", name)
    store.install(beside, limit_s=120)
    yield beside
    if not os.environ.get("SVC_E2E_KEEP"):
        beside.run("delete", "namespace", name, limit_s=180)


@pytest.fixture(scope="session")
def bucket(store_namespace):
    made = Bucket(store_namespace)
    made.create()
    yield made
    made.close()


@pytest.fixture(scope="session")
def values(store_namespace) -> list[str]:
    """helm's arguments: values for one machine, those of the tests, and what only this cluster knows."""
    named = os.environ.get("SVC_E2E_VALUES")
    files = [
        CHART / "ci" / "kind-values.yaml",
        Path(__file__).parent / "values.yaml",
        *([Path(named)] if named else []),
    ]
    endpoint = f"http://minio.{store_namespace.namespace}.svc.cluster.local:9000"
    return [*(part for file in files for part in ("-f", str(file))), "--set", f"bucket.endpoint={endpoint}"]


@pytest.fixture(scope="session")
def chart(cluster, pools, bucket, values) -> Cluster:
    """The chart as a user installs it, in a namespace that enforces the strictest Pod Security level."""
    cluster.run("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    store.give_keys(cluster)
    cluster.helm_run("install", "svc-jobs", CHART, *values)
    return cluster


@pytest.fixture(scope="session")
def trained(chart, bucket, durations) -> Workflow:
    """The voice of alice, trained once in the cluster."""
    bucket.record("alice")
    start = time.monotonic()
    made = submit(chart, "svc-speaker", speaker="alice", steps=6, **TOY).succeed()
    durations["whole toy run, 8 pods"] = time.monotonic() - start
    durations["from submit to the first pod"] = made.seconds_to_first_pod()
    durations["within pods, from their creation to their end"] = sum(made.pod_seconds())
    return made


def make_here(root: Path, speaker: str, recordings: dict[str, bytes], last: str, **settings: object) -> Path:
    """The workspace `root` as a run on this machine makes it: every stage up to `last`, each a process of its own.

    With as many threads as a pod of the tests has.
    """
    for name, content in recordings.items():
        path = root / "raw" / speaker / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    flags = [part for key, value in settings.items() for part in (f"--{key.replace('_', '-')}", str(value))]
    given = {"prepare": flags, **{stage: ["--device", TOY["device"]] for stage in WITH_DEVICE}}
    for stage in STAGES[: STAGES.index(last) + 1]:
        command = [sys.executable, "-m", "jobs", stage, "-w", str(root), *given.get(stage, [])]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=900)
    return root
