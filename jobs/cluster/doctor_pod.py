"""doctor --cluster: pods like those of the stages, to see who is let in, and the bucket from inside."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from jobs.cluster.answers import Forbidden
from jobs.cluster.client import Cluster
from jobs.cluster.installed import Installed
from jobs.cluster.pods import NOT_STARTING, read_pod
from jobs.cluster.target import Target
from jobs.cluster.workflow import seconds
from jobs.doctor import Finding
from svc_core.errors import ConfigError, SvcError

LIMIT_S = 120.0
"""From the pod's creation to its end; pulling an image is part of it."""
STUCK_S = 20.0
"""For a container that cannot be started, in case that passes."""
SKEW_S = 30.0
_EVERY_S = 1.0
_SUBJECT = "bucket from a pod"
_OF_THE_IMAGE = ("huggingface_hub", "torch", "shared memory")
"""The slicing image has no need of these."""
_SECURE = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def admission(cluster: Cluster, installed: Installed) -> Iterator[Finding]:
    """Whether quota, limit range, Pod Security and policies would let a pod of each stage in. Nothing is created."""
    refused: dict[str, list[str]] = {}
    for name, stage in installed.stages.items():
        target = Target("pods", cluster.namespace, query={"dryRun": "All"})
        try:
            cluster.create(target, pod_like(installed, stage, f"svc-jobs-doctor-{name}", beside_argo=True))
        except Forbidden:
            raise
        except ConfigError as error:
            refused.setdefault(str(error).rpartition(" is forbidden: ")[2], []).append(name)
    for reason, names in refused.items():
        text = (
            f"pods of {', '.join(names)} would be refused: {reason}; ask for "
            f"more, or lower stages and pools in the values"
        )
        yield Finding("admission of pods", "fail", text)
    if installed.stages and not refused:
        yield Finding(
            "admission of pods",
            "ok",
            f"quota, limits and policies admit a pod of each of {len(installed.stages)} stages",
        )


def bucket(cluster: Cluster, installed: Installed, limit_s: float = LIMIT_S) -> Iterator[Finding]:
    """Runs `doctor` in a pod with the account, settings and credentials of a stage, and removes it again."""
    stage = installed.stages.get("prepare")
    if stage is None or not installed.workspaces:
        return
    name = f"svc-jobs-doctor-{secrets.token_hex(3)}"
    pod = pod_like(installed, stage, name, beside_argo=False)
    pod["spec"]["activeDeadlineSeconds"] = int(limit_s)
    arguments = ["doctor", "--workspace", f"{installed.workspaces}/doctor", "--json"]
    pod["spec"]["containers"][0].update(command=["python", "-m", "jobs"], args=arguments)
    asked_s = time.time()
    try:
        made = cluster.create(Target("pods", cluster.namespace), pod)
        yield _clock(asked_s, time.time(), seconds(made["metadata"].get("creationTimestamp")))
        yield from _wait(cluster, name, limit_s)
    finally:
        with suppress(SvcError):
            cluster.delete(Target("pods", cluster.namespace, name, query={"gracePeriodSeconds": "0"}))


def pod_like(installed: Installed, stage: dict[str, Any], name: str, *, beside_argo: bool) -> dict[str, Any]:
    """A pod as Argo would make it of the template; its main container alone without `beside_argo`."""
    main = {key: value for key, value in stage["container"].items() if key != "args"}
    main["env"] = [item for item in main.get("env") or [] if "{{" not in str(item.get("value", ""))]
    spec: dict[str, Any] = {
        key: stage[key]
        for key in (
            "nodeSelector",
            "tolerations",
            "securityContext",
            "serviceAccountName",
            "volumes",
            "priorityClassName",
        )
        if key in stage
    }
    spec |= {"containers": [main], "restartPolicy": "Never", "automountServiceAccountToken": False}
    if pull := installed.spec.get("imagePullSecrets"):
        spec["imagePullSecrets"] = pull
    if beside_argo:
        spec["initContainers"] = [{"name": "init", "image": main["image"], "securityContext": _SECURE}]
        spec["containers"] = [{"name": "wait", "image": main["image"], "securityContext": _SECURE}, main]
    labels = {"app.kubernetes.io/name": "svc-jobs", "svc-jobs/stage": "doctor"}
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def findings_of(log: str) -> list[Finding]:
    """What a pod's doctor found, out of its log; empty where it said nothing."""
    for line in reversed(log.splitlines()):
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if not isinstance(answer, dict):
            continue
        if "findings" in answer:
            found = [Finding(**item) for item in answer["findings"] if item["subject"] not in _OF_THE_IMAGE]
            return [Finding(f"in a pod: {item.subject}", item.level, item.text) for item in found]
        if error := answer.get("error"):
            return [Finding("in a pod", "fail", str(error))]
    return []


def _clock(before_s: float, after_s: float, server_s: float | None) -> Finding:
    """The server's time is in whole seconds, and lies between the two."""
    skew_s = max(before_s - 1 - (server_s or before_s), (server_s or after_s) - after_s, 0.0)
    if skew_s > SKEW_S:
        text = (
            f"this machine and the API server differ by {skew_s:.0f} s, so that ages and ETAs mislead: set the clocks"
        )
        return Finding("clock", "note", text)
    return Finding("clock", "ok", f"within {skew_s + 1:.0f} s of the API server's")


def _wait(cluster: Cluster, name: str, limit_s: float) -> Iterator[Finding]:
    begun_s, pod = time.monotonic(), None
    while time.monotonic() < begun_s + limit_s:
        pod = read_pod(cluster.get(Target("pods", cluster.namespace, name)))
        if pod.phase in ("Succeeded", "Failed"):
            yield from [Finding(_SUBJECT, "fail", pod.rejected)] if pod.rejected else _said(cluster, name)
            return
        if pod.waits_for.startswith(NOT_STARTING) and time.monotonic() > begun_s + STUCK_S:
            break
        time.sleep(_EVERY_S)
    if pod and pod.waits_for:
        text = f"a pod with the stages' image did not begin: {pod.waits_for}"
    else:
        text = f"a pod with the stages' image still runs after {limit_s:.0f} s: look at the bucket's endpoint"
    yield Finding(_SUBJECT, "fail", text)


def _said(cluster: Cluster, name: str) -> list[Finding]:
    log = cluster.text(Target("pods", cluster.namespace, name, "log", {"container": "main", "tailLines": "50"}))
    text = f"the pod said nothing that can be read: {log[-200:] or 'no log'}"
    return findings_of(log) or [Finding(_SUBJECT, "fail", text)]
