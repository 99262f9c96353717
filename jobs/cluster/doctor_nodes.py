"""doctor --cluster: where pods can run, and what would keep them from it."""

import json
from collections.abc import Iterator
from typing import Any

from jobs.cluster.answers import Forbidden
from jobs.cluster.client import Cluster
from jobs.cluster.installed import Installed
from jobs.cluster.pods import NOT_STARTING, is_gpu, quantity, read_pod
from jobs.cluster.target import Target
from jobs.doctor import Finding

_AUTOSCALED = ("karpenter.sh/", "cloud.google.com/gke-nodepool", "eks.amazonaws.com/nodegroup", "kubernetes.azure.com/")
_SHM = "/dev/shm"  # noqa: S108


def pools(cluster: Cluster, installed: Installed) -> Iterator[Finding]:
    """For each kind of pod, whether a node takes it."""
    nodes = cluster.items(Target("nodes"))
    for stages in _alike(installed).values():
        yield _pool(nodes, installed, stages)
    if installed.stages and installed.default("device") == "cuda" and not any(map(_gpus, installed.stages.values())):
        text = (
            "stages ask for no GPU while device is cuda by default: set "
            "pools.gpu.gpus, or defaults.device to auto or cpu"
        )
        yield Finding("GPU", "fail", text)
    yield from _images(nodes, installed)


def lost(cluster: Cluster, installed: Installed) -> Iterator[Finding]:
    """Pods that hold their workflow up because their node is gone, and pods that cannot start."""
    pods = cluster.items(Target("pods", cluster.namespace))
    try:
        away = {node["metadata"]["name"] for node in cluster.items(Target("nodes")) if not _is_ready(node)}
    except Forbidden:
        away = set()
    held: dict[str, list[str]] = {}
    for pod in pods:
        node = pod["spec"].get("nodeName", "")
        if pod["metadata"].get("deletionTimestamp") and node in away:
            held.setdefault(node, []).append(pod["metadata"]["name"])
    for node, names in held.items():
        text = (
            f"{', '.join(names)} stay Terminating on {node}, which is lost, and their workflow "
            f"waits: if the machine is gone, kubectl delete node {node}"
        )
        yield Finding("lost node", "fail", text)
    stuck = [pod for pod in map(read_pod, pods) if pod.waits_for.startswith(NOT_STARTING)]
    for waiting in stuck[:5]:
        yield Finding(
            "waiting pod", "fail", f"{waiting.name}: {waiting.waits_for}; check images.repository, tag and pullSecrets"
        )
    if not held and not stuck:
        yield Finding("pods", "ok", f"{len(pods)} in namespace {cluster.namespace}, none lost, none without its image")


def shared_memory(cluster: Cluster, installed: Installed) -> Iterator[Finding]:
    train = installed.stages.get("train")
    if train is None:
        return
    mounts = {item["name"] for item in train["container"].get("volumeMounts") or [] if item["mountPath"] == _SHM}
    volumes = [item for item in train.get("volumes") or [] if item["name"] in mounts]
    memory = [item["emptyDir"] for item in volumes if (item.get("emptyDir") or {}).get("medium") == "Memory"]
    if memory:
        yield Finding(_SHM, "ok", f"train mounts {memory[0].get('sizeLimit', 'unlimited')} of memory")
    else:
        yield Finding(
            _SHM, "fail", "train mounts none and gets 64 MiB, too little for loader workers: set stages.train.shm"
        )


def security(cluster: Cluster, installed: Installed) -> Iterator[Finding]:
    labels = cluster.get(Target("namespaces", name=cluster.namespace))["metadata"].get("labels") or {}
    level = labels.get("pod-security.kubernetes.io/enforce")
    if level:
        yield Finding("Pod Security", "ok", f"namespace {cluster.namespace} enforces {level}")
    else:
        text = (
            f"namespace {cluster.namespace} enforces none: kubectl label namespace "
            f"{cluster.namespace} pod-security.kubernetes.io/enforce=restricted"
        )
        yield Finding("Pod Security", "note", text)


