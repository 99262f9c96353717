"""`raw-<speaker>`: the recordings as they are, with their speaker's consent. The workspace's own are never replaced."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from svc_core import files, layout
from svc_core.errors import BadInput
from svc_core.hub import cards, contents, paths
from svc_core.hub.client import Hub
from svc_core.hub.contents import Contents, Entry, Member
from svc_core.hub.packing import Loose, Offer
from svc_core.hub.pull import Pulled, pull
from svc_core.hub.push import Pushed, push
from svc_core.hub.repos import Repo
from svc_core.hub.sharing import check_shareable, owner_facts
from svc_core.manifest import FileRecord
from svc_core.place import Place, as_place
from svc_core.raw import RawFile, is_junk

EXAMPLES = 2
HEARD = (".wav", ".flac", ".mp3", ".ogg")


def push_raw(root: Path | Place, speaker: str, hub: Hub) -> Pushed:
    """Sends `raw/<speaker>/` to `<namespace>/raw-<speaker>`; what is there already is not sent again.

    Nothing is ever removed there. Raises as `svc_core.hub.push.push`, and ConfigError where it would be public and no
    consent to sharing recordings is on record.
    """
    place = as_place(root)
    check_shareable(place, speaker, hub)
    return push(hub, Raw(Repo("raw", hub.namespace, layout.check_speaker(speaker)), place))


def pull_raw(root: Path | Place, speaker: str, hub: Hub, revision: str | None = None) -> Pulled:
    """Brings the recordings of `<namespace>/raw-<speaker>` into `raw/<speaker>/`.

    Raises as `svc_core.hub.pull.pull`; BadInput where a recording of the workspace has the name and another content.
    """
    return pull(hub, Raw(Repo("raw", hub.namespace, layout.check_speaker(speaker)), as_place(root)), revision)


@dataclass(frozen=True)
class Raw:
    repo: Repo
    place: Place
    replaces = False
    shards = None

    @property
    def loose(self) -> Loose:
        return self

    def offers(self) -> dict[str, Offer]:
        found = {}
        for file in self._files():
            sha256 = self.place.raw.sha256(file.key)
            member = Member(key=file.key, sha256=sha256, size=file.size, path="")
            found[file.key] = Offer(Entry(key=file.key, members=(member,)))
        if found and self._consent.is_file():
            data = self._consent.read_bytes()
            member = Member(key=self._agreed, sha256=files.sha256_bytes(data), size=len(data), path="")
            found[self._agreed] = Offer(Entry(key=self._agreed, members=(member,)))
        return found

    def outdated(self, keys: Collection[str]) -> set[str]:
        return set()

    def path_of(self, member: Member, is_taken: Callable[[str], bool]) -> str:
        if member.key == self._agreed:
            return paths.untaken(contents.CONSENT, member.sha256, is_taken)
        inside = member.key.removeprefix(f"{layout.raw_dir(self.repo.name)}/")
        return paths.untaken(f"{contents.AUDIO}/{paths.hub_path(inside, self._crowded)}", member.sha256, is_taken)

    def card(self, made: Contents, hub: Hub) -> bytes:
        heard = [one.path for one in made.files if one.path.lower().endswith(HEARD)][:EXAMPLES]
        return cards.raw_card(self.repo, made, hub, heard, owner_facts(self.place, self.repo.name))

    def examples(self, offers: Mapping[str, Offer]) -> dict[str, bytes]:
        return {}  # the recordings themselves can be heard

    def stands(self, entries: Sequence[Entry]) -> set[str]:
        here = {file.key: file for file in self._files()}
        standing, different = {self._agreed} if self._consent.is_file() else set[str](), list[str]()
        for entry in entries:
            for member in entry.members:
                if (file := here.get(member.key)) is None:
                    continue
                if file.size == member.size and self.place.raw.sha256(member.key) == member.sha256:
                    standing.add(entry.key)
                else:
                    different.append(member.key)
        if different:
            more = f" and {len(different) - 1} more" if len(different) > 1 else ""
            raise BadInput(
                f"{self.place.name}/{different[0]}{more}: not what {self.repo.id} has under that name, and recordings "
                "are never replaced: rename or remove yours first"
            )
        return standing

    def settle(self, entry: Entry, record: str | None, written: Mapping[str, FileRecord]) -> list[str]:
        return []

    @property
    def _agreed(self) -> str:
        return layout.consent_key(self.repo.name)

    @property
    def _consent(self) -> Path:
        """The speaker's consent travels with the recordings; the workspace's own is never replaced."""
        self.place.bring([self._agreed])
        return self.place.root / self._agreed

    @cached_property
    def _crowded(self) -> frozenset[str]:
        prefix = f"{layout.raw_dir(self.repo.name)}/"
        return paths.crowded_folders(file.key.removeprefix(prefix) for file in self._files())

    def _files(self) -> list[RawFile]:
        found = [file for file in self.place.raw.files(self.repo.name) if not is_junk(file.key.rpartition("/")[2])]
        for file in found:
            if file.key != file.key.encode("utf-8", "replace").decode():
                raise BadInput(f"{file.key.encode('utf-8', 'replace').decode()}: its name is not UTF-8, rename it")
        return found
