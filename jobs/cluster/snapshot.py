"""A workflow at one moment: its rows, its pods, and how far each running pod is."""

import time
from dataclasses import dataclass, replace

from jobs.cluster.client import Cluster
from jobs.cluster.events import Reading, last_reading
from jobs.cluster.pods import Pod, is_gpu, read_pod
from jobs.cluster.stages import Row, Shard, rows
from jobs.cluster.target import Target
from jobs.cluster.workflow import WORKFLOW_LABEL, Workflow, read_workflow
from svc_core.errors import Preempted, SvcError

TAIL_LINES = "8"
MOST_TAILS = 8
"""Logs asked for at each look; the others show the progress that Argo knows."""
TAIL_READ_S = 5.0
"""For each of them, so that a node that does not answer keeps neither the table nor Ctrl-C waiting."""
HOUR_S = 3600.0


@dataclass(frozen=True)
class Snapshot:
    workflow: Workflow
    rows: tuple[Row, ...]
    pods: dict[str, Pod]
    """By id of the workflow's node."""
    readings: dict[str, Reading]
    """By id of the workflow's node."""
    now_s: float
    notes: tuple[str, ...] = ()

    def waits_for(self, shard: Shard) -> str:
        """Why a shard does not run, or what its last attempt ended with while the next one is due."""
        pod = self.pods.get(shard.newest.id)
        if pod and pod.rejected:
            return pod.rejected
        if shard.state == "pending" and shard.newest.ended:
            return f"next attempt soon, the last one: {shard.newest.sentence or shard.newest.phase}"
        if pod and pod.waits_for:
            return pod.waits_for
        message = shard.newest.message if shard.state == "pending" else ""
        return "" if message in ("PodInitializing", "ContainerCreating") else message

    def rejected(self) -> list[Pod]:
        """Pods that never began and that Argo waits for, although they have failed, as long as they are there."""
        if self.workflow.ended:
            return []
        shards = [shard for row in self.rows for shard in row.shards if shard.state in ("pending", "failed")]
        newest = [self.pods.get(shard.newest.id) for shard in shards]
        return [pod for pod in newest if pod and pod.rejected]

    def share(self, row: Row) -> float | None:
        """How much of a stage is done, from 0 to 1; None where nothing says so."""
        if not any(shard.attempts for shard in row.shards):
            return None
        return sum(self._share(shard) for shard in row.shards) / row.total

    def _share(self, shard: Shard) -> float:
        if shard.state in ("done", "skipped"):
            return 1.0
        if shard.state != "running":
            return 0.0
        if reading := self.readings.get(shard.newest.id):
            return reading.share
        return shard.newest.progress or 0.0

    def running(self, row: Row) -> list[Reading]:
        """What the running pods of a stage say."""
        found = (self.readings.get(shard.newest.id) for shard in row.shards if shard.state == "running")
        return [reading for reading in found if reading]

    def elapsed_s(self, row: Row) -> float | None:
        """From the first pod's start to the last one's end, or to now."""
        pods = [pod for shard in row.shards for pod in shard.attempts if pod.started_s]
        if not pods:
            return None
        ends = [pod.finished_s if pod.ended and pod.finished_s else self.now_s for pod in pods]
        return max(ends) - min(pod.started_s or self.now_s for pod in pods)


@dataclass(frozen=True)
class Cost:
    """Resources times time that pods have asked for, as Argo counts them, and for running pods as asked for."""

    cpu_h: float
    gpu_h: float
    attempts: int
    retried: int


def cost(snapshot: Snapshot) -> Cost:
    cpu_s = gpu_s = 0.0
    pods = [node for node in snapshot.workflow.nodes.values() if node.kind == "Pod"]
    for node in pods:
        pod = snapshot.pods.get(node.id)
        if node.ended:
            cpu_s += node.used.get("cpu", 0.0)
            gpu_s += sum(amount for name, amount in node.used.items() if is_gpu(name))
        elif pod and pod.started_s and pod.phase == "Running":
            cpu_s += pod.cpus * (snapshot.now_s - pod.started_s)
            gpu_s += pod.gpus * (snapshot.now_s - pod.started_s)
    retried = sum(row.retries for row in snapshot.rows)
    return Cost(cpu_s / HOUR_S, gpu_s / HOUR_S, len(pods), retried)


def how_to_free(namespace: str, pod: Pod) -> str:
    """What frees a workflow from a pod that was rejected."""
    return f"{pod.name}: {pod.rejected}, and Argo waits until it is gone: kubectl -n {namespace} delete pod {pod.name}"


def taken(workflow: Workflow, pods: list[Pod]) -> Snapshot:
    """A workflow and its pods as they are now, without what the pods' logs say."""
    return Snapshot(workflow, tuple(rows(workflow)), {pod.node_id: pod for pod in pods}, {}, time.time())


def pods_of(cluster: Cluster, name: str) -> list[Pod]:
    """The pods of a workflow that are still there."""
    query = {"labelSelector": f"{WORKFLOW_LABEL}={name}"}
    return [read_pod(value) for value in cluster.items(Target("pods", cluster.namespace, query=query))]


def look(cluster: Cluster, name: str) -> Snapshot:
    """The workflow now. Pods and logs that may not be read become a note, not an error."""
    workflow = read_workflow(cluster.get(Target("workflows", cluster.namespace, name)))
    if workflow.ended or not workflow.nodes:
        return taken(workflow, [])
    try:
        found = taken(workflow, pods_of(cluster, name))
    except Preempted:
        raise
    except SvcError as error:
        return replace(taken(workflow, []), notes=(str(error),))
    notes = tuple(how_to_free(cluster.namespace, pod) for pod in found.rejected())
    return replace(found, readings=_readings(cluster, found), notes=notes)


def _readings(cluster: Cluster, found: Snapshot) -> dict[str, Reading]:
    running = {shard.newest.id for row in found.rows for shard in row.shards if shard.state == "running"}
    readings, hasty = {}, replace(cluster, read_s=TAIL_READ_S)
    for pod in [pod for key, pod in found.pods.items() if key in running and pod.phase == "Running"][:MOST_TAILS]:
        query = {"container": "main", "tailLines": TAIL_LINES}
        try:
            log = hasty.text(Target("pods", cluster.namespace, pod.name, "log", query))
        except Preempted:
            raise
        except SvcError:  # the container has not started, or has just gone
            continue
        if reading := last_reading(log):
            readings[pod.node_id] = reading
    return readings
