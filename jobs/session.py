"""One command's surroundings: which workspace, who listens, who may stop it."""

from dataclasses import dataclass, field
from pathlib import Path

from jobs.console import Console
from jobs.stop import Stop
from svc_core import config as configs
from svc_core import layout, speakers
from svc_core.config import Config
from svc_core.errors import BadInput, ConfigError
from svc_core.filelists import Filelists
from svc_core.plan import SlicePlan


@dataclass(frozen=True)
class Session:
    root: Path
    console: Console
    stop: Stop = field(default_factory=Stop)

    def slice_plan(self) -> SlicePlan:
        found = SlicePlan.read(self.root / layout.PREPARE_PLAN)
        if found is None:
            raise BadInput(f"{self.root / layout.PREPARE_PLAN} is absent or damaged: run prepare first")
        return found

    def filelists(self) -> Filelists:
        found = Filelists.read(self.root / layout.FILELISTS_PLAN)
        if found is None:
            raise BadInput(f"{self.root / layout.FILELISTS_PLAN} is absent or damaged: run filelists first")
        return found

    def config(self) -> Config:
        """The voice's config, checked. Raises ConfigError for a mistake, also one made by hand."""
        voice = self.slice_plan().voice
        return configs.load(self.root / layout.config_key(voice))


def open_workspace(given: str) -> Path:
    """The workspace folder. Raises ConfigError where it is none."""
    if "://" in given:
        raise ConfigError(f"{given} is not a folder: object storage is not supported yet, give a local folder")
    root = Path(given).expanduser()
    if root.exists() and not root.is_dir():
        raise ConfigError(f"{root} is a file: -w wants the folder that holds raw/")
    if not root.exists():
        raise BadInput(f"{root} does not exist: create it and put recordings into {root}/raw/<speaker>/")
    return root.resolve()


def find_config(root: Path) -> Config | None:
    """The workspace's config where it has one, before a plan exists."""
    folder = root / layout.CONFIGS
    if not folder.is_dir() or not any(layout.voice_of_config(path.name) for path in folder.iterdir()):
        return None
    return configs.load(root / layout.config_key(speakers.find_voice(root, None, [])))
