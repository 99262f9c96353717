"""What the workspace remembers of its repositories: which commits it was filled from and sent to."""

from svc_core import layout
from svc_core.errors import from_os_error
from svc_core.manifest import Record
from svc_core.place import Place


class HubRecord(Record):
    """The commits that this workspace was last filled from and sent to, and in which repository."""

    repo: str
    pulled: str | None = None
    pushed: str | None = None


def note(place: Place, kind: str, name: str, fresh: HubRecord) -> None:
    """Writes down the commit of a push or a pull; what the record knew of the other way stays."""
    key = layout.hub_record(kind, name)
    place.bring([key])
    before = HubRecord.read(place.root / key)
    if before is not None and before.repo == fresh.repo:
        fresh = fresh.model_copy(
            update={"pulled": fresh.pulled or before.pulled, "pushed": fresh.pushed or before.pushed}
        )
    if fresh != before:
        try:
            fresh.write(place.root / key)
        except OSError as error:
            raise from_os_error(error, place.root / key) from error
        place.take([key])
