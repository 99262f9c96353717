"""What the API server says when it refuses, as a decision of ours."""

import json
import re

from jobs.cluster.target import Target
from svc_core.errors import ConfigError, Conflict, SvcError, Transient

_RBAC = re.compile(r'User "[^"]*" cannot ')
_BUSY = (408, 425, 429)


class Forbidden(ConfigError):
    """This user may not do it; whether it would work is not known."""


def refusal(method: str, target: Target, status: int, body: bytes) -> SvcError:
    """The error for an answer with this status: what was asked, why not, what to do."""
    reason = _message(body)
    if status == 401:
        return ConfigError("the cluster does not know you (401): log in again, or check the user in the kubeconfig")
    if status == 403:
        return _forbidden(method, target, reason)
    if status == 404:
        return _absent(target, reason)
    if status == 409:
        return Conflict(f"{target} was changed meanwhile ({reason}): run the same command again")
    if status in _BUSY or status >= 500:
        return Transient(f"the API server answers {status} to {target} ({reason}): run the same command again")
    return ConfigError(f"the cluster refuses {target}: {reason}")


def _forbidden(method: str, target: Target, reason: str) -> SvcError:
    if reason and not _RBAC.search(reason):
        return ConfigError(f"the cluster refuses {target}: {reason}")  # quota or admission, not a missing right
    verb, place = target.verb(method), f"in namespace {target.namespace}" if target.namespace else "in the cluster"
    group = f" of {target.group}" if target.group else ""
    return Forbidden(f"you may not {verb} {target.kind} {place}: ask for a role with {verb} on {target.kind}{group}")


def _absent(target: Target, reason: str) -> SvcError:
    if target.group == "argoproj.io" and (not target.name or "could not find the requested resource" in reason):
        return ConfigError("this cluster has no Argo Workflows: install Argo 4.0.6 or later with its CRDs")
    return ConfigError(f"{target} does not exist: check the name and -n")


def _message(body: bytes) -> str:
    """The sentence of a Status object, or the beginning of whatever else came."""
    try:
        value = json.loads(body)
    except ValueError:
        return " ".join(body.decode("utf-8", "replace").split())[:200]
    return str(value.get("message") or value.get("reason") or "") if isinstance(value, dict) else ""
