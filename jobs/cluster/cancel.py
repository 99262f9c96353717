"""Ends a workflow: asks its stages to save and stop, or stops them at once."""

from typing import NamedTuple

from jobs.cluster.client import Cluster
from jobs.cluster.target import Target
from jobs.cluster.workflow import Workflow

STOP, TERMINATE = "Stop", "Terminate"


class Cancelled(NamedTuple):
    changed: bool
    text: str


def cancel(cluster: Cluster, workflow: Workflow, *, now: bool) -> Cancelled:
    """What was done, in a sentence; a workflow that has ended, or was told already, stays as it is."""
    name, wanted = workflow.name, TERMINATE if now else STOP
    if workflow.ended:
        return Cancelled(False, f"{name} has already ended: {workflow.phase}")
    if workflow.shutdown in (wanted, TERMINATE):
        return Cancelled(False, f"{name} was already told to {workflow.shutdown.lower()}")
    cluster.patch(Target("workflows", cluster.namespace, name), {"spec": {"shutdown": wanted}})
    how = "its pods are removed" if now else "its stages save what they have and end"
    return Cancelled(True, f"{name} was told to {wanted.lower()}: {how}; a new submit goes on from what is saved")
