"""From nothing to a cluster in which a voice can be trained: kind, Argo, images, MinIO, the chart, recordings.

    python -m k8s.up               a new kind cluster named svc-jobs
    python -m k8s.up --existing    the cluster that KUBECONFIG names, minikube say; Argo is installed where it is absent

Every step finds what an earlier call left, so that a call that failed can be repeated.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from jobs.demo import synthesise
from k8s import images, store
from k8s.cluster import Cluster, Refused
from k8s.render import CHART, ROOT

NAME, NAMESPACE = "svc-jobs", "svc"
ARGO = "https://github.com/argoproj/argo-workflows/releases/download/v4.1.2/install.yaml"


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        if "--existing" not in arguments:
            start_kind()
        cluster = Cluster.unpacked(Path(folder))
        install_argo(cluster)
        if "--no-images" not in arguments:
            images.main([])
        minio = cluster.beside("minio")
        _namespace(minio)
        store.install(minio)
        with store.forwarded(minio) as port:
            put_recordings(port, Path(folder))
        install_chart(cluster.beside(NAMESPACE))
    print(f"ready: svc-jobs submit demo -n {NAMESPACE} --watch")  # noqa: T201
    return 0


def start_kind() -> None:
    there = subprocess.run(["kind", "get", "clusters"], capture_output=True, text=True, check=True).stdout.split()
    if NAME not in there:
        command = [
            "kind",
            "create",
            "cluster",
            "--name",
            NAME,
            "--config",
            str(ROOT / "k8s" / "kind.yaml"),
            "--wait",
            "120s",
        ]
        subprocess.run(command, check=True)
    subprocess.run(["kind", "export", "kubeconfig", "--name", NAME], check=True)


def install_argo(cluster: Cluster) -> None:
    """Argo's own manifests, unless the cluster has them. The controller looks every 2 s instead of every 10."""
    argo = cluster.beside("argo")
    if any(item["metadata"]["name"] == "workflows.argoproj.io" for item in cluster.items("crd")):
        return
    _namespace(argo)
    argo.run("apply", "--server-side", "-f", ARGO, limit_s=180)
    argo.run("set", "env", "deployment/workflow-controller", "DEFAULT_REQUEUE_TIME=2s")
    argo.run("rollout", "status", "deployment/workflow-controller", "--timeout=300s", limit_s=310)


def put_recordings(port: int, folder: Path) -> None:
    """The bucket, and ten recordings of a synthetic speaker, `demo`."""
    client = store.client(port)
    for attempt in range(30):
        try:
            if store.BUCKET not in [item["Name"] for item in client.list_buckets()["Buckets"]]:
                client.create_bucket(Bucket=store.BUCKET)
            break
        except (BotoCoreError, ClientError):
            if attempt == 29:
                raise
            time.sleep(1)
    synthesise(folder / "raw", folder / "unseen")
    for path in sorted((folder / "raw").iterdir()):
        client.upload_file(str(path), store.BUCKET, f"voices/demo/raw/demo/{path.name}")


def install_chart(cluster: Cluster) -> None:
    _namespace(cluster)
    cluster.run("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted", "--overwrite")
    store.give_keys(cluster)
    cluster.helm_run("upgrade", "--install", NAME, CHART, "-f", CHART / "ci" / "kind-values.yaml")


def _namespace(cluster: Cluster) -> None:
    try:
        cluster.run("get", "namespace", cluster.namespace)
    except Refused:
        cluster.run("create", "namespace", cluster.namespace)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
