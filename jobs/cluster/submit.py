"""Makes a workflow from one of the chart's templates."""

import json
from dataclasses import dataclass
from typing import Any

from jobs.cluster.client import Cluster
from jobs.cluster.find import OURS, OURS_LABEL
from jobs.cluster.target import Target
from svc_core import layout
from svc_core.errors import ConfigError

API_VERSION = "argoproj.io/v1alpha1"


@dataclass(frozen=True)
class Parameter:
    """What a template may be given. A value is needed where `default` is None."""

    name: str
    default: str | None
    choices: tuple[str, ...]


def submit(cluster: Cluster, template: str, speaker: str, given: dict[str, str]) -> str:
    """Creates the workflow and returns its name.

    Args:
        speaker: a folder below raw/, or a JSON list of them for a template that takes `speakers`.
        given: further parameters by name; only these are sent.

    Raises ConfigError for a template that is not there, for a parameter that it does not know and for a value that it
    does not take.
    """
    many = speakers_of(speaker)
    known = parameters(_template(cluster, template))
    values = {"speaker" if many is None else "speakers": speaker, **given}
    check(template, known, values)
    made = cluster.create(Target("workflows", cluster.namespace), manifest(template, speaker, values))
    return str(made["metadata"]["name"])


def speakers_of(text: str) -> list[str] | None:
    """The speakers of a JSON list; None where it is one speaker's name.

    Raises ConfigError for a name that no speaker can have.
    """
    if not text.startswith("["):
        layout.check_speaker(text)
        return None
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f'{text!r} is neither a speaker nor a JSON list of them: write \'["alice", "bob"]\'')
    return [layout.check_speaker(name) for name in names]


def parameters(template: dict[str, Any]) -> dict[str, Parameter]:
    """The parameters of a WorkflowTemplate object, by name."""
    listed = ((template.get("spec") or {}).get("arguments") or {}).get("parameters") or []
    return {item["name"]: Parameter(item["name"], _default(item), tuple(item.get("enum") or ())) for item in listed}


def check(template: str, known: dict[str, Parameter], given: dict[str, str]) -> None:
    """Raises ConfigError with everything that is wrong with the values."""
    wrong = []
    for name, value in given.items():
        parameter = known.get(name)
        if parameter is None:
            wrong.append(f"{template} has no parameter {name!r}, only {', '.join(known)}")
        elif parameter.choices and value not in parameter.choices:
            wrong.append(f"{name} is {value!r} and must be one of {', '.join(parameter.choices)}")
    absent = [name for name, parameter in known.items() if parameter.default is None and name not in given]
    if absent:
        wrong.append(f"{template} needs {', '.join(absent)}: give each with -p name=value")
    if wrong:
        raise ConfigError("; ".join(wrong))


def manifest(template: str, speaker: str, given: dict[str, str]) -> dict[str, Any]:
    """The Workflow object: nothing but arguments, so that it passes `templateReferencing: Strict`."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Workflow",
        "metadata": {"generateName": f"svc-{layout.slug(speaker)}-", "labels": {OURS_LABEL: OURS}},
        "spec": {
            "workflowTemplateRef": {"name": template},
            "arguments": {"parameters": [{"name": name, "value": value} for name, value in given.items()]},
        },
    }


def _template(cluster: Cluster, name: str) -> dict[str, Any]:
    found = cluster.find(Target("workflowtemplates", cluster.namespace, name))
    if found is None:
        there = [item["name"] for item in cluster.metadata(Target("workflowtemplates", cluster.namespace))]
        has = (
            f"it has {', '.join(sorted(there))}"
            if there
            else "helm install charts/svc-jobs there, or name another with -n"
        )
        raise ConfigError(f"namespace {cluster.namespace} has no workflow template {name}: {has}")
    return found


def _default(item: dict[str, Any]) -> str | None:
    value = item.get("value", item.get("default"))
    return None if value is None else str(value)
