"""A store by its name."""

from collections.abc import Callable
from pathlib import Path

from svc_core.errors import ConfigError
from svc_core.storage.folder import FolderStore
from svc_core.storage.store import Store


def open_store(place: str, notice: Callable[[str], None] = lambda text: None) -> Store:
    """The bucket of an `s3://bucket/prefix`, or the folder of a path. Sends no request.

    `notice` is told where a bucket cannot be reached and requests are repeated.
    Raises ConfigError for other URLs, and for a bucket whose settings do not suffice.
    """
    if not place.startswith("s3://"):
        if "://" in place:
            raise ConfigError(
                f"{place.partition('://')[0]}:// is no kind of store: give s3://bucket/prefix or a folder"
            )
        return FolderStore(Path(place).expanduser())
    # Late: both S3 libraries together take half a second to import.
    from svc_core.storage.s3 import S3Store

    return S3Store.open_url(place, notice=notice)
