"""A row whose package is missing or does not fit is a setting to change, with the line that installs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from svc_core.errors import ConfigError
from svc_core.registry import ENCODERS, F0_PREDICTORS

# The package is made to fail before anything of ours is imported, as a machine without it would.
SCRIPT = """
import sys
from svc_core import registry
from svc_core.errors import ConfigError
name, hidden = sys.argv[1], sys.argv[2]
sys.modules[hidden] = None
row = {**registry.ENCODERS, **registry.F0_PREDICTORS}[name]
arguments = (None, "torch", "fp32", "cpu") if name in registry.ENCODERS else (None, "cpu")
try:
    registry.load(row.target, row.extra)(*arguments)
except ConfigError as error:
    print(error)
"""


def attempt(name: str, hidden: str, **environment: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, name, hidden],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("swift-f0", "swift_f0"),
        ("dio", "pyworld"),
        ("harvest", "pyworld"),
        ("fcpe", "torchfcpe"),
        ("fcpe", "torchaudio"),
        ("crepe", "torchcrepe"),
        ("crepe", "torchaudio"),
        ("rmvpe", "onnxruntime"),
        ("contentvec-768l12", "transformers"),
        ("contentvec-256l9", "transformers"),
        ("whisper-base", "transformers"),
    ],
)
def test_a_missing_package_is_configuration(name, package):
    row = {**ENCODERS, **F0_PREDICTORS}[name]
    said = attempt(name, package)
    assert package in said
    assert f"pip install 'svc-jobs[{row.extra}]'" in said


@pytest.mark.parametrize("name", ["fcpe", "crepe"])
def test_a_torchaudio_that_does_not_fit_torch_is_configuration(tmp_path: Path, name):
    """As the CPU build of torch 2.13 and torchaudio 2.11 do: the import ends in an OSError."""
    (tmp_path / "torchaudio.py").write_text("raise OSError('undefined symbol: _torchaudio.abi3.so')")
    said = attempt(name, "no_such_package", PYTHONPATH=f"{tmp_path}{os.pathsep}{Path.cwd()}")
    assert "undefined symbol" in said
    assert "CUDA build of torch" in said
    assert ConfigError.exit_code == 78
