"""doctor --cluster: where pods can run, and what would keep them from it."""

import json
from collections.abc import Iterator
from typing import Any

from jobs.cluster.answers import Forbidden
from jobs.cluster.client import Cluster
from jobs.cluster.installed import Installed
from jobs.cluster.pods import NO_CONFIG, NOT_STARTING, Pod, is_gpu, quantity, read_pod
from jobs.cluster.snapshot import how_to_free, taken
from jobs.cluster.target import Target
from jobs.cluster.workflow import read_workflow
from jobs.doctor import Finding

_AUTOSCALED = ("karpenter.sh/", "cloud.google.com/gke-nodepool", "eks.amazonaws.com/nodegroup", "kubernetes.azure.com/")
_SHM = "/dev/shm"  # noqa: S108
_MOST_SHOWN = 5
_OF_STATE = tuple(f"node.kubernetes.io/{state}" for state in ("unschedulable", "not-ready", "unreachable"))


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


def held_up(cluster: Cluster, installed: Installed) -> Iterator[Finding]:
    """Pods that their workflow waits for in vain: on a lost node, rejected by one, or without image or settings."""
    values = cluster.items(Target("pods", cluster.namespace))
    pods = [read_pod(value) for value in values]
    found = [*_lost(cluster, values), *_rejected(cluster, pods), *_not_starting(pods)]
    yield from found
    if not found:
        yield Finding("pods", "ok", f"{len(pods)} in namespace {cluster.namespace}, none holds its workflow up")


def _lost(cluster: Cluster, values: list[dict[str, Any]]) -> Iterator[Finding]:
    try:
        away = {node["metadata"]["name"] for node in cluster.items(Target("nodes")) if not _is_ready(node)}
    except Forbidden:
        return
    held: dict[str, list[str]] = {}
    for value in values:
        node = value["spec"].get("nodeName", "")
        if value["metadata"].get("deletionTimestamp") and node in away:
            held.setdefault(node, []).append(value["metadata"]["name"])
    for node, names in held.items():
        text = (
            f"{', '.join(names)} stay Terminating on {node}, which is lost, and their workflow "
            f"waits: if the machine is gone, kubectl delete node {node}"
        )
        yield Finding("lost node", "fail", text)


def _rejected(cluster: Cluster, pods: list[Pod]) -> Iterator[Finding]:
    for name in sorted({pod.workflow for pod in pods if pod.rejected and pod.workflow}):
        value = cluster.find(Target("workflows", cluster.namespace, name))
        mine = [pod for pod in pods if pod.workflow == name]
        for pod in taken(read_workflow(value), mine).rejected() if value else ():
            yield Finding("rejected pod", "fail", how_to_free(cluster.namespace, pod))


def _not_starting(pods: list[Pod]) -> Iterator[Finding]:
    stuck = [pod for pod in pods if pod.waits_for.startswith(NOT_STARTING)]
    for pod in stuck[:_MOST_SHOWN]:
        cure = "check images.repository, tag and pullSecrets"
        if pod.waits_for.startswith(NO_CONFIG):
            cure = "create what it names, or correct the values"
        yield Finding("waiting pod", "fail", f"{pod.name}: {pod.waits_for}; {cure}")


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
    subject = f"nodes for {', '.join(stages)}"
    taken = [node for node in nodes if _takes(node, stage)]
    if taken:
        return Finding(subject, "ok", f"{len(taken)} ready{_wants(stage)}: {_names(taken)}")
    text = _why_none(nodes, stage)
    if any(key.startswith(_AUTOSCALED) for node in nodes for key in node["metadata"].get("labels") or {}):
        return Finding(subject, "note", f"{text}; an autoscaler may add one when a pod asks")
    return Finding(subject, "fail", text)


def _why_none(nodes: list[dict[str, Any]], stage: dict[str, Any]) -> str:
    """The first thing that no node has, and what to do."""
    if not nodes:
        return "the cluster has no node: add one"
    offering = [node for node in nodes if _offers_gpus(node, stage)]
    if not offering:
        cure = "install the device plugin, or set pools.gpu.gpus to 0 and device to cpu"
        return f"no node offers {', '.join(_gpus(stage))}: {cure}"
    labelled = [node for node in offering if _has_labels(node, stage)]
    if not labelled:
        labels = " ".join(f"{key}={value}" for key, value in (stage.get("nodeSelector") or {}).items())
        return f"no node{_wants(stage)} has the labels {labels}: kubectl label node NAME {labels}, or correct pools"
    open_to_it = [node for node in labelled if not _taints(node, stage)]
    if not open_to_it:
        taints = ", ".join(dict.fromkeys(taint for node in labelled for taint in _taints(node, stage)))
        return f"{_names(labelled)} have taints that the pool does not tolerate ({taints}): correct pools"
    cure = "kubectl uncordon it, see why it is not ready, or add one"
    return f"no ready node{_wants(stage)}, only {_names(open_to_it)}: {cure}"


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
    ready = _is_ready(node) and not node["spec"].get("unschedulable")
    return ready and _offers_gpus(node, stage) and _has_labels(node, stage) and not _taints(node, stage)


def _has_labels(node: dict[str, Any], stage: dict[str, Any]) -> bool:
    labels = node["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in (stage.get("nodeSelector") or {}).items())


def _taints(node: dict[str, Any], stage: dict[str, Any]) -> list[str]:
    """Taints that keep the stage off the node, but for those that follow from its state."""
    tolerations = stage.get("tolerations") or []
    return [
        f"{taint['key']}={taint.get('value', '')}:{taint['effect']}"
        for taint in node["spec"].get("taints") or []
        if taint["effect"] != "PreferNoSchedule"
        and taint["key"] not in _OF_STATE
        and not any(_tolerates(item, taint) for item in tolerations)
    ]


def _tolerates(toleration: dict[str, Any], taint: dict[str, Any]) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    return toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get("value", "")


def _offers_gpus(node: dict[str, Any], stage: dict[str, Any]) -> bool:
    allocatable = node["status"].get("allocatable") or {}
    return all(quantity(allocatable.get(name, "0")) >= count for name, count in _gpus(stage).items())


def _wants(stage: dict[str, Any]) -> str:
    asked = ", ".join(f"{count:g} {name}" for name, count in _gpus(stage).items())
    return f" with {asked}" if asked else ""


def _names(nodes: list[dict[str, Any]]) -> str:
    return ", ".join(node["metadata"]["name"] for node in nodes[:_MOST_SHOWN])


def _gpus(stage: dict[str, Any]) -> dict[str, float]:
    resources = stage["container"].get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: quantity(count) for name, count in asked.items() if is_gpu(name)}


def _is_ready(node: dict[str, Any]) -> bool:
    return any(item["type"] == "Ready" and item["status"] == "True" for item in node["status"].get("conditions") or [])
