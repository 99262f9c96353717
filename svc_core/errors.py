"""What can go wrong, as a drawn tree. Each class is a decision: its exit code tells Argo whether to retry.

    SvcError            70  our bug
    |- BadInput         66  the data cannot be used: missing, empty, corrupt, too little
    |  `- Damaged       66  a file or object holds other bytes than were recorded
    |- Diverged         70  training produced a non-finite loss
    |- Transient        75  the same command may succeed later: network, store, full disk
    |  |- Preempted     75  told to stop (SIGTERM); what was finished is saved
    |  `- Conflict      75  somebody else wrote first, or holds the work
    `- ConfigError      78  a setting, permission or missing model that no retry cures

A message is one sentence: what, where, what to do.
"""

import errno
from pathlib import Path


class SvcError(Exception):
    exit_code = 70


class BadInput(SvcError):
    exit_code = 66


class Damaged(BadInput):
    pass


class Diverged(SvcError):
    exit_code = 70


class Transient(SvcError):
    exit_code = 75


class Preempted(Transient):
    pass


class Conflict(Transient):
    pass


class ConfigError(SvcError):
    exit_code = 78


def changed_meanwhile(place: Path | str) -> BadInput:
    return BadInput(f"{place} changed while it was sent: let its writer finish, then run the same command again")


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def from_os_error(error: OSError, where: Path | str | None = None) -> SvcError:
    """Turns what the operating system says of a path of ours into a decision.

    Errors of an *input* file (a raw recording that cannot be read) are not for this function: they are poison files.
    """
    place = where or error.filename or "a file of the workspace"
    if error.errno in _FULL:
        return Transient(f"no space left while writing {place}: free some disk space and run the same command again")
    if error.errno in _FORBIDDEN:
        return ConfigError(f"{place} may not be written ({error.strerror}): make the workspace writable for this user")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return BadInput(f"{place} does not exist: check the path, or run the stage that writes it")
    return Transient(f"{place}: {error.strerror or error}: run the same command again")
