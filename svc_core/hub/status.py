"""What a repository holds, and what differs from the workspace. Changes nothing."""

from pathlib import Path

from svc_core import layout, manifest
from svc_core.hub.client import Hub
from svc_core.hub.features import Features
from svc_core.hub.model import Model
from svc_core.hub.noted import read
from svc_core.hub.raw import Raw
from svc_core.hub.repos import Kind, Repo
from svc_core.hub.sliced import Sliced
from svc_core.hub.snapshot import snapshot
from svc_core.place import Place, as_place

_PARTS: dict[Kind, type[Raw] | type[Sliced] | type[Features] | type[Model]] = {
    "raw": Raw,
    "sliced": Sliced,
    "features": Features,
    "model": Model,
}


class Status(manifest.Record):
    """`revision` is None where there is no repository. The lists are keys of what travels as a whole."""

    repo: str
    revision: str | None
    files: int
    bytes: int
    equal: int
    only_here: tuple[str, ...]
    only_there: tuple[str, ...]
    different: tuple[str, ...]
    pulled: str | None
    pushed: str | None

    @property
    def same(self) -> bool:
        return not (self.only_here or self.only_there or self.different)


def status(root: Path | Place, kind: Kind, name: str, hub: Hub, revision: str | None = None) -> Status:
    """Compares a part of the workspace with its repository at `revision` (default: main).

    Raises BadInput for a revision that is not there, or a repository that is not ours; ConfigError and Transient where
    the Hub may not be read, or cannot be reached.
    """
    place, repo = as_place(root), Repo(kind, hub.namespace, layout.check_speaker(name))
    seen = snapshot(hub, repo, revision)
    here, there = _PARTS[kind](repo, place).offers(), seen.contents.by_key if seen else {}
    both = here.keys() & there.keys()
    equal = {key for key in both if here[key].entry.same(there[key])}
    noted = read(place, kind, name)
    return Status(
        repo=repo.id,
        revision=seen.commit if seen else None,
        files=len(seen.contents.files) if seen else 0,
        bytes=seen.contents.size if seen else 0,
        equal=len(equal),
        only_here=tuple(sorted(here.keys() - both)),
        only_there=tuple(sorted(there.keys() - both)),
        different=tuple(sorted(both - equal)),
        pulled=noted.pulled if noted and noted.repo == repo.id else None,
        pushed=noted.pushed if noted and noted.repo == repo.id else None,
    )
