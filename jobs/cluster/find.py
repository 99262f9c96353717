"""Which workflow a name means: its own name, or the newest of a speaker."""

from dataclasses import dataclass
from typing import Any

from jobs.cluster.client import Cluster
from jobs.cluster.target import Target
from jobs.cluster.workflow import (
    ENDED,
    PHASE_LABEL,
    SPEAKER_LABEL,
    TEMPLATE_LABEL,
    Workflow,
    label_of,
    read_workflow,
    seconds,
)
from svc_core.errors import BadInput

OURS_LABEL = "app.kubernetes.io/name"
OURS = "svc-jobs"


@dataclass(frozen=True)
class Listed:
    """A workflow as a listing shows it, without its nodes."""

    name: str
    speaker: str
    """As the label has it."""
    template: str
    phase: str
    created_s: float


def listed(cluster: Cluster) -> list[Listed]:
    """The namespace's workflows that are ours, newest first."""
    found = [
        _listed(metadata) for metadata in cluster.metadata(Target("workflows", cluster.namespace)) if _ours(metadata)
    ]
    return sorted(found, key=lambda item: item.created_s, reverse=True)


def find(cluster: Cluster, wanted: str) -> Workflow:
    """The workflow of that name, else of the speaker of that name: the newest that has not ended, or the newest.

    Raises BadInput where there is neither.
    """
    if _may_be_a_name(wanted) and (value := cluster.find(Target("workflows", cluster.namespace, wanted))):
        return read_workflow(value)
    for item in sorted(listed(cluster), key=lambda item: item.phase in ENDED):
        if item.speaker == label_of(wanted):
            workflow = read_workflow(cluster.get(Target("workflows", cluster.namespace, item.name)))
            # One label may stand for several names.
            if workflow.parameters.get("speaker") == wanted:
                return workflow
    raise BadInput(
        f"{wanted!r} is neither a workflow nor the speaker of one in namespace {cluster.namespace}: `svc-jobs status "
        f"-n {cluster.namespace}` lists them"
    )


def _listed(metadata: dict[str, Any]) -> Listed:
    labels = metadata.get("labels") or {}
    return Listed(
        name=metadata["name"],
        speaker=labels.get(SPEAKER_LABEL, ""),
        template=labels.get(TEMPLATE_LABEL, ""),
        phase=labels.get(PHASE_LABEL, ""),
        created_s=seconds(metadata.get("creationTimestamp")) or 0.0,
    )


def _ours(metadata: dict[str, Any]) -> bool:
    """Also of a workflow that the controller has not labelled yet, and of one that another client submitted."""
    labels = metadata.get("labels") or {}
    return labels.get(OURS_LABEL) == OURS or any(name.startswith("svc-jobs/") for name in labels)


def _may_be_a_name(text: str) -> bool:
    return 0 < len(text) <= 253 and all(char.isascii() and (char.isalnum() or char in "-.") for char in text)
