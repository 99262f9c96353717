"""doctor --cluster: whether the stages can run on a cluster; each finding says what to do."""

from collections.abc import Callable, Iterator
from dataclasses import asdict

from jobs.cluster import doctor_access, doctor_argo, doctor_nodes, doctor_pod
from jobs.cluster.answers import Forbidden
from jobs.cluster.client import Cluster
from jobs.cluster.installed import NOTHING, Installed, read_installed
from jobs.console import Console
from jobs.doctor import Finding
from svc_core.errors import ConfigError, Preempted, SvcError

Check = Callable[[Cluster, Installed], Iterator[Finding]]
ALWAYS: dict[str, Check] = {
    "Argo's CRDs": doctor_argo.definitions,
    "Argo's controller": doctor_argo.controller,
    "workflow templates": doctor_argo.templates,
    "your rights": doctor_access.user,
}
"""Asked also where the chart is not installed."""
OF_THE_CHART: dict[str, Check] = {
    "executor's rights": doctor_access.executor,
    "executor's token": doctor_access.token,
    "stages' account": doctor_access.account,
    "bucket's Secret": doctor_access.bucket_secret,
    "artifact repository": doctor_access.artifacts,
    "Pod Security": doctor_nodes.security,
    "shared memory": doctor_nodes.shared_memory,
    "nodes": doctor_nodes.pools,
    "pods": doctor_nodes.lost,
    "admission of pods": doctor_pod.admission,
    "bucket from a pod": doctor_pod.bucket,
}


def examine(cluster: Cluster, console: Console) -> None:
    """Prints every finding. Raises ConfigError where one of them is a failure."""
    found = []
    for finding in findings(cluster):
        console.table(["", "", ""], [[finding.level, finding.subject, finding.text]])
        found.append(finding)
    failures = [finding for finding in found if finding.level == "fail"]
    if failures:
        raise ConfigError("; ".join(f"{finding.subject}: {finding.text}" for finding in failures))
    console.result({"status": "done", "exit_code": 0, "findings": [asdict(finding) for finding in found]})


def findings(cluster: Cluster) -> Iterator[Finding]:
    """Every check in turn. Raises Transient where the API server cannot be reached at all."""
    yield from doctor_argo.server(cluster, NOTHING)
    try:
        installed = read_installed(cluster)
    except ConfigError as error:
        yield Finding("workflow templates", "fail", str(error))
        installed = NOTHING
    for subject, check in (ALWAYS | (OF_THE_CHART if installed.templates else {})).items():
        yield from _guarded(subject, check, cluster, installed)


def _guarded(subject: str, check: Check, cluster: Cluster, installed: Installed) -> Iterator[Finding]:
    """What may not be looked at is a note; another error is a finding too, and the other checks go on."""
    try:
        yield from check(cluster, installed)
    except Preempted:
        raise
    except Forbidden as error:
        yield Finding(subject, "note", f"not checked: {error}")
    except SvcError as error:
        yield Finding(subject, "fail", str(error))
