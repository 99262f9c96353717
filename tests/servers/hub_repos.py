"""What a Hub holds: repositories of commits, each commit a whole tree of files."""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import pairwise
from threading import RLock

MAX_FILES_A_FOLDER = 10_000
LFS_FROM_BYTES = 10 * 1024 * 1024
# Of the .gitattributes that every new repository gets; by these names a file goes to large file storage at any size.
LFS_PATTERNS = tuple(
    f"*.{suffix}"
    for kinds in ("bin npy npz onnx parquet pickle pkl pt pth safetensors", "flac mp3 ogg wav", "gz tar tgz zip")
    for suffix in kinds.split()
)
_ATTRIBUTES = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS).encode()


PREFIX = {"model": "", "dataset": "datasets/"}


class Refused(Exception):
    """An answer that is not 2xx: status, the Hub's error code, a sentence."""

    def __init__(self, status: int, code: str, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.code, self.text, self.headers = status, code, text, dict(headers or {})


@dataclass(frozen=True)
class Blob:
    data: bytes
    lfs: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def pointer(self) -> bytes:
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.data)}\n"
        return text.encode()

    @property
    def git_oid(self) -> str:
        stored = self.pointer if self.lfs else self.data
        return hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.git_oid


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    title: str
    message: str
    date: str
    tree: Mapping[str, Blob]


@dataclass
class HubRepo:
    """One repository. Tests look inside with `files` and `commits`, and move a branch with `commit`."""

    type: str
    id: str
    private: bool
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    """Large files that were uploaded, by sha256, also those that no commit names."""
    uploads: list[str] = field(default_factory=list)
    """The sha256 of each upload to large file storage, in order."""
    _commits: dict[str, Commit] = field(default_factory=dict)
    _lock: RLock = field(default_factory=RLock)

    def __post_init__(self) -> None:
        self.branches["main"] = self._add(None, "initial commit", "", {".gitattributes": Blob(_ATTRIBUTES, lfs=False)})

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """Path -> content, without the .gitattributes that the Hub made itself."""
        tree = self.at(revision).tree
        return {path: blob.data for path, blob in sorted(tree.items()) if path != ".gitattributes"}

    def commits(self, revision: str = "main") -> list[Commit]:
        """Newest first."""
        found, oid = [], self.at(revision).oid
        while oid is not None:
            found.append(self._commits[oid])
            oid = found[-1].parent
        return found

    def commit(self, title: str, add: Mapping[str, bytes] | None = None, delete: Iterable[str] = ()) -> str:
        """A commit on main by somebody else; returns its hash."""
        blobs = {path: Blob(data, is_large(path, len(data))) for path, data in (add or {}).items()}
        return self.advance("main", title, "", None, lambda tree: {**_without(tree, delete), **blobs})

    def at(self, revision: str) -> Commit:
        """By branch, tag, full hash or at least seven digits of one."""
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        oid = self.branches.get(name) or self.tags.get(name)
        if oid is None and re.fullmatch(r"[0-9a-f]{7,40}", name):
            oid = next((known for known in self._commits if known.startswith(name)), None)
        if oid is None:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return self._commits[oid]

    def advance(self, branch: str, title: str, message: str, parent: str | None, change) -> str:
        """Puts `change(tree)` on top of a branch, if `parent` is still its head or was not named."""
        with self._lock:
            if branch not in self.branches:
                raise Refused(404, "RevisionNotFound", f"Invalid rev id: {branch}")
            head = self.branches[branch]
            if parent is not None and parent != head:
                raise Refused(412, "", "A commit has happened since. Please refresh and try again.")
            tree = change(dict(self._commits[head].tree))
            _check_folders(tree)
            self.branches[branch] = self._add(head, title, message, tree)
            return self.branches[branch]

    def last_change(self, path: str, revision: str) -> Commit:
        """The newest commit up to a revision that changed what is at `path`, a file or a folder."""
        history = self.commits(revision)
        for newer, older in pairwise(history):
            if _part(newer.tree, path) != _part(older.tree, path):
                return newer
        return history[-1]

    def _add(self, parent: str | None, title: str, message: str, tree: Mapping[str, Blob]) -> str:
        listing = {path: blob.git_oid for path, blob in sorted(tree.items())}
        content = json.dumps([self.type, self.id, parent, title, message, listing, len(self._commits)])
        oid = hashlib.sha1(content.encode()).hexdigest()
        date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        self._commits[oid] = Commit(oid, parent, title, message, date, dict(tree))
        return oid


@dataclass(frozen=True)
class Token:
    user: str
    role: str


@dataclass
class HubState:
    """Repositories by (type, id), tokens, and the user's organisations."""

    endpoint: str = ""
    storage: str = ""
    """Where large files lie."""
    repos: dict[tuple[str, str], HubRepo] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    members: dict[str, set[str]] = field(default_factory=dict)
    """Organisation -> users."""
    page_size: int = 1000
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    def sign(self, text: str) -> str:
        return hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()[:24]

    def may_use(self, namespace: str, user: str) -> bool:
        return user == namespace or user in self.members.get(namespace, set())


def is_large(path: str, size: int) -> bool:
    """Whether a file goes to large file storage. Empty ones never do."""
    name = path.rpartition("/")[2]
    return size > 0 and (size >= LFS_FROM_BYTES or any(fnmatchcase(name, pattern) for pattern in LFS_PATTERNS))


def check_path(path: str) -> None:
    parts = path.split("/")
    if any(part in ("", ".", "..", ".git") for part in parts) or any(ord(char) < 32 or char == "\\" for char in path):
        raise Refused(400, "", f"Invalid file path: {path!r}")


def _check_folders(tree: Mapping[str, Blob]) -> None:
    counts: dict[str, int] = {}
    for path in tree:
        folder = path.rpartition("/")[0]
        counts[folder] = counts.get(folder, 0) + 1
        if counts[folder] > MAX_FILES_A_FOLDER:
            text = f"each directory can only contain up to {MAX_FILES_A_FOLDER} files: {folder or '/'}"
            raise Refused(400, "", f"Your push was rejected because it contains too many files per directory: {text}")


def _without(tree: dict[str, Blob], paths: Iterable[str]) -> dict[str, Blob]:
    gone = set(paths)
    return {path: blob for path, blob in tree.items() if path not in gone}


def _part(tree: Mapping[str, Blob], path: str) -> dict[str, str]:
    inside = f"{path}/"
    return {name: blob.git_oid for name, blob in tree.items() if name == path or name.startswith(inside)}
