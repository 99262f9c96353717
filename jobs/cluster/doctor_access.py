"""doctor --cluster: who may do what, and the Secrets that pods need."""

from collections.abc import Iterator
from typing import Any

from jobs.cluster.client import Cluster
from jobs.cluster.installed import Installed
from jobs.cluster.target import Target
from jobs.doctor import Finding

USER_NEEDS = (
    ("create", "argoproj.io", "workflows", ""),
    ("get", "argoproj.io", "workflows", ""),
    ("list", "argoproj.io", "workflows", ""),
    ("patch", "argoproj.io", "workflows", ""),
    ("get", "argoproj.io", "workflowtemplates", ""),
    ("list", "", "pods", ""),
    ("get", "", "pods", "log"),
)
EXECUTOR_NEEDS = (
    ("create", "argoproj.io", "workflowtaskresults", ""),
    ("patch", "argoproj.io", "workflowtaskresults", ""),
)
EXECUTOR_TOO_MUCH = (
    ("get", "", "secrets", ""),
    ("create", "", "pods", ""),
    ("get", "", "pods", ""),
    ("create", "argoproj.io", "workflows", ""),
    ("patch", "argoproj.io", "workflows", ""),
)
BUCKET_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")

Right = tuple[str, str, str, str]
"""verb, API group, resource, part of it"""


def user(cluster: Cluster, installed: Installed) -> Iterator[Finding]:
    lacking = [right for right in USER_NEEDS if not _may(cluster, right)]
    if lacking:
        text = f"you may not {_words(lacking)} in namespace {cluster.namespace}: ask for a role with these"
        yield Finding("your rights", "fail", text)
    else:
        yield Finding("your rights", "ok", f"submit, watch, read logs and cancel in namespace {cluster.namespace}")


def executor(cluster: Cluster, installed: Installed) -> Iterator[Finding]:
    subject = f"system:serviceaccount:{cluster.namespace}:{installed.executor}"
    lacking = [right for right in EXECUTOR_NEEDS if not _may(cluster, right, subject)]
    extra = [right for right in EXECUTOR_TOO_MUCH if _may(cluster, right, subject)]
    if lacking:
        text = f"{installed.executor} may not {_words(lacking)}, so that no stage ends: helm upgrade restores its role"
        yield Finding("executor's rights", "fail", text)
    elif extra:
        text = (
            f"{installed.executor} may also {_words(extra)}: remove the role "
            f"that says so, it needs workflowtaskresults only"
        )
        yield Finding("executor's rights", "note", text)
    else:
        yield Finding(
            "executor's rights", "ok", f"{installed.executor} may create and patch workflowtaskresults, no more"
        )


def token(cluster: Cluster, installed: Installed) -> Iterator[Finding]:
    name = f"{installed.executor}.service-account-token"
    secret = cluster.find(Target("secrets", cluster.namespace, name))
    if secret is None:
        yield Finding(
            "executor's token", "fail", f"Secret {name} is absent and pods stay in Init: helm upgrade makes it"
        )
    elif not (secret.get("data") or {}).get("token"):
        text = (
            f"Secret {name} holds no token: delete it and run helm upgrade, and check that {installed.executor} exists"
        )
        yield Finding("executor's token", "fail", text)
    else:
        yield Finding("executor's token", "ok", f"Secret {name} holds one")


def account(cluster: Cluster, installed: Installed) -> Iterator[Finding]:
    found = cluster.find(Target("serviceaccounts", cluster.namespace, installed.account))
    mounted = [
        name for name, stage in installed.stages.items() if stage.get("automountServiceAccountToken") is not False
    ]
    if found is None:
        yield Finding("stages' account", "fail", f"{installed.account} is absent: helm upgrade makes it")
    elif mounted:
        text = f"pods of {', '.join(mounted)} get a token that they do not need: helm upgrade restores the templates"
        yield Finding("stages' account", "fail", text)
    else:
        yield Finding("stages' account", "ok", f"{installed.account}, without a token in the stages' containers")


def bucket_secret(cluster: Cluster, installed: Installed) -> Iterator[Finding]:
    if not installed.secret:
        yield Finding(
            "bucket's Secret", "note", f"none is named: {installed.account} needs a role of its own for the bucket"
        )
        return
    secret = cluster.find(Target("secrets", cluster.namespace, installed.secret))
    absent = [key for key in BUCKET_KEYS if not ((secret or {}).get("data") or {}).get(key)]
    make = f"kubectl -n {cluster.namespace} create secret generic {installed.secret} --from-literal=NAME=VALUE for each"
    if secret is None:
        yield Finding("bucket's Secret", "fail", f"{installed.secret} is absent: {make} of {' and '.join(BUCKET_KEYS)}")
    elif absent:
        yield Finding("bucket's Secret", "fail", f"{installed.secret} lacks {' and '.join(absent)}: {make}")
    else:
        yield Finding("bucket's Secret", "ok", f"{installed.secret} has both keys")


def artifacts(cluster: Cluster, installed: Installed) -> Iterator[Finding]:
    """Stages work without a repository; Argo's UI then shows no reports."""
    named = installed.spec.get("artifactRepositoryRef") or {}
    name = named.get("configMap", "artifact-repositories")
    found = cluster.find(Target("configmaps", cluster.namespace, name))
    if found is None and named:
        yield Finding("artifact repository", "fail", f"ConfigMap {name} is absent: helm upgrade makes it")
    elif named and named.get("key") not in (found or {}).get("data", {}):
        yield Finding(
            "artifact repository", "fail", f"ConfigMap {name} has no key {named.get('key')}: helm upgrade restores it"
        )
    elif found is None:
        text = "none in this namespace: stages need none, but Argo's UI shows no reports unless the controller has one"
        yield Finding("artifact repository", "note", text)
    else:
        yield Finding("artifact repository", "ok", f"ConfigMap {name}")


def _may(cluster: Cluster, right: Right, subject: str = "") -> bool:
    verb, group, resource, part = right
    attributes = {
        "namespace": cluster.namespace,
        "verb": verb,
        "group": group,
        "resource": resource,
        "subresource": part,
    }
    kind = "SubjectAccessReview" if subject else "SelfSubjectAccessReview"
    spec: dict[str, Any] = {"resourceAttributes": attributes} | ({"user": subject} if subject else {})
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
    answer = cluster.create(Target(f"{kind.lower()}s"), body)
    return bool((answer.get("status") or {}).get("allowed"))


def _words(rights: list[Right]) -> str:
    return ", ".join(f"{verb} {resource}{f'/{part}' if part else ''}" for verb, _, resource, part in rights)
