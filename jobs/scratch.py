"""The folder that a command on a bucket works in: its own, and gone when the command ends."""

import atexit
import fcntl
import shutil
import tempfile
from pathlib import Path

from svc_core.errors import ConfigError, from_os_error

_PREFIX, _LOCK = "svc-jobs-scratch-", ".lock"


def scratch_folder(parent: Path) -> Path:
    """A new folder below `parent`, removed at the end of the process; those that killed processes left go first."""
    if parent.exists() and not parent.is_dir():
        raise ConfigError(f"{parent} is a file: --scratch wants a folder")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for left in parent.glob(f"{_PREFIX}*"):
            _remove_if_left(left)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        # Open until the process ends, however it ends: that is when the lock falls.
        lock = (folder / _LOCK).open("wb")
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError as error:
        raise from_os_error(error, parent) from error
    atexit.register(_end, folder, lock)
    return folder / "workspace"


def _end(folder: Path, lock: object) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _remove_if_left(folder: Path) -> None:
    try:
        with (folder / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # in use, somebody else's, or just being made
        return
