"""Whether bfloat16 runs on this machine at all."""

import subprocess
import sys

from svc_core.errors import ConfigError

_PROBE = "import torch; a = torch.ones(64, 64, dtype=torch.bfloat16); a @ a; torch.conv1d(a[None], a[:, :, None])"


def check(device: str) -> None:
    """Raises ConfigError where a CPU announces bfloat16 instructions that stop the process.

    Seen on virtual machines that pass AMX on by name only. It is tried in a process of its own, which takes some
    seconds.
    """
    if device != "cpu":
        return
    tried = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, check=False)
    if tried.returncode < 0:
        raise ConfigError(
            f"encoder_precision bf16 stops the process on this CPU (signal {-tried.returncode}): set "
            "ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 in the environment, or use encoder_backend onnx with fp32"
        )
    if tried.returncode:
        raise ConfigError(f"encoder_precision bf16 does not run here ({tried.stderr.strip()[-200:]}): use fp32")
