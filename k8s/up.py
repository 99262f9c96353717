"""From nothing to a cluster in which a voice can be trained: kind, Argo, images, MinIO, the chart, recordings.

    python -m k8s.up               a new kind cluster named svc-jobs
    python -m k8s.up --existing    the cluster that KUBECONFIG names, minikube say; Argo is installed where it is absent

Every step finds what an earlier call left, so that a call that failed can be repeated.
"""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from jobs.demo import synthesise
from k8s import images
from k8s.cluster import Cluster, Refused
from k8s.render import CHART, ROOT

NAME, NAMESPACE, BUCKET = "svc-jobs", "svc", "svc"
ACCESS_KEY, SECRET_KEY = "svcadmin", "svc-password-1"
ARGO = "https://github.com/argoproj/argo-workflows/releases/download/v4.1.2/install.yaml"


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        if "--existing" not in arguments:
            start_kind()
        cluster = Cluster.unpacked(Path(folder))
        install_argo(cluster)
        if "--no-images" not in arguments:
            images.main([])
        install_store(cluster.beside("minio"))
        with forwarded(cluster.beside("minio"), "service/minio", 9000) as port:
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


def install_store(store: Cluster) -> None:
    _namespace(store)
    store.apply((ROOT / "k8s" / "minio.yaml").read_text(encoding="utf-8"))
    store.run("rollout", "status", "deployment/minio", "--timeout=300s", limit_s=310)


@contextmanager
def forwarded(cluster: Cluster, target: str, port: int) -> Iterator[int]:
    """A port of this machine that leads to one in the cluster, while open."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        here: int = free.getsockname()[1]
    command = [str(cluster.kubectl), "-n", cluster.namespace, "port-forward", target, f"{here}:{port}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield here
        finally:
            process.terminate()


def put_recordings(port: int, folder: Path) -> None:
    """The bucket, and ten recordings of a synthetic speaker, `demo`."""
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(connect_timeout=3, retries={"total_max_attempts": 1}),
    )
    for attempt in range(30):
        try:
            if BUCKET not in [item["Name"] for item in client.list_buckets()["Buckets"]]:
                client.create_bucket(Bucket=BUCKET)
            break
        except (BotoCoreError, ClientError):
            if attempt == 29:
                raise
            time.sleep(1)
    synthesise(folder / "raw", folder / "unseen")
    for path in sorted((folder / "raw").iterdir()):
        client.upload_file(str(path), BUCKET, f"voices/demo/raw/demo/{path.name}")


def install_chart(cluster: Cluster) -> None:
    _namespace(cluster)
    cluster.run("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted", "--overwrite")
    keys = [f"--from-literal=AWS_ACCESS_KEY_ID={ACCESS_KEY}", f"--from-literal=AWS_SECRET_ACCESS_KEY={SECRET_KEY}"]
    secret = cluster.run("create", "secret", "generic", "svc-bucket", *keys, "--dry-run=client", "-o", "yaml")
    cluster.apply(secret)
    cluster.helm_run("upgrade", "--install", NAME, CHART, "-f", CHART / "ci" / "kind-values.yaml")


def _namespace(cluster: Cluster) -> None:
    try:
        cluster.run("get", "namespace", cluster.namespace)
    except Refused:
        cluster.run("create", "namespace", cluster.namespace)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
