"""One command's surroundings: which workspace, who listens, who may stop it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from jobs.console import Console
from jobs.stop import Stop
from jobs.workspace import FolderWorkspace, Workspace
from svc_core import config as configs
from svc_core import layout, speakers
from svc_core.config import Config
from svc_core.errors import BadInput, ConfigError
from svc_core.filelists import Filelists
from svc_core.plan import SlicePlan
from svc_core.storage.opening import check_place, open_store


@dataclass(frozen=True)
class Session:
    workspace: Workspace
    console: Console
    stop: Stop = field(default_factory=Stop)

    @property
    def root(self) -> Path:
        """The folder that doors work on."""
        return self.workspace.root

    def slice_plan(self) -> SlicePlan:
        self.workspace.bring([layout.PREPARE_PLAN])
        found = SlicePlan.read(self.root / layout.PREPARE_PLAN)
        if found is None:
            raise BadInput(f"{self.workspace.name}/{layout.PREPARE_PLAN} is absent or damaged: run prepare first")
        return found

    def filelists(self) -> Filelists:
        self.workspace.bring([layout.FILELISTS_PLAN, layout.TRAIN_LIST, layout.VAL_LIST])
        found = Filelists.read(self.root / layout.FILELISTS_PLAN)
        if found is None:
            raise BadInput(f"{self.workspace.name}/{layout.FILELISTS_PLAN} is absent or damaged: run filelists first")
        return found

    def config(self) -> Config:
        """The voice's config, checked. Raises ConfigError for a mistake, also one made by hand."""
        key = layout.config_key(self.slice_plan().voice)
        self.workspace.bring([key])
        return configs.load(self.root / key)


def open_workspace(given: str, console: Console, scratch: str | None = None) -> Workspace:
    """The workspace that a folder or an s3:// URL names. Raises ConfigError where it is none."""
    check_place(given)
    if "://" in given:
        return _open_bucket(given, console, scratch)
    root = Path(given).expanduser()
    if root.exists() and not root.is_dir():
        raise ConfigError(f"{root} is a file: -w wants the folder that holds raw/")
    if not root.exists():
        raise BadInput(f"{root} does not exist: create it and put recordings into {root}/raw/<speaker>/")
    return FolderWorkspace(root.resolve())


@contextmanager
def making_folder(workspace: str) -> Iterator[None]:
    """For commands that fill a workspace: its folder comes with what they put into it, and is not left empty."""
    check_place(workspace)
    root = Path(workspace).expanduser()
    missing = [] if "://" in workspace else [folder for folder in (root, *root.parents) if not folder.exists()]
    if missing:
        root.mkdir(parents=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # the first that holds something
            for folder in missing:
                folder.rmdir()
        raise


def _open_bucket(url: str, console: Console, scratch: str | None) -> Workspace:
    # Late: a folder needs neither.
    from jobs.bucket import BucketWorkspace
    from jobs.scratch import scratch_folder

    store = open_store(url, console.warn)
    return BucketWorkspace(store, scratch_folder(Path(scratch or tempfile.gettempdir())), console)


def find_config(workspace: Workspace) -> Config | None:
    """The workspace's config where it has one, before a plan exists."""
    keys = workspace.keys(layout.CONFIGS)
    workspace.bring(keys)
    if not any(layout.voice_of_config(key.rpartition("/")[2]) for key in keys):
        return None
    return configs.load(workspace.root / layout.config_key(speakers.find_voice(workspace.root, None, [])))
