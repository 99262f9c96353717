"""The door to a cluster: requests with time limits, answers as JSON, errors as decisions.

Addresses and credentials come from the kubeconfig as kubectl reads it, or from the pod that this runs in.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jobs.cluster.answers import refusal
from jobs.cluster.target import Target
from svc_core.errors import ConfigError, SvcError, Transient

DEFAULT_NAMESPACE = "svc"
CONNECT_S = 5.0
READ_S = 20.0
_PAGE = "250"
_IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclass(frozen=True)
class Cluster:
    """One API server as one user, and the namespace that is meant where none is said.

    Every method raises ConfigError for what the user may not do or what does not exist, Conflict where somebody else
    changed the object, and Transient where the server cannot be reached or is busy.
    """

    namespace: str
    server: str
    api: Any = field(repr=False)
    read_s: float = READ_S

    def get(self, target: Target) -> dict[str, Any]:
        return self._json("GET", target)

    def find(self, target: Target) -> dict[str, Any] | None:
        """As `get`; None where the object is not there."""
        with self._request("GET", target, {"Accept": "application/json"}, None) as response:
            return None if response.status == 404 else self._parsed("GET", target, response)

    def items(self, target: Target) -> list[dict[str, Any]]:
        """Every object of a list, asked for in pages."""
        return list(self._pages(target, {}))

    def metadata(self, target: Target) -> list[dict[str, Any]]:
        """The metadata of every object of a list, however large the objects are."""
        accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        return [item["metadata"] for item in self._pages(target, {"Accept": accept})]

    def _pages(self, target: Target, headers: dict[str, str]) -> Iterator[dict[str, Any]]:
        query = {**target.query, "limit": _PAGE}
        while True:
            page = self._json("GET", replace(target, query=query), headers)
            yield from page.get("items") or []
            following = (page.get("metadata") or {}).get("continue")
            if not following:
                return
            query = {**query, "continue": following}

    def create(self, target: Target, body: dict[str, Any]) -> dict[str, Any]:
        return self._json("POST", target, {"Content-Type": "application/json"}, body)

    def patch(self, target: Target, change: dict[str, Any]) -> dict[str, Any]:
        """Merges `change` into the object."""
        return self._json("PATCH", target, {"Content-Type": "application/merge-patch+json"}, change)

    def delete(self, target: Target) -> None:
        """Removes the object; one that is not there is no error."""
        with self._request("DELETE", target, {"Accept": "application/json"}, None) as response:
            if response.status != 404:
                self._parsed("DELETE", target, response)

    def text(self, target: Target) -> str:
        """A part of an object that is text, such as a pod's log."""
        with self._request("GET", target, {}, None) as response:
            data: bytes = response.read()
        if response.status >= 300:
            raise refusal("GET", target, response.status, data)
        return data.decode("utf-8", "replace")

    def _json(
        self, method: str, target: Target, headers: dict[str, str] | None = None, body: Any = None
    ) -> dict[str, Any]:
        with self._request(method, target, {"Accept": "application/json", **(headers or {})}, body) as response:
            return self._parsed(method, target, response)

    def _parsed(self, method: str, target: Target, response: Any) -> dict[str, Any]:
        data = response.read()
        if response.status >= 300:
            raise refusal(method, target, response.status, data)
        try:
            answer: dict[str, Any] = json.loads(data)
        except ValueError:
            raise ConfigError(f"{self.server} does not answer as a Kubernetes API server: check KUBECONFIG") from None
        return answer

    @contextmanager
    def _request(self, method: str, target: Target, headers: dict[str, str], body: Any) -> Iterator[Any]:
        """The answer, not read yet, as urllib3 gives it."""
        import urllib3

        response = None
        try:
            asked = self.api.param_serialize(
                method, target.path, None, list(target.query.items()), headers, body, auth_settings=["BearerToken"]
            )
            response = self.api.call_api(*asked, _request_timeout=(CONNECT_S, self.read_s)).response
            yield response
        except SvcError:
            raise
        except Exception as error:
            if isinstance(error, urllib3.exceptions.HTTPError | OSError) or type(error).__name__ == "ApiException":
                raise self._unreachable(error) from error
            raise
        finally:
            if response is not None:
                response.close()

    def _unreachable(self, error: Exception) -> SvcError:
        reason = str(getattr(error, "reason", None) or error)
        if "SSL" in reason or "certificate" in reason.lower():
            return ConfigError(
                f"{self.server} shows a certificate that is not trusted ({_short(reason)}): check "
                f"certificate-authority in the kubeconfig"
            )
        return Transient(
            f"the API server {self.server} cannot be reached ({_short(reason)}): check that the cluster runs and that "
            f"the kubeconfig names it, then run the same command again"
        )


def connect(namespace: str | None = None, context: str | None = None) -> Cluster:
    """The cluster of the kubeconfig's context, the current one where none is named. Sends no request.

    Raises ConfigError where there is no kubeconfig, no such context, or no client library.
    """
    try:
        from kubernetes import client
    except ImportError:
        raise ConfigError("this command needs the Kubernetes client: pip install 'svc-jobs[cluster]'") from None

    settings = client.Configuration()
    found = _configure(settings, context)
    settings.retries = False  # urllib3's own would multiply the time limits and warn about each
    return Cluster(namespace or found or DEFAULT_NAMESPACE, settings.host, client.ApiClient(settings))


def _configure(settings: Any, context: str | None) -> str | None:
    """Fills in address and credentials; returns the namespace that goes with them."""
    from kubernetes import config

    # The library reads KUBECONFIG once, at import.
    place = os.environ.get("KUBECONFIG") or "~/.kube/config"
    exists = any(Path(part).expanduser().is_file() for part in place.split(os.pathsep) if part)
    if not exists and not context and _IN_POD.exists():
        config.load_incluster_config(client_configuration=settings)
        return _IN_POD.with_name("namespace").read_text().strip()
    if not exists:
        raise ConfigError(f"there is no kubeconfig at {place}: set KUBECONFIG, or log in to the cluster")
    try:
        all_contexts, current = config.list_kube_config_contexts(place)
        contexts = {item["name"]: item for item in all_contexts}
        config.load_kube_config(place, context, client_configuration=settings)
    except Exception as error:  # the library lets yaml's and its own errors through
        raise ConfigError(f"the kubeconfig {place} cannot be used ({_short(str(error))}): correct it") from error
    chosen = contexts.get(context) if context else current
    namespace: str | None = ((chosen or {}).get("context") or {}).get("namespace")
    return namespace


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:197]}..."
