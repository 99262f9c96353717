"""Argo's workflow controller, wherever it lives in the cluster."""

import json
import ssl
import time
import urllib.error
import urllib.request

from k8s.cluster import Cluster

NAME, SETTINGS = "workflow-controller", "workflow-controller-configmap"
METRICS_PORT = 9090


def around(cluster: Cluster) -> Cluster:
    """The namespace of the controller."""
    found = json.loads(cluster.run("get", "deployments", "-A", "-o", "json"))["items"]
    (place,) = [one["metadata"]["namespace"] for one in found if one["metadata"]["name"] == NAME]
    return cluster.beside(place)


def restart(cluster: Cluster) -> None:
    argo = around(cluster)
    argo.run("delete", "pod", "-l", f"app={NAME}", "--wait=true", limit_s=120)
    argo.run("rollout", "status", f"deployment/{NAME}", "--timeout=120s", limit_s=130)


def metrics(cluster: Cluster) -> str:
    """What Prometheus would read."""
    unchecked = ssl._create_unverified_context()
    with around(cluster).forwarded(f"deployment/{NAME}", METRICS_PORT) as port:
        for attempt in range(40):
            scheme = "https" if attempt % 2 == 0 else "http"
            try:
                with urllib.request.urlopen(
                    f"{scheme}://127.0.0.1:{port}/metrics", timeout=5, context=unchecked
                ) as page:
                    return page.read().decode()
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
    raise AssertionError("the controller's metrics cannot be read")
