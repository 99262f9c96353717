"""A repository at one commit: what its manifest says, and its files, each checked against it."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from svc_core import files, layout
from svc_core.errors import BadInput, Damaged
from svc_core.hub import contents
from svc_core.hub.client import Blob, Hub
from svc_core.hub.contents import Contents, HubFile
from svc_core.hub.errors import Absent
from svc_core.hub.repos import Repo

TRIES = 2
"""What came wrong may have been harmed on its way: only a second look says that it lies wrong."""


@dataclass(frozen=True)
class Snapshot:
    hub: Hub
    repo: Repo
    commit: str
    contents: Contents
    tree: dict[str, Blob]
    """By path, what is really there."""

    @cached_property
    def whole(self) -> set[str]:
        """Paths of the manifest's files that are there with the size that it gives."""
        there = self.tree
        return {one.path for one in self.contents.files if one.path in there and there[one.path].size == one.size}

    @cached_property
    def records(self) -> dict[str, str]:
        """By entry's key, its record. Raises Damaged where one is not what the manifest says."""
        listed = self.contents.by_path.get(contents.RECORDS)
        if listed is None:
            return {}
        with _passing() as folder:
            data = self.fetch(listed, folder).read_bytes()
        return contents.parse_records(data, self.contents.entries, self.repo)

    def fetch(self, file: HubFile, folder: Path) -> Path:
        """The file below `folder`, with the content that the manifest gives. Raises Damaged for another."""
        for _ in range(TRIES):
            path = self.hub.download(self.repo, file.path, self.commit, folder)
            if path.stat().st_size == file.size and files.sha256_file(path) == file.sha256:
                return path
            path.unlink()
        raise Damaged(
            f"{file.path} of {self.repo.id} at {self.commit[:12]} is not what its manifest says: push it again, "
            "or pull an older --revision"
        )


def snapshot(hub: Hub, repo: Repo, revision: str | None = None) -> Snapshot | None:
    """The repository at the commit that the revision stands for now; None where it does not exist or holds nothing.

    Raises BadInput where it holds something else than ours.
    """
    commit = hub.head(repo, revision)
    if commit is None:
        return None
    tree = hub.tree(repo, commit)
    if contents.FILE not in tree:
        # A first push in several commits ends with its manifest: what lies in our folders before is nothing yet.
        if strange := sorted(path for path in tree if not _may_be_ours(path)):
            raise BadInput(
                f"{repo.id} at {commit[:12]} has no {contents.FILE} and holds {strange[0]}: it is no repository of "
                "svc-jobs, give another name or namespace"
            )
        return Snapshot(hub, repo, commit, Contents(kind=repo.kind, name=repo.name), tree)
    with _passing() as folder:
        data = hub.download(repo, contents.FILE, commit, folder).read_bytes()
    return Snapshot(hub, repo, commit, contents.parse(data, repo), tree)


def _may_be_ours(path: str) -> bool:
    return path in (contents.CARD, contents.CONSENT, ".gitattributes") or path.partition("/")[0] in contents.FOLDERS


def existing(hub: Hub, repo: Repo, revision: str | None) -> Snapshot:
    """As `snapshot`. Raises Absent where there is nothing."""
    found = snapshot(hub, repo, revision)
    if found is None or not found.contents.entries:
        raise Absent(f"{repo.id} does not exist, is empty, or this token may not see it: push it first")
    return found


@contextmanager
def scratch(root: Path, name: str, *, keep: bool = False) -> Iterator[Path]:
    """A folder of the workspace that nothing lists, gone at the end; with `keep` an error leaves it, to go on with.

    Another process that wants the same one waits.
    """
    folder = root / f"{layout.HUB_SCRATCH}{name}"
    with _alone_in(folder):
        if not keep:
            _empty(folder)
        try:
            yield folder
        except BaseException:
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """The folder, made where it is absent, and locked."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        # Whoever held it has removed it: then what was waited for is another folder.
        if folder.is_dir() and os.path.samestat(os.fstat(handle), folder.stat()):
            break
        os.close(handle)
    try:
        yield
    finally:
        os.close(handle)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def _passing() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="svc-jobs-hub-") as folder:
        yield Path(folder)
