"""What the workspace remembers of its repositories: which commits it was filled from and sent to."""

from svc_core import layout
from svc_core.errors import from_os_error
from svc_core.hub.repos import Kind, Repo
from svc_core.manifest import Record
from svc_core.place import Place


class HubRecord(Record):
    """The commits that this workspace was last filled from and sent to, and in which repository."""

    repo: str
    pulled: str | None = None
    pushed: str | None = None


def read(place: Place, kind: Kind, name: str) -> HubRecord | None:
    key = layout.hub_record(kind, name)
    place.bring([key])
    return HubRecord.read(place.root / key)


def begin(place: Place, repo: Repo) -> None:
    """Writes down that a first pull began, so that one that never came to its end is known for what it is."""
    if read(place, repo.kind, repo.name) is None:
        note(place, repo)


def note(place: Place, repo: Repo, pulled: str | None = None, pushed: str | None = None) -> None:
    """Writes down the commit of a push or a pull; what the record knew of the other way stays."""
    key, before = layout.hub_record(repo.kind, repo.name), read(place, repo.kind, repo.name)
    known = before if before is not None and before.repo == repo.id else HubRecord(repo=repo.id)
    fresh = HubRecord(repo=repo.id, pulled=pulled or known.pulled, pushed=pushed or known.pushed)
    if fresh != before:
        try:
            fresh.write(place.root / key)
        except OSError as error:
            raise from_os_error(error, place.root / key) from error
        place.take([key])
