"""Builds the images with docker or podman, and puts them onto the nodes of the cluster that KUBECONFIG names.

    python -m k8s.images           onto every node that takes pods
    python -m k8s.images --last    the large ones, with torch, onto the last node only

kind and minikube are known. Any other cluster without a registry: SVC_IMAGE_LOADER, a command that takes an image
archive on standard input and a node's name as its last argument.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from k8s.cluster import Cluster
from k8s.render import ROOT

LIGHT = ("slice",)
HEAVY = ("features", "train", "evaluate", "convert", "publish")
REPOSITORY = "docker.io/svc-jobs"


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        nodes = Cluster.unpacked(Path(folder)).worker_nodes()
        build()
        for node in nodes:
            load(LIGHT, node)
        for node in nodes[-1:] if "--last" in arguments else nodes:
            load(HEAVY, node)
    return 0


def builder() -> str:
    """docker, else podman. Raises FileNotFoundError."""
    found = shutil.which("docker") or shutil.which("podman")
    if found is None:
        raise FileNotFoundError("neither docker nor podman is on PATH: install one of them")
    return found


def names(stages: Sequence[str]) -> list[str]:
    return [f"{REPOSITORY}/{stage}:{version()}" for stage in stages]


def version() -> str:
    """The chart's appVersion, which is the tag that it asks for."""
    lines = (ROOT / "charts" / "svc-jobs" / "Chart.yaml").read_text(encoding="utf-8").splitlines()
    return next(line.partition(": ")[2] for line in lines if line.startswith("appVersion"))


def build() -> None:
    """One target after another; those with torch share every layer, so that only the first costs time."""
    for stage in (*LIGHT, *HEAVY):
        command = [builder(), "build", "--target", stage, "--tag", names([stage])[0], str(ROOT)]
        subprocess.run(command, check=True)


def load(stages: Sequence[str], node: str) -> None:
    """Puts images onto one node."""
    if os.environ.get("SVC_IMAGE_LOADER"):
        _pipe(stages, [*shlex.split(os.environ["SVC_IMAGE_LOADER"]), node])
    elif node.startswith("minikube"):
        for name in names(stages):
            subprocess.run(["minikube", "image", "load", name], check=True)
    else:
        cluster = node.rpartition("-worker")[0] or node.removesuffix("-control-plane")
        command = ["kind", "load", "docker-image", *names(stages), "--name", cluster, "--nodes", node]
        subprocess.run(command, check=True)


def _pipe(stages: Sequence[str], command: list[str]) -> None:
    together = ["-m"] if builder().endswith("podman") else []
    with subprocess.Popen([builder(), "save", *together, *names(stages)], stdout=subprocess.PIPE) as saving:
        subprocess.run(command, stdin=saving.stdout, check=True)
    if saving.returncode:
        raise subprocess.CalledProcessError(saving.returncode, "save")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
