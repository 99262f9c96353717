import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from k8s.render import CHART, find_program


class Helm(NamedTuple):
    program: Path

    def run(self, *arguments: object) -> subprocess.CompletedProcess:
        command = [str(self.program), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    def render(self, *arguments: object) -> list[dict]:
        done = self.run("template", "t", CHART, "--namespace", "svc", *arguments)
        assert done.returncode == 0, done.stderr
        return [item for item in yaml.safe_load_all(done.stdout) if item]


@pytest.fixture(scope="session")
def helm(tmp_path_factory) -> Helm:
    """From PATH or out of the package that carries it; an error, never a skip, where there is none."""
    return Helm(find_program("helm", tmp_path_factory.mktemp("helm")))
