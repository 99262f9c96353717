"""What a machine that only moves clips needs to have."""

import subprocess
import sys


def test_the_hub_s_helpers_and_commands_bring_no_torch_and_no_pyarrow():
    code = (
        "import sys, svc_core.hub, jobs.hub.commands, jobs.hub.workspace\n"
        "print([name for name in ('torch', 'pyarrow', 'datasets', 'transformers') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
