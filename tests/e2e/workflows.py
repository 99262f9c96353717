"""A workflow in the cluster: submitted, watched, and looked into."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import pytest

from k8s.cluster import Cluster, Refused

Value = TypeVar("Value")
ENDED = ("Succeeded", "Failed", "Error")


def wait_for(what: str, look: Callable[[], Value | None], limit_s: float = 120, every_s: float = 1.0) -> Value:
    """What `look` gives as soon as it gives something. A limit that runs out is a failure that says of what."""
    until = time.monotonic() + limit_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"{what}: not within {limit_s:.0f} s")
        time.sleep(every_s)


def submit(cluster: Cluster, template: str, **parameters: object) -> "Workflow":
    """A workflow from a template of the chart, submitted as any client would."""
    made = json.loads(cluster.run("create", "-o", "json", "-f", "-", stdin=workflow(template, parameters)))
    return Workflow(cluster, made["metadata"]["name"])


def refusal(cluster: Cluster, asked: str) -> str:
    """What the server says when it refuses to create this. Fails where it does not."""
    with pytest.raises(Refused) as refused:
        cluster.run("create", "-f", "-", stdin=asked)
    return str(refused.value)


def workflow(template: str, parameters: dict[str, object]) -> str:
    return json.dumps(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Workflow",
            "metadata": {"generateName": f"{template}-"},
            "spec": {
                "workflowTemplateRef": {"name": template},
                "arguments": {"parameters": [{"name": key, "value": str(value)} for key, value in parameters.items()]},
            },
        }
    )


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


class Pod(NamedTuple):
    name: str
    uid: str


@dataclass(frozen=True)
class Workflow:
    cluster: Cluster
    name: str

    def read(self) -> dict[str, Any]:
        return self.cluster.get("workflow", self.name)

    @property
    def phase(self) -> str:
        return self.read().get("status", {}).get("phase", "Pending")

    def wait(self, limit_s: float = 600) -> str:
        """The phase in which it ended."""
        wait_for(f"{self.name} ends", lambda: self.phase in ENDED, limit_s, 2.0)
        return self.phase

    def succeed(self, limit_s: float = 600) -> "Workflow":
        assert self.wait(limit_s) == "Succeeded", self.messages()
        return self

    def nodes(self, stage: str = "", kind: str = "Pod") -> list[dict[str, Any]]:
        """Nodes of a kind (of one stage), in the order in which they started."""
        found = self.read().get("status", {}).get("nodes", {}).values()
        mine = [one for one in found if one["type"] == kind and stage in ("", one.get("templateName"))]
        return sorted(mine, key=lambda one: (one.get("startedAt") or "", one["name"]))

    def pod_seconds(self) -> list[float]:
        return [_moment(node["finishedAt"]) - _moment(node["startedAt"]) for node in self.nodes()]

    def seconds_to_first_pod(self) -> float:
        return _moment(self.nodes()[0]["startedAt"]) - _moment(self.read()["metadata"]["creationTimestamp"])

    def messages(self) -> list[str]:
        return [f"{one['displayName']} {one['phase']}: {one.get('message', '')}" for one in self.nodes()]

    def exit_codes(self, stage: str) -> list[str]:
        return [one.get("outputs", {}).get("exitCode", "") for one in self.nodes(stage)]

    def outputs(self, stage: str) -> dict[str, str]:
        """Output parameters of a stage's newest pod."""
        given = self.nodes(stage)[-1].get("outputs", {}).get("parameters", [])
        return {one["name"]: one.get("value", "") for one in given}

    def pods(self, stage: str) -> "dict[Pod, bool]":
        """The stage's pods that are there, and whether the main container of each runs and was not told to stop."""
        selector = f"workflows.argoproj.io/workflow={self.name},svc-jobs/stage={stage}"
        found = {}
        for item in self.cluster.items("pods", "-l", selector):
            states = item.get("status", {}).get("containerStatuses", [])
            runs = any(one["name"] == "main" and "running" in one["state"] for one in states)
            pod = Pod(item["metadata"]["name"], item["metadata"]["uid"])
            found[pod] = runs and "deletionTimestamp" not in item["metadata"]
        return found

    def running_pod(self, stage: str, after: "Pod | None" = None, limit_s: float = 300) -> "Pod":
        """A pod of the stage whose main container runs; not `after`, where one is given."""

        def look() -> Pod | None:
            if self.phase in ENDED:
                raise AssertionError(f"{self.name} ended before {stage} ran: {self.messages()}")
            return next((pod for pod, runs in self.pods(stage).items() if runs and pod != after), None)

        return wait_for(f"a running pod of {stage}", look, limit_s, 0.5)

    def logs(self, stage: str) -> str:
        selector = f"workflows.argoproj.io/workflow={self.name},svc-jobs/stage={stage}"
        return self.cluster.run("logs", "-l", selector, "-c", "main", "--tail=-1", limit_s=30)
