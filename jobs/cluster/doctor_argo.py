"""doctor --cluster: the API server, Argo's definitions and controller, and the chart."""

import re
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from jobs.cluster.client import Cluster
from jobs.cluster.installed import Installed
from jobs.cluster.target import Target
from jobs.doctor import Finding

KUBERNETES = (1, 30)
ARGO = (4, 0, 6)
DEFINITIONS = ("workflows", "workflowtemplates", "cronworkflows", "workflowtaskresults")


def server(cluster: Cluster, installed: Installed) -> Iterator[Finding]:
    said = cluster.get(Target("version")).get("gitVersion", "")
    enough = _numbers(said)[:2] >= KUBERNETES
    cure = "" if enough else f": Kubernetes {_dotted(KUBERNETES)} or later is needed"
    yield Finding("API server", "ok" if enough else "fail", f"{cluster.server} runs {said}{cure}")


def definitions(cluster: Cluster, installed: Installed) -> Iterator[Finding]:
    minimal = []
    for plural in DEFINITIONS:
        found = cluster.find(Target("customresourcedefinitions", name=f"{plural}.argoproj.io"))
        if found is None or not _established(found):
            cure = "install Argo 4.0.6 or later with its full CRDs"
            yield Finding(
                "Argo's CRDs", "fail", f"{plural}.argoproj.io is {'absent' if found is None else 'not ready'}: {cure}"
            )
            return
        if plural != "workflowtaskresults" and not _is_full(found):
            minimal.append(plural)
    if minimal:
        text = f"{', '.join(minimal)} without a schema, so that mistakes pass the server: install the full CRDs"
        yield Finding("Argo's CRDs", "note", text)
    else:
        yield Finding("Argo's CRDs", "ok", f"{len(DEFINITIONS)} established, with their full schemas")


def controller(cluster: Cluster, installed: Installed) -> Iterator[Finding]:
    found = [item for item in cluster.items(Target("deployments")) if "workflow-controller" in item["metadata"]["name"]]
    if not found:
        yield Finding(
            "Argo's controller", "fail", "no deployment workflow-controller in any namespace: install Argo 4.0.6"
        )
    judged = [_controller(cluster, deployment) for deployment in found]
    # Of several, one that serves this namespace is enough.
    yield from [finding for finding in judged if finding.level == "ok"] or judged


def templates(cluster: Cluster, installed: Installed) -> Iterator[Finding]:
    if not installed.templates:
        text = f"none in namespace {cluster.namespace}: helm install charts/svc-jobs there, or name another with -n"
        yield Finding("workflow templates", "fail", text)
        return
    names = sorted(item["metadata"]["name"] for item in installed.templates)
    own = metadata.version("svc-jobs")
    if installed.version == own:
        yield Finding("workflow templates", "ok", f"{installed.chart}: {', '.join(names)}")
    else:
        text = (
            f"{installed.chart} is of version {installed.version}, this program "
            f"of {own}: helm upgrade, or install that one"
        )
        yield Finding("workflow templates", "note", text)
    images = sorted({stage["container"]["image"] for stage in installed.stages.values()})
    yield Finding("images", "ok", ", ".join(images))


def _controller(cluster: Cluster, deployment: dict[str, Any]) -> Finding:
    subject, place = "Argo's controller", deployment["metadata"]["namespace"]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    arguments, image = container.get("args") or [], container["image"]
    version = _numbers(image.partition("@")[0].rpartition(":")[2])
    looked_after = {place} | {argument.removeprefix("--managed-namespace=") for argument in arguments}
    if "--namespaced" in arguments and cluster.namespace not in looked_after:
        text = f"in {place} looks after its own namespace only: start it without --namespaced, or submit there"
        return Finding(subject, "fail", text)
    if not (deployment.get("status") or {}).get("readyReplicas"):
        return Finding(subject, "fail", f"in {place} is not ready: kubectl -n {place} get pods says why")
    if len(version) < 3:
        return Finding(
            subject, "note", f"in {place} runs {image}, whose version cannot be read; {_dotted(ARGO)} is needed"
        )
    if version < ARGO:
        return Finding(
            subject,
            "fail",
            f"in {place} runs {image}: {_dotted(ARGO)} or later is needed, earlier ones have known holes",
        )
    return Finding(subject, "ok", f"{image} in namespace {place}")


def _established(definition: dict[str, Any]) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)


def _is_full(definition: dict[str, Any]) -> bool:
    schema = ((definition["spec"]["versions"][0].get("schema") or {}).get("openAPIV3Schema") or {}).get(
        "properties"
    ) or {}
    return bool((schema.get("spec") or {}).get("properties"))


def _numbers(text: str) -> tuple[int, ...]:
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part) for part in found.groups() if part) if found else ()


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
