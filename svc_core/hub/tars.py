"""Sidecars in tar files: written without times and owners, and read as if a stranger had written them."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from svc_core.errors import Damaged
from svc_core.hub.contents import Member
from svc_core.hub.packing import Put


class Content(NamedTuple):
    key: str
    data: bytes


def write_tar(path: Path, contents: Iterable[Content]) -> None:
    """Names are those of the files alone; the manifest says which key each has. Equal contents give equal bytes."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for content in contents:
            entry = tarfile.TarInfo(name_of(content.key))
            entry.size, entry.mode = len(content.data), 0o644
            tar.addfile(entry, io.BytesIO(content.data))


def read_tar(path: Path, wanted: Mapping[str, Member], put: Put) -> None:
    """Hands over the wanted members.

    Raises Damaged at the first entry that is no plain file of the folder itself, has another size than the manifest
    says, or comes twice: a name with a folder or `..`, a link, a device, a sparse file.
    """
    by_name = {name_of(key): member for key, member in wanted.items()}
    seen = set[str]()
    try:
        # As a stream: nothing is read ahead, and no entry is found by its name.
        with tarfile.open(path, "r|") as tar:
            for entry in tar:
                _check(entry, path)
                if entry.name in seen:
                    raise Damaged(f"{path.name} holds {entry.name!r} twice: it is refused")
                seen.add(entry.name)
                member = by_name.get(entry.name)
                if member is None:
                    continue
                if entry.size != member.size:
                    raise Damaged(
                        f"{entry.name!r} in {path.name} has another size than its manifest says: it is refused"
                    )
                handle = tar.extractfile(entry)
                put(member, handle.read(member.size) if handle else b"")
    except (tarfile.TarError, ValueError, LookupError, EOFError, OverflowError) as error:
        raise Damaged(f"{path.name} is no tar file ({error}): push it again") from None


def name_of(key: str) -> str:
    return key.rpartition("/")[2]


def _check(entry: tarfile.TarInfo, path: Path) -> None:
    plain = entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not entry.issparse()
    if not plain or "/" in entry.name or "\\" in entry.name or entry.name in ("", ".", ".."):
        raise Damaged(f"{path.name} holds {entry.name!r}, which is no plain file of its own folder: it is refused")
