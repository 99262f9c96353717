"""Door: a G or D file of 4.1 from anywhere -> a file of plain weights, read in a process of its own."""

import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from svc_core import files
from svc_core.errors import BadInput, ConfigError, from_os_error
from svc_core.manifest import Record

_AT_MOST_S = 300
_LEARNING_RATE = 1e-4
SUFFIXES = (".pth", ".safetensors")
# Isolated, and with the modules of this process, wherever they are installed.
_START = (
    "import os, runpy, sys; sys.path[:] = sys.argv.pop().split(os.pathsep); "
    "runpy.run_module('svc_core.compat41.reader', run_name='__main__')"
)
_ENV = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class Plain(Record):
    """What was taken: names of tensors, and where they are now. `left_out` of the file's other keys."""

    output: str
    sha256: str
    taken: list[str]
    left_out: list[str]


def import_weights(source: Path, output: Path) -> Plain:
    """Writes the weights of `source` to `output`, a .safetensors, or a .pth with 4.1's four keys and no optimizer.

    No code of the file is run: it is read by `compat41.reader`, which admits tensors, arrays and numbers alone.

    Raises:
        BadInput: the file is damaged, is no file of weights, or asks for anything else; the message names it.
        ConfigError: `output` has another suffix, or may not be written.
    """
    if output.suffix not in SUFFIXES:
        raise ConfigError(f"-o {output} must end in {' or '.join(SUFFIXES)}: name the file for the plain weights")
    if not source.is_file():
        raise BadInput(f"{source} does not exist or is no file: give a G_*.pth or D_*.pth")
    with tempfile.TemporaryDirectory(prefix="svc-import41-") as scratch:
        made = Path(scratch) / "weights.safetensors"
        said = _read_apart(source.resolve(), made)
        try:
            # Apart from each other: torch.save refuses an empty tensor at the address of its neighbour.
            tensors = {name: value.clone() for name, value in safetensors.torch.load_file(made).items()}
        except (safetensors.SafetensorError, OSError) as error:
            raise BadInput(f"{source} could not be taken over ({error}): get the file again") from None
    data = _as_bytes(tensors, said["facts"], output.suffix)
    try:
        files.write_bytes(output, data, durable=True)
    except OSError as error:
        raise from_os_error(error, output) from error
    beside = sorted([*said["facts"], *said["left_out"]])
    return Plain(output=str(output), sha256=files.sha256_bytes(data), taken=said["taken"], left_out=beside)


def _read_apart(source: Path, target: Path) -> dict[str, Any]:
    modules = os.pathsep.join(str(Path(place).resolve()) for place in sys.path if place)
    command = [sys.executable, "-I", "-c", _START, str(source), str(target), modules]
    try:
        # No other variable of this process goes along: no token, no address.
        ran = subprocess.run(command, capture_output=True, timeout=_AT_MOST_S, cwd=target.parent, env=_ENV, check=False)
    except subprocess.TimeoutExpired:
        raise BadInput(f"{source} was not read within {_AT_MOST_S} s: it is no file of weights") from None
    try:
        said = json.loads(ran.stdout)
    except ValueError:
        lines = ran.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = lines[-1] if lines else f"the reading process ended with {ran.returncode}"
        raise BadInput(f"{source} could not be read within its limits ({reason}): get the file again") from None
    if unsafe := said.get("unsafe"):
        raise BadInput(f"{source} is refused, it wants to run {unsafe}: a file of weights never does, do not open it")
    if malformed := said.get("malformed"):
        raise BadInput(f"{source} is refused, {malformed}: give a G_*.pth or D_*.pth as torch 1.6 or newer writes it")
    return said


def _as_bytes(tensors: dict[str, torch.Tensor], facts: dict[str, Any], suffix: str) -> bytes:
    if suffix == ".safetensors":
        return safetensors.torch.save(tensors, metadata={"format": "pt"})
    rate = facts.get("learning_rate")
    # Iteration 0 without an optimizer is the form that 4.1 takes as a base (FORMATS 8).
    content = {
        "model": tensors,
        "iteration": 0,
        "optimizer": None,
        "learning_rate": float(rate) if isinstance(rate, int | float) else _LEARNING_RATE,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()
