"""One Hub: where it is, who asks, and the few things that we ask of it, through the unmodified huggingface_hub.

HF_ENDPOINT, HF_TOKEN, `hf auth login`, HF_HUB_OFFLINE and HF_HOME work as its own documentation says.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, errors
from huggingface_hub.hf_api import RepoFile

from svc_core.errors import ConfigError, Conflict, SvcError, Transient
from svc_core.hub.errors import asked_wait_s, decision
from svc_core.hub.repos import Repo, check_namespace

Answer = TypeVar("Answer")
Operation = CommitOperationAdd | CommitOperationDelete
PATIENCE_S = 600.0
"""How long one request is repeated while the Hub is busy or cannot be reached."""
_FIRST_S, _LONGEST_S = 0.5, 30.0
QUIET_S = 5.0
"""A request that is repeated for longer than this is worth a word."""
_READ_ONLY = frozenset(("read",))


class Blob(NamedTuple):
    """One file of a repository as the Hub lists it; `sha256` is None where it is no large file."""

    size: int
    """bytes"""
    sha256: str | None
    git_sha1: str


@dataclass(frozen=True)
class Hub:
    """A namespace of a Hub. `private` is what a new repository becomes.

    Endpoint and token are the library's own where they are not given. Raises ConfigError for a name that cannot be a
    namespace.
    """

    namespace: str
    private: bool = True
    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)
    patience_s: float = PATIENCE_S
    notice: Callable[[str], None] = field(default=lambda sentence: None, repr=False)
    """Gets one sentence for a request that has to wait."""

    def __post_init__(self) -> None:
        check_namespace(self.namespace)

    @cached_property
    def _api(self) -> HfApi:
        return HfApi(endpoint=self.endpoint, token=self.token, library_name="svc-jobs")

    def url(self, repo: Repo) -> str:
        return f"{self._api.endpoint}/{'datasets/' if repo.type == 'dataset' else ''}{repo.id}"

    def check_online(self) -> None:
        """Raises ConfigError where the library was told to stay offline."""
        if constants.is_offline_mode():
            raise ConfigError(
                f"{self.namespace} on the Hub cannot be asked while HF_HUB_OFFLINE is set: unset it, "
                "or leave the Hub out"
            )

    def check_writable(self) -> None:
        """Raises ConfigError where there is no token, one that can only read, or one of another namespace."""
        self.check_online()
        known = self._ask(self._api.whoami, f"the Hub at {self._api.endpoint}")
        whose = f"the token of {known.get('name')!r} for {self._api.endpoint}"
        if known.get("auth", {}).get("accessToken", {}).get("role") in _READ_ONLY:
            raise ConfigError(f"{whose} can only read: give HF_TOKEN one with the right to write")
        # A Hub that does not name the organisations is asked later, by the push itself.
        organisations = known.get("orgs")
        mine = [str(known.get("name")), *(str(one.get("name")) for one in organisations or ())]
        if organisations is not None and self.namespace.casefold() not in map(str.casefold, mine):
            raise ConfigError(
                f"{whose} may write for {' and '.join(mine)}, not for {self.namespace!r}: correct the namespace, or "
                "give HF_TOKEN a token of it"
            )

    def head(self, repo: Repo, revision: str | None = None) -> str | None:
        """The commit that a branch, tag or commit stands for (default: main); None where there is no such repository.

        Raises BadInput where the repository lacks the revision.
        """
        self.check_online()

        def ask() -> str | None:
            try:
                return self._api.repo_info(repo.id, repo_type=repo.type, revision=revision).sha
            except errors.GatedRepoError:
                raise
            except errors.RepositoryNotFoundError as error:
                # An answer to nobody in particular, and to a token that is not valid, looks nearly the same.
                if getattr(error.response, "status_code", 404) == 401 and self._has_token():
                    raise
                return None

        return self._ask(ask, self._place(repo))

    def tree(self, repo: Repo, commit: str) -> dict[str, Blob]:
        def ask() -> dict[str, Blob]:
            found = self._api.list_repo_tree(repo.id, recursive=True, revision=commit, repo_type=repo.type)
            return {
                item.path: Blob(item.size, item.lfs.sha256 if item.lfs else None, item.blob_id)
                for item in found
                if isinstance(item, RepoFile)
            }

        return self._ask(ask, self._place(repo))

    def download(self, repo: Repo, path: str, commit: str, folder: Path) -> Path:
        """The file below `folder`; what an earlier attempt left there is gone on with."""
        return Path(
            self._ask(
                lambda: self._api.hf_hub_download(
                    repo.id, path, repo_type=repo.type, revision=commit, local_dir=folder
                ),
                f"{path} of {self._place(repo)}",
            )
        )

    def create(self, repo: Repo) -> None:
        """Makes the repository where there is none.

        Raises ConfigError where recordings, or what was made of them, would go into a public one and shall not. A model
        goes where it is: to be pushed at all it needs the consent to sharing it.
        """
        place = self._place(repo)
        self._ask(
            lambda: self._api.create_repo(repo.id, repo_type=repo.type, private=self.private, exist_ok=True), place
        )
        if not self.private or repo.kind == "model":
            return
        info = self._ask(lambda: self._api.repo_info(repo.id, repo_type=repo.type), place)
        if info.private is False:
            raise ConfigError(f"{place} is public: make it private there, or push with --public and the consent for it")

    def preupload(self, repo: Repo, addition: CommitOperationAdd) -> bool:
        """Sends a large file ahead of its commit; whether its local file is not needed any more."""
        self._ask(lambda: self._api.preupload_lfs_files(repo.id, [addition], repo_type=repo.type), self._place(repo))
        return addition.path_or_fileobj == b""

    def commit(self, repo: Repo, operations: Sequence[Operation], message: str, parent: str | None) -> str:
        """The new commit. Raises Conflict where `parent` is no longer the newest."""
        made = self._ask(
            lambda: self._api.create_commit(
                repo.id, list(operations), commit_message=message, repo_type=repo.type, parent_commit=parent
            ),
            self._place(repo),
        )
        return str(made.oid)

    def tag(self, repo: Repo, name: str, commit: str) -> bool:
        """Tags the commit; False where another commit has the tag already."""

        def ask() -> bool:
            refs = self._api.list_repo_refs(repo.id, repo_type=repo.type)
            for ref in refs.tags:
                if ref.name == name:
                    return ref.target_commit == commit
            self._api.create_tag(repo.id, tag=name, revision=commit, repo_type=repo.type)
            return True

        return self._ask(ask, self._place(repo))

    def _has_token(self) -> bool:
        from huggingface_hub import get_token

        return bool(self.token or get_token())

    def _place(self, repo: Repo) -> str:
        return f"{repo.id} at {self._api.endpoint}"

    def _ask(self, request: Callable[[], Answer], where: str) -> Answer:
        """The answer, after waiting as long as the Hub asks; our own growing pauses where it does not say."""
        began_s, pause_s, is_said = time.monotonic(), _FIRST_S, False
        while True:
            try:
                return request()
            except SvcError:  # told to stop, in the middle of it
                raise
            except Exception as error:  # the client documents no closed set: HTTP, sockets, files, its transfer library
                reason = decision(error, where)
                asked_s = asked_wait_s(error)
                left_s = self.patience_s - (time.monotonic() - began_s)
                # Random, so that several machines do not return at once.
                wait_s = asked_s if asked_s is not None else pause_s * random.uniform(0.5, 1)  # noqa: S311
                lasting = not isinstance(reason, Transient) or isinstance(reason, Conflict)
                if lasting or wait_s > left_s:
                    raise reason from error
                if not is_said and self.patience_s - left_s + wait_s > QUIET_S:
                    is_said = True
                    what = str(reason).removesuffix(": run the same command again")
                    self.notice(f"{what}: asking again, for up to {left_s:.0f} s")
            time.sleep(wait_s)
            pause_s = min(2 * pause_s, _LONGEST_S)
