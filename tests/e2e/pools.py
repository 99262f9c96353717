"""Two pools of nodes: one for CPU stages, and a tainted one whose node offers GPUs."""

import json
import os
import shlex
import subprocess
from dataclasses import dataclass

from workflows import wait_for

from k8s.cluster import Cluster

LABEL, TAINT, RESOURCE = "svc-jobs-e2e/pool", "nvidia.com/gpu", "nvidia.com/gpu"
GPUS = "2"


@dataclass(frozen=True)
class Pools:
    cluster: Cluster
    cpu: tuple[str, ...]
    gpu: str

    @classmethod
    def find(cls, cluster: Cluster) -> "Pools":
        """The nodes that take pods; the last of them becomes the GPU pool. Fails with fewer than two."""
        names = cluster.worker_nodes()
        assert len(names) >= 2, f"the tests need two nodes that take pods, the cluster has {names}"
        return cls(cluster, tuple(names[:-1]), names[-1])

    def dress(self) -> None:
        """Labels, taint and GPUs. A node without GPUs is told to advertise some: they schedule, no device is behind."""
        for name in self.cpu:
            self.cluster.run("label", "node", name, f"{LABEL}=cpu", "--overwrite")
        self.cluster.run("label", "node", self.gpu, f"{LABEL}=gpu", "--overwrite")
        self.cluster.run("taint", "node", self.gpu, f"{TAINT}=present:NoSchedule", "--overwrite")
        if RESOURCE not in self._node()["status"]["capacity"]:
            patch = [{"op": "add", "path": f"/status/capacity/{RESOURCE.replace('/', '~1')}", "value": GPUS}]
            self.cluster.run("patch", "node", self.gpu, "--subresource=status", "--type=json", "-p", json.dumps(patch))
        wait_for("GPUs are allocatable", lambda: int(self._node()["status"]["allocatable"].get(RESOURCE, 0)))

    def undress(self) -> None:
        for name in (*self.cpu, self.gpu):
            self.cluster.run("label", "node", name, f"{LABEL}-")
        self.cluster.run("taint", "node", self.gpu, f"{TAINT}-")

    def lose(self) -> None:
        """The GPU node dies as if its power went, and its object goes, as a cloud's controller sees to."""
        _shell("SVC_E2E_LOSE_NODE", "docker kill", self.gpu)
        wait_for("the lost node is NotReady", lambda: not self._ready(), 180)
        self.cluster.run("delete", "node", self.gpu, "--wait=false")

    def bring_back(self) -> None:
        _shell("SVC_E2E_RETURN_NODE", "docker start", self.gpu)
        wait_for("the node is back", lambda: self._exists() and self._ready(), 180)
        self.dress()

    def _node(self) -> dict:
        return self.cluster.get("node", self.gpu)

    def _exists(self) -> bool:
        return any(node["metadata"]["name"] == self.gpu for node in self.cluster.items("nodes"))

    def _ready(self) -> bool:
        states = {one["type"]: one["status"] for one in self._node()["status"]["conditions"]}
        return states.get("Ready") == "True"


def _shell(variable: str, default: str, node: str) -> None:
    """A command of the machine that the nodes run on, with the node's name at its end; kind's nodes are containers."""
    command = [*shlex.split(os.environ.get(variable, default)), node]
    subprocess.run(command, check=True, timeout=180)