def _alike(installed: Installed) -> dict[str, list[str]]:
    """Stages by what they ask of a node."""
    found: dict[str, list[str]] = {}
    for name, stage in installed.stages.items():
        key = json.dumps([stage.get("nodeSelector"), stage.get("tolerations"), _gpus(stage)], sort_keys=True)
        found.setdefault(key, []).append(name)
    return found


def _pool(nodes: list[dict[str, Any]], installed: Installed, stages: list[str]) -> Finding:
    stage = installed.stages[stages[0]]
    subject, gpus = f"nodes for {', '.join(stages)}", _gpus(stage)
    taken = [node for node in nodes if _takes(node, stage)]
    selector = " ".join(f"{key}={value}" for key, value in (stage.get("nodeSelector") or {}).items())
    wants = " with " + ", ".join(f"{count:g} {name}" for name, count in gpus.items()) if gpus else ""
    if taken:
        names = ", ".join(node["metadata"]["name"] for node in taken[:5])
        return Finding(subject, "ok", f"{len(taken)} ready{wants}: {names}")
    offering = [node for node in nodes if all(_offers(node, name, count) for name, count in gpus.items())]
    if gpus and not offering:
        text = (
            f"no node offers {', '.join(gpus)}: install the device plugin, or set pools.gpu.gpus to 0 and device to cpu"
        )
    else:
        what = f"the labels {selector} and " if selector else ""
        text = (
            f"no ready node{wants} has {what}only taints that the pool tolerates: "
            f"correct pools, label a node, or add one"
        )
    if any(key.startswith(_AUTOSCALED) for node in nodes for key in node["metadata"].get("labels") or {}):
        return Finding(subject, "note", f"{text}; an autoscaler may add one when a pod asks")
    return Finding(subject, "fail", text)


def _images(nodes: list[dict[str, Any]], installed: Installed) -> Iterator[Finding]:
    known = {
        name for node in nodes for image in (node["status"].get("images") or []) for name in image.get("names") or []
    }
    wanted = {stage["container"]["image"] for stage in installed.stages.values()}
    # A node lists only some of its images, and under full names.
    unseen = sorted(image for image in wanted if not any(name == image or name.endswith(f"/{image}") for name in known))
    if unseen:
        yield Finding(
            "image pulls", "note", f"not seen on a node yet, so that first pods pull them: {', '.join(unseen)}"
        )
    elif wanted:
        yield Finding("image pulls", "ok", f"all {len(wanted)} images are on a node")


def _takes(node: dict[str, Any], stage: dict[str, Any]) -> bool:
    labels = node["metadata"].get("labels") or {}
    if not _is_ready(node) or node["spec"].get("unschedulable"):
        return False
    if any(labels.get(key) != value for key, value in (stage.get("nodeSelector") or {}).items()):
        return False
    taints = [taint for taint in node["spec"].get("taints") or [] if taint["effect"] != "PreferNoSchedule"]
    tolerations = stage.get("tolerations") or []
    if not all(any(_tolerates(item, taint) for item in tolerations) for taint in taints):
        return False
    return all(_offers(node, name, count) for name, count in _gpus(stage).items())


def _tolerates(toleration: dict[str, Any], taint: dict[str, Any]) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    return toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get("value", "")


def _offers(node: dict[str, Any], resource: str, count: float) -> bool:
    return quantity((node["status"].get("allocatable") or {}).get(resource, "0")) >= count


def _gpus(stage: dict[str, Any]) -> dict[str, float]:
    asked = (stage["container"].get("resources") or {}).get("requests") or {}
    return {name: quantity(count) for name, count in asked.items() if is_gpu(name)}


def _is_ready(node: dict[str, Any]) -> bool:
    return any(item["type"] == "Ready" and item["status"] == "True" for item in node["status"].get("conditions") or [])
