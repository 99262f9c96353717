"""A workflow and its nodes as Argo keeps them, read out of JSON into what the views need."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

SPEAKER_LABEL = "svc-jobs/speaker"
PHASE_LABEL = "workflows.argoproj.io/phase"
TEMPLATE_LABEL = "workflows.argoproj.io/workflow-template"
NODE_ANNOTATION = "workflows.argoproj.io/node-id"
WORKFLOW_LABEL = "workflows.argoproj.io/workflow"
_LABEL_CHARS = 63
ENDED = ("Succeeded", "Failed", "Error")
_OWN_SENTENCE = re.compile(r"^main: Error \(exit code \d+\): (?P<sentence>.*)$", re.DOTALL)


@dataclass(frozen=True)
class Node:
    """One node of a workflow; times in seconds since 1970, `progress` as a share from 0 to 1."""

    id: str
    name: str
    kind: str
    """Pod, Retry, TaskGroup, DAG, Skipped, ..."""
    template: str
    phase: str
    message: str
    boundary: str
    children: tuple[str, ...]
    started_s: float | None
    finished_s: float | None
    progress: float | None
    exit_code: int | None
    inputs: dict[str, str]
    outputs: dict[str, str]
    used: dict[str, float]
    """Resource name to seconds of it (memory: seconds of 100 MiB), of this pod alone."""
    is_attempt: bool
    """A pod that a Retry node above it counts."""

    @property
    def ended(self) -> bool:
        return self.phase in (*ENDED, "Skipped", "Omitted")

    @property
    def sentence(self) -> str:
        """Its message, without what Argo puts before a program's own."""
        match = _OWN_SENTENCE.match(self.message)
        return match["sentence"] if match else self.message


@dataclass(frozen=True)
class Workflow:
    name: str
    namespace: str
    phase: str
    """Empty until the controller has seen it."""
    message: str
    shutdown: str
    created_s: float
    started_s: float | None
    finished_s: float | None
    template: str
    """Name of the WorkflowTemplate that it was made from."""
    labels: dict[str, str]
    parameters: dict[str, str]
    nodes: dict[str, Node]
    calls: dict[str, tuple[str, ...]]
    """By DAG template: the templates that its tasks call, in order."""
    entrypoint: str

    @property
    def ended(self) -> bool:
        return self.phase in ENDED

    @property
    def speaker(self) -> str:
        """The speaker's name, or the list of them that a fan-out was given."""
        return self.parameters.get("speaker") or self.parameters.get("speakers") or self.labels.get(SPEAKER_LABEL, "")

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages in the order of the DAG, also those that have not been reached."""
        return tuple(dict.fromkeys(self._leaves(self.entrypoint)))

    def _leaves(self, template: str) -> Iterator[str]:
        for called in self.calls.get(template, ()):
            if called in self.calls:
                yield from self._leaves(called)
            else:
                yield called


def read_workflow(value: dict[str, Any]) -> Workflow:
    """The view of a Workflow object."""
    metadata, spec, status = value.get("metadata") or {}, value.get("spec") or {}, value.get("status") or {}
    stored = status.get("storedWorkflowTemplateSpec") or spec
    arguments = _parameters(stored.get("arguments")) | _parameters(spec.get("arguments"))
    labels = metadata.get("labels") or {}
    template = (spec.get("workflowTemplateRef") or {}).get("name") or labels.get(TEMPLATE_LABEL, "")
    return Workflow(
        name=metadata.get("name", ""),
        namespace=metadata.get("namespace", ""),
        phase=status.get("phase", ""),
        message=status.get("message", ""),
        shutdown=spec.get("shutdown", ""),
        created_s=seconds(metadata.get("creationTimestamp")) or 0.0,
        started_s=seconds(status.get("startedAt")),
        finished_s=seconds(status.get("finishedAt")),
        template=template,
        labels=labels,
        parameters=arguments,
        nodes={name: _node(node) for name, node in (status.get("nodes") or {}).items()},
        calls=dict(_calls(stored)),
        entrypoint=stored.get("entrypoint", ""),
    )


def label_of(speaker: str) -> str:
    """The value of the speaker's label: as the templates compute it, so that it may stand for several names."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", speaker).strip("-_.")[:_LABEL_CHARS]


def seconds(stamp: str | None) -> float | None:
    """Kubernetes' time stamp as seconds since 1970; None where there is none."""
    return datetime.fromisoformat(stamp).timestamp() if stamp else None


def _node(value: dict[str, Any]) -> Node:
    outputs = value.get("outputs") or {}
    code = outputs.get("exitCode")
    flags = value.get("nodeFlag") or {}
    return Node(
        id=value.get("id", ""),
        name=value.get("displayName", ""),
        kind=value.get("type", ""),
        template=value.get("templateName") or (value.get("templateRef") or {}).get("template", ""),
        phase=value.get("phase", ""),
        message=_message(value),
        boundary=value.get("boundaryID", ""),
        children=tuple(value.get("children") or ()),
        started_s=seconds(value.get("startedAt")),
        finished_s=seconds(value.get("finishedAt")),
        progress=_share(value.get("progress")),
        exit_code=int(code) if code and code.lstrip("-").isdigit() else None,
        inputs=_parameters(value.get("inputs")),
        outputs=_parameters(outputs),
        used={name: float(amount) for name, amount in (value.get("resourcesDuration") or {}).items()},
        is_attempt=bool(flags.get("retried")),
    )


def _message(value: dict[str, Any]) -> str:
    waiting = (value.get("synchronizationStatus") or {}).get("waiting")
    return value.get("message") or (f"waiting for {waiting}" if waiting else "")


def _share(text: str | None) -> float | None:
    done, _, total = (text or "").partition("/")
    return int(done) / int(total) if done.isdigit() and total.isdigit() and int(total) else None


def _parameters(value: dict[str, Any] | None) -> dict[str, str]:
    """Parameters that have a value, by name."""
    found = (value or {}).get("parameters") or []
    return {item["name"]: str(item["value"]) for item in found if item.get("value") is not None}


def _calls(spec: dict[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for template in spec.get("templates") or []:
        if tasks := (template.get("dag") or {}).get("tasks"):
            names = (task.get("template") or (task.get("templateRef") or {}).get("template", "") for task in tasks)
            yield template["name"], tuple(names)
