"""Where tensors live: the one place that turns a setting into a device."""

import subprocess
import sys

import torch

from svc_core.errors import ConfigError

_BF16_PROBE = "import torch; a = torch.ones(64, 64, dtype=torch.bfloat16); a @ a; torch.conv1d(a[None], a[:, :, None])"


def resolve_device(name: str) -> torch.device:
    """The device for `cuda`, `cpu` or `auto` (a GPU where torch sees one).

    Raises ConfigError for another name, and for `cuda` where torch sees no GPU: work that was meant for a GPU must
    not crawl on a CPU unnoticed.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device {name!r} is unknown: use cuda, auto or cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is cuda, but torch sees no GPU: run where there is one, or use device auto or cpu")
    wants_gpu = name == "cuda" or (name == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if wants_gpu else "cpu")


def check_bf16(device: str) -> None:
    """Raises ConfigError where a CPU announces bfloat16 instructions that stop the process.

    Seen on virtual machines that pass AMX on by name only. It is tried in a process of its own, which takes some
    seconds.
    """
    if device != "cpu":
        return
    tried = subprocess.run([sys.executable, "-c", _BF16_PROBE], capture_output=True, text=True, check=False)
    if tried.returncode < 0:
        raise ConfigError(
            f"bf16 stops the process on this CPU (signal {-tried.returncode}): set "
            "ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 in the environment, or use fp32"
        )
    if tried.returncode:
        raise ConfigError(f"bf16 does not run here ({tried.stderr.strip()[-200:]}): use fp32")
