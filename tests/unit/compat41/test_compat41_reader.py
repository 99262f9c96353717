"""The process that reads a stranger's file can do nothing else, even if code of that file were to run in it."""

import json
import subprocess
import sys

import pytest

ACTS = """
import sys
from pathlib import Path
import ctypes, os, shutil, socket, subprocess
from svc_core.compat41 import pickles, reader
canary, target = sys.argv[1], Path(sys.argv[2])
acts = {
    "system": lambda: os.system(f"touch {canary}"),
    "popen": lambda: subprocess.run(["touch", canary]),
    "open": lambda: open(canary, "w"),
    "remove": lambda: os.remove(__file__),
    "listdir": lambda: os.listdir("/"),
    "connect": lambda: socket.create_connection(("127.0.0.1", 9)),
    "eval": lambda: eval("1 + 1"),
    "import": lambda: __import__("wave"),
    "library": lambda: ctypes.CDLL(None),
    "tree": lambda: shutil.rmtree("/nonexistent"),
    "memory": lambda: bytearray(16 << 30),
}
reader.limit(0)
reader.close_the_door(target)
target.open("wb").close()
for name, act in acts.items():
    try:
        act()
        print(name, "done")
    except (pickles.Unsafe, MemoryError):
        print(name, "refused")
"""


@pytest.fixture
def acted(tmp_path):
    script = tmp_path / "acts.py"
    script.write_text(ACTS)
    command = [sys.executable, script, tmp_path / "canary", tmp_path / "target"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return dict(line.split() for line in ran.stdout.splitlines())


def test_no_act_but_writing_the_target_is_possible(acted, tmp_path):
    assert set(acted.values()) == {"refused"}, acted
    assert len(acted) == 11
    assert (tmp_path / "target").exists()
    assert not (tmp_path / "canary").exists()
    assert (tmp_path / "acts.py").exists()


def test_the_answer_is_one_json_object(tmp_path):
    (tmp_path / "G.pth").write_bytes(b"")
    command = [sys.executable, "-I", "-m", "svc_core.compat41.reader", tmp_path / "G.pth", tmp_path / "target"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(json.loads(ran.stdout)) == {"malformed"}
    assert not (tmp_path / "target").exists()
