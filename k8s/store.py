"""MinIO in a cluster, to try things on: installed, reached from here, and its keys given to the chart's namespace."""

from contextlib import AbstractContextManager
from typing import Any

import boto3
from botocore.config import Config

from k8s.cluster import Cluster
from k8s.render import ROOT

BUCKET = "svc"
ACCESS_KEY, SECRET_KEY = "svcadmin", "svc-password-1"
PORT = 9000


def install(cluster: Cluster, limit_s: int = 300) -> None:
    cluster.apply((ROOT / "k8s" / "minio.yaml").read_text(encoding="utf-8"))
    cluster.run("rollout", "status", "deployment/minio", f"--timeout={limit_s}s", limit_s=limit_s + 10)


def give_keys(cluster: Cluster) -> None:
    """The Secret that the chart's values name, in the chart's namespace."""
    keys = [f"--from-literal=AWS_ACCESS_KEY_ID={ACCESS_KEY}", f"--from-literal=AWS_SECRET_ACCESS_KEY={SECRET_KEY}"]
    secret = cluster.run("create", "secret", "generic", "svc-bucket", *keys, "--dry-run=client", "-o", "yaml")
    cluster.apply(secret)


def forwarded(cluster: Cluster) -> AbstractContextManager[int]:
    """A port of this machine that leads to the store, while open."""
    return cluster.forwarded("service/minio", PORT)


def client(port: int) -> Any:
    """boto3's client of the store behind a forwarded port."""
    return boto3.session.Session().client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(connect_timeout=3, read_timeout=20, retries={"total_max_attempts": 1}),
    )
