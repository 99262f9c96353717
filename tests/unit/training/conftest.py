import os
from pathlib import Path

import pytest
import torch
from training_workspace import make_workspace

# Some virtual machines advertise AMX and then trap its instructions: bf16 products would kill the test process. Read by
# oneDNN at its first use, so this has to stand here; fp32 never uses AMX.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16")


@pytest.fixture(autouse=True)
def one_thread():
    """Bit-exact comparisons need one number of threads everywhere; one is the fastest for networks this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Six training clips and one validation clip of one speaker, with sidecars."""
    root = tmp_path / "workspace"
    make_workspace(root)
    return root
