"""A folder that is replaced as a whole: readers see the old one, the new one, or for a moment none, never half."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from svc_core import files

_FRESH, _OLD = f"{files.TEMP_PREFIX}new-", f"{files.TEMP_PREFIX}old-"


@contextmanager
def swapped_in(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of `folder` on a clean exit. A kill leaves the one, the other or none."""
    fresh, old = folder.with_name(_FRESH + folder.name), folder.with_name(_OLD + folder.name)
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def recover(folder: Path) -> None:
    """Puts an earlier folder back that a kill in the middle of the swap took away."""
    old = folder.with_name(_OLD + folder.name)
    if old.is_dir():
        if folder.exists():
            shutil.rmtree(old)
        else:
            old.rename(folder)
