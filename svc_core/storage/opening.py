"""A store by its name."""

from collections.abc import Callable
from pathlib import Path

from svc_core.errors import ConfigError
from svc_core.storage.folder import FolderStore
from svc_core.storage.store import Store


def open_store(place: str, notice: Callable[[str], None] = lambda text: None) -> Store:
    """The bucket of an `s3://bucket/prefix`, or the folder of a path. Sends no request.

    `notice` is told where a bucket cannot be reached and requests are repeated.
    Raises ConfigError for an empty name, for other URLs, and for a bucket whose settings do not suffice.
    """
    check_place(place)
    if not place.startswith("s3://"):
        if "://" in place:
            raise ConfigError(
                f"{place.partition('://')[0]}:// is no kind of store: give s3://bucket/prefix or a folder"
            )
        return FolderStore(Path(place).expanduser())
    # Late: both S3 libraries together take half a second to import.
    from svc_core.storage.s3 import S3Store

    return S3Store.open_url(place, notice=notice)


def check_place(place: str) -> None:
    """Raises ConfigError for a name that would be taken for a folder, though no folder was meant."""
    if not place.strip():
        raise ConfigError("the workspace's name is empty: give s3://bucket/prefix or a folder, . for this one")
    if place.lower().startswith("s3:") and "://" not in place:
        raise ConfigError(f"{place} is no bucket: write s3://bucket/prefix, or ./{place} for a folder of that name")
