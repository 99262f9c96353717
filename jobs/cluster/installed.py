"""What the chart has put into a namespace, read from its workflow templates."""

import json
import re
from dataclasses import dataclass
from typing import Any

from jobs.cluster.client import Cluster
from jobs.cluster.target import Target

_ROOT = re.compile(r"(s3://[^'\"{}\\]+?)/(?:'|\{\{)")


@dataclass(frozen=True)
class Installed:
    """The chart's templates; everything is empty where there are none."""

    templates: tuple[dict[str, Any], ...]
    """WorkflowTemplate objects."""
    stages: dict[str, dict[str, Any]]
    """By stage: the Argo template that runs it in a pod."""

    @property
    def spec(self) -> dict[str, Any]:
        """Of any one template: they agree in what concerns the whole."""
        return (self.templates[0].get("spec") or {}) if self.templates else {}

    @property
    def chart(self) -> str:
        labels = self.templates[0]["metadata"].get("labels") or {} if self.templates else {}
        return str(labels.get("helm.sh/chart", ""))

    @property
    def version(self) -> str:
        labels = self.templates[0]["metadata"].get("labels") or {} if self.templates else {}
        return str(labels.get("app.kubernetes.io/version", ""))

    @property
    def account(self) -> str:
        return str(self.spec.get("serviceAccountName", "svc-jobs"))

    @property
    def executor(self) -> str:
        return str((self.spec.get("executor") or {}).get("serviceAccountName", f"{self.account}-executor"))

    @property
    def workspaces(self) -> str:
        """Where the chart puts workspaces; empty where the templates do not say."""
        found = _ROOT.search(json.dumps(self.spec))
        return found[1] if found else ""

    @property
    def secret(self) -> str:
        """Name of the Secret with the bucket's credentials; empty where pods have a role instead."""
        for stage in self.stages.values():
            for source in stage["container"].get("envFrom") or []:
                if name := (source.get("secretRef") or {}).get("name"):
                    return str(name)
        return ""

    def default(self, parameter: str) -> str:
        listed = (self.spec.get("arguments") or {}).get("parameters") or []
        return next((str(item.get("value", "")) for item in listed if item["name"] == parameter), "")


NOTHING = Installed((), {})


def read_installed(cluster: Cluster) -> Installed:
    query = {"labelSelector": "app.kubernetes.io/name=svc-jobs"}
    templates = cluster.items(Target("workflowtemplates", cluster.namespace, query=query))
    stages: dict[str, dict[str, Any]] = {}
    for template in templates:
        for item in template["spec"].get("templates") or []:
            if "container" in item:
                stages.setdefault(item["name"], item)
    whole_first = sorted(templates, key=lambda item: item["metadata"]["name"] != "svc-speaker")
    return Installed(tuple(whole_first), stages)
