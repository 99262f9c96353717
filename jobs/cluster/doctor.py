"""doctor --cluster: whether the stages can run on a cluster; each finding says what to do."""

from collections.abc import Callable, Iterator

from jobs.cluster import doctor_access, doctor_argo, doctor_nodes, doctor_pod
from jobs.cluster.answers import Forbidden
from jobs.cluster.client import Cluster
from jobs.cluster.installed import NOTHING, Installed, read_installed
from jobs.doctor import Finding
from svc_core.errors import Preempted, SvcError

Check = Callable[[Cluster, Installed], Iterator[Finding]]
ALWAYS: dict[str, Check] = {
    "Argo's CRDs": doctor_argo.definitions,
    "Argo's controller": doctor_argo.controller,
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
    "pods": doctor_nodes.held_up,
    "admission of pods": doctor_pod.admission,
    "bucket from a pod": doctor_pod.bucket,
}


def findings(cluster: Cluster) -> Iterator[Finding]:
    """Every check in turn. Raises Transient where the API server cannot be reached at all."""
    yield from doctor_argo.server(cluster, NOTHING)
    installed = NOTHING
    try:
        installed = read_installed(cluster)
        yield from doctor_argo.templates(cluster, installed)
    except SvcError as error:
        yield _trouble("workflow templates", error)
    for subject, check in (ALWAYS | (OF_THE_CHART if installed.templates else {})).items():
        yield from _guarded(subject, check, cluster, installed)


def _guarded(subject: str, check: Check, cluster: Cluster, installed: Installed) -> Iterator[Finding]:
    """One check, whose own error is a finding too, so that the others go on."""
    try:
        yield from check(cluster, installed)
    except SvcError as error:
        yield _trouble(subject, error)


def _trouble(subject: str, error: SvcError) -> Finding:
    """An error as a finding; what may not be looked at is a note. Raises Preempted again."""
    if isinstance(error, Preempted):
        raise error
    if isinstance(error, Forbidden):
        return Finding(subject, "note", f"not checked: {error}")
    return Finding(subject, "fail", str(error))
