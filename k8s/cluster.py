"""A cluster, by kubectl and helm: what KUBECONFIG names."""

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from k8s.render import find_program


class Refused(RuntimeError):
    """kubectl or helm ended with an error; the text is what it said."""


@dataclass(frozen=True)
class Cluster:
    kubectl: Path
    helm: Path
    namespace: str = "default"

    @classmethod
    def unpacked(cls, folder: Path, namespace: str = "default") -> Self:
        """With programs of its own in `folder`."""
        return cls(find_program("kubectl", folder), find_program("helm", folder), namespace)

    def beside(self, namespace: str) -> Self:
        return replace(self, namespace=namespace)

    def run(self, *arguments: object, stdin: str | None = None, limit_s: float = 60) -> str:
        """kubectl in the namespace; stdout. Raises Refused."""
        command = [str(self.kubectl), "-n", self.namespace, *map(str, arguments)]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=limit_s)
        if done.returncode:
            raise Refused(done.stderr.strip())
        return done.stdout

    def get(self, *what: object) -> dict[str, Any]:
        return json.loads(self.run("get", *what, "-o", "json"))

    def items(self, *what: object) -> list[dict[str, Any]]:
        return self.get(*what)["items"]

    def apply(self, text: str) -> None:
        self.run("apply", "-f", "-", stdin=text)

    def helm_run(self, *arguments: object, limit_s: float = 180) -> str:
        command = [str(self.helm), "-n", self.namespace, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit_s)
        if done.returncode:
            raise Refused(done.stderr.strip())
        return done.stdout

    def execute(self, pod: str, *command: object, container: str = "main") -> str:
        return self.run("exec", pod, "-c", container, "--", *command)

    @contextmanager
    def forwarded(self, target: str, port: int) -> Iterator[int]:
        """A port of this machine that leads to one in the cluster, while open."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            here: int = free.getsockname()[1]
        command = [str(self.kubectl), "-n", self.namespace, "port-forward", target, f"{here}:{port}"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                yield here
            finally:
                process.terminate()

    def worker_nodes(self) -> list[str]:
        """Names of the nodes that take pods, sorted."""
        return sorted(
            node["metadata"]["name"]
            for node in self.items("nodes")
            if not any("control-plane" in taint["key"] for taint in node["spec"].get("taints", []))
        )
