"""Whole or absent, for every way a write can end."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from svc_core import files
from svc_core.errors import BadInput, ConfigError, Transient, from_os_error


def test_a_write_that_fails_leaves_the_old_file_and_no_temporary_one(tmp_path):
    target = tmp_path / "a.json"
    files.write_text(target, "old")

    def fail():
        with files.replacing(target) as temp:
            temp.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_killed_writer_leaves_nothing_under_the_final_name(tmp_path):
    code = (
        "import sys, time, pathlib; from svc_core import files\n"
        "with files.replacing(pathlib.Path(sys.argv[1])) as temp:\n"
        "    temp.write_text('half'); print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a.json")], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(files.TEMP_PREFIX)
    assert files.sweep(tmp_path) == 0, "a young temporary file may belong to a running writer"
    old = time.time() - 7200
    os.utime(left, (old, old))
    assert files.sweep(tmp_path) == 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, Transient),
        (errno.EDQUOT, Transient),
        (errno.EACCES, ConfigError),
        (errno.EROFS, ConfigError),
        (errno.ENOENT, BadInput),
        (errno.EIO, Transient),
    ],
)
def test_what_the_system_says_becomes_a_decision(code, kind):
    assert type(from_os_error(OSError(code, os.strerror(code), "x"))) is kind
