"""Files that a user names, wherever they lie: a path as it is, `s3://…` brought in."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from svc_core.errors import BadInput


def local_files(named: Sequence[str], scratch: str | None) -> list[Path]:
    """The files on this machine, each with its own name. Raises BadInput where an object does not exist."""
    return [_fetched(name, scratch) if name.startswith("s3://") else Path(name) for name in named]


def _fetched(url: str, scratch: str | None) -> Path:
    # Late: a path needs none of it.
    from jobs.scratch import scratch_folder
    from svc_core.storage.opening import open_store
    from svc_core.storage.transfer import Item, fetch

    place, _, name = url.rpartition("/")
    if place in ("s3:/", "s3:") or not name:
        raise BadInput(f"{url} names no object: give s3://bucket/path/of/the/file")
    path = scratch_folder(Path(scratch or tempfile.gettempdir())) / name
    for _ in fetch(open_store(place), [Item(name, path)]):
        pass
    return path
