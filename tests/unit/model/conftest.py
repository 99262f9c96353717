"""Some virtual machines announce AMX and trap its instructions: bfloat16 products would stop the test process.

oneDNN reads the limit at its first use, so it is set before any test runs.
"""

import os

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16")
