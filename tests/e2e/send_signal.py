"""Run inside a pod, `python -c THIS NAME`: sends a signal to the stage's own process."""

import os
import signal
import sys
from pathlib import Path


def is_stage(line: list[bytes]) -> bool:
    return line[0].endswith(b"python") and line[1:3] == [b"-m", b"jobs"]


lines = {int(entry.name): (entry / "cmdline").read_bytes().split(bytes(1)) for entry in Path("/proc").glob("[0-9]*")}
os.kill(min(pid for pid, line in lines.items() if is_stage(line)), signal.Signals[sys.argv[1]])
