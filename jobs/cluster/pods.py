"""Pods of a workflow: which node each one is, what it costs while it runs, and why it does not run."""

import time
from dataclasses import dataclass
from typing import Any

from jobs.cluster.workflow import NODE_ANNOTATION, WORKFLOW_LABEL, seconds

_ON_THE_WAY = ("ContainerCreating", "PodInitializing")
_SLOW_S = 60.0
NO_CONFIG = "CreateContainerConfigError"
NOT_STARTING = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", NO_CONFIG)
"""Reasons of a container that time alone does not cure."""


@dataclass(frozen=True)
class Pod:
    name: str
    node_id: str
    """Of the workflow's node that it is an attempt at."""
    workflow: str
    phase: str
    started_s: float | None
    cpus: float
    gpus: float
    waits_for: str
    """Why it does not run, or not for long; empty where it does, or is about to."""
    rejected: str
    """Why its node sent it away before a container began; empty where it did not."""


def read_pod(value: dict[str, Any]) -> Pod:
    metadata, status = value["metadata"], value.get("status") or {}
    containers = (value.get("spec") or {}).get("containers") or []
    main = [item for item in containers if item["name"] == "main"]
    asked = (main[0].get("resources") or {}).get("requests") or {} if main else {}
    return Pod(
        name=metadata["name"],
        node_id=(metadata.get("annotations") or {}).get(NODE_ANNOTATION, ""),
        workflow=(metadata.get("labels") or {}).get(WORKFLOW_LABEL, ""),
        phase=status.get("phase", ""),
        started_s=seconds(status.get("startTime")),
        cpus=quantity(asked.get("cpu", "0")),
        gpus=sum(quantity(amount) for name, amount in asked.items() if is_gpu(name)),
        waits_for=_waits_for(value),
        rejected=_rejected(status),
    )


def is_gpu(resource: str) -> bool:
    """Extended resources have a domain, and the devices of ours are GPUs; Kubernetes' own have none."""
    return "/" in resource and not resource.startswith(("kubernetes.io/", "hugepages-"))


def quantity(text: str | float) -> float:
    """Kubernetes' `500m` or `2Gi` as a number; 0 where it is none."""
    from kubernetes.utils.quantity import parse_quantity

    try:
        return float(parse_quantity(text))
    except ValueError:
        return 0.0


def _rejected(status: dict[str, Any]) -> str:
    reason, message = status.get("reason", ""), status.get("message", "")
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    begun = any({"running", "terminated"} & set(item.get("state") or {}) for item in containers)
    if status.get("phase") != "Failed" or not reason or begun:
        return ""
    return message if reason in message else f"{reason}: {message}".rstrip(": ")


def _being_deleted(value: dict[str, Any], overdue_s: float) -> str:
    node = (value.get("spec") or {}).get("nodeName", "")
    if overdue_s < _SLOW_S or not node:
        return "its pod is being deleted"
    return f"its pod should have gone {_minutes(overdue_s)} ago: if {node} is lost for good, kubectl delete node {node}"


def _minutes(seconds: float) -> str:
    """Coarse, because each new text is a new line where there is no terminal."""
    return f"{seconds / 60:.0f} min"


def _waits_for(value: dict[str, Any]) -> str:
    status = value.get("status") or {}
    if deleted_s := seconds(value["metadata"].get("deletionTimestamp")):
        return _being_deleted(value, time.time() - deleted_s)
    if status.get("phase") != "Pending":
        return ""
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{condition.get('reason', 'not scheduled')}: {condition.get('message', '')}".rstrip(": ")
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (container.get("state") or {}).get("waiting")
        if waiting and waiting.get("reason") not in _ON_THE_WAY:
            return f"{waiting.get('reason')}: {waiting.get('message', '')}".rstrip(": ")
    begun_s = seconds(status.get("startTime"))
    if begun_s and time.time() - begun_s > _SLOW_S:
        return f"containers are not created after {_minutes(time.time() - begun_s)}: kubectl describe pod says why"
    return ""
