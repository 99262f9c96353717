"""What a request to the API server is about: the path that names it, and the words that say it."""

from dataclasses import dataclass, field
from urllib.parse import quote

_GROUPS = {
    "workflows": "argoproj.io/v1alpha1",
    "workflowtemplates": "argoproj.io/v1alpha1",
    "deployments": "apps/v1",
    "roles": "rbac.authorization.k8s.io/v1",
    "rolebindings": "rbac.authorization.k8s.io/v1",
    "customresourcedefinitions": "apiextensions.k8s.io/v1",
    "selfsubjectaccessreviews": "authorization.k8s.io/v1",
    "subjectaccessreviews": "authorization.k8s.io/v1",
}
"""API group and version of a resource; a resource that is not here is of the core API."""
_VERBS = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True)
class Target:
    """A resource, an object of it, or a part of an object (`log` of a pod).

    `namespace` is empty for what has none, and for the objects of all namespaces.
    """

    resource: str
    namespace: str = ""
    name: str = ""
    part: str = ""
    query: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        group = _GROUPS.get(self.resource)
        if self.resource == "version":
            return "/version"
        parts = ["", "apis", group] if group else ["", "api", "v1"]
        if self.namespace:
            parts += ["namespaces", quote(self.namespace, safe="")]
        parts.append(self.resource)
        parts += [quote(item, safe="") for item in (self.name, self.part) if item]
        return "/".join(parts)

    @property
    def group(self) -> str:
        return _GROUPS.get(self.resource, "").partition("/")[0]

    def verb(self, method: str) -> str:
        """As Kubernetes' roles name it."""
        return _VERBS.get(method) or ("get" if self.name else "list")

    @property
    def kind(self) -> str:
        """As Kubernetes' roles name it: `pods/log`."""
        return f"{self.resource}/{self.part}" if self.part else self.resource

    def __str__(self) -> str:
        place = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.kind} {self.name}{place}" if self.name else f"{self.kind}{place}"
