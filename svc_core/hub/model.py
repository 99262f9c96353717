"""`<namespace>/<voice>`: the release folder as it is, tagged with its step."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from svc_core import consent, files, layout
from svc_core.errors import BadInput, ConfigError
from svc_core.hub.client import Hub
from svc_core.hub.contents import Contents, Entry, Member
from svc_core.hub.packing import Loose, Offer
from svc_core.hub.pull import Pulled, pull
from svc_core.hub.push import Pushed, push
from svc_core.hub.repos import Repo
from svc_core.hub.sharing import check_model
from svc_core.manifest import FileRecord
from svc_core.place import Place, as_place

_FACTS, _CONFIG = "facts.json", "config.json"


def push_model(root: Path | Place, voice: str, hub: Hub) -> Pushed:
    """Sends `models/<voice>/` to `<namespace>/<voice>` and tags it `step-<n>`.

    A release is a whole: files that it no longer has leave the repository, in the same commit. Raises as
    `svc_core.hub.push.push`; ConfigError where a speaker's consent to sharing the model is not on record, or is not
    the one that the release says; BadInput where there is no release.
    """
    place = as_place(root)
    release = Model(Repo("model", hub.namespace, layout.check_speaker(voice)), place)
    release.check_consent()
    pushed = push(hub, release)
    _tag(hub, release, pushed)
    return pushed


def pull_model(root: Path | Place, voice: str, hub: Hub, revision: str | None = None) -> Pulled:
    """Brings `<namespace>/<voice>` into `models/<voice>/`; what only the release before it had goes.

    Files there that no release lists, such as the owner's own LICENSE, stay where the repository has none of the name.

    Raises as `svc_core.hub.pull.pull`.
    """
    return pull(hub, Model(Repo("model", hub.namespace, layout.check_speaker(voice)), as_place(root)), revision)


@dataclass(frozen=True)
class Model:
    repo: Repo
    place: Place
    replaces = True
    shards = None

    @property
    def loose(self) -> Loose:
        return self

    @property
    def folder(self) -> str:
        return layout.release_dir(self.repo.name)

    def speakers(self) -> list[str]:
        """Whose voices the release holds. Raises BadInput where there is none, or its config is damaged."""
        try:
            return sorted(json.loads(self._read(_CONFIG))["spk"])
        except (ValueError, KeyError, TypeError):
            raise BadInput(f"{self.place.name}/{self.folder}/{_CONFIG} names no speakers: run publish again") from None

    def check_consent(self) -> None:
        """Raises ConfigError where it is not on record, or the release was written with another one, or without."""
        speakers = self.speakers()
        check_model(self.place, speakers)
        recorded = [consent.read(self.place.root, speaker) for speaker in speakers]
        try:
            said = json.loads(self._read(consent.FILE))["speakers"]
        except (BadInput, ValueError, KeyError, TypeError):
            said = []
        if any(one is None or one.model_dump(mode="json") not in said for one in recorded):
            raise ConfigError(
                f"{self.place.name}/{self.folder} does not carry the consent that is recorded now: run publish again"
            )

    def step(self) -> int:
        try:
            return int(json.loads(self._read(_FACTS))["step"])
        except (ValueError, KeyError, TypeError):
            raise BadInput(f"{self.place.name}/{self.folder}/{_FACTS} names no step: run publish again") from None

    def offers(self) -> dict[str, Offer]:
        keys = self.place.keys(self.folder)
        if f"{self.folder}/{layout.SUMS_NAME}" not in keys:
            return {}
        self.place.bring(keys)
        members = tuple(self._member(key) for key in keys)
        return {self.folder: Offer(Entry(key=self.folder, members=members))}

    def outdated(self, keys: Collection[str]) -> set[str]:
        return set()

    def path_of(self, member: Member, is_taken: Callable[[str], bool]) -> str:
        return member.key.removeprefix(f"{self.folder}/")

    def card(self, made: Contents, hub: Hub) -> bytes | None:
        return None  # the release has its own

    def examples(self, offers: Mapping[str, Offer]) -> dict[str, bytes]:
        return {}

    def stands(self, entries: Sequence[Entry]) -> set[str]:
        here, _ = self.offers(), self._before
        return {one.key for one in entries if one.key in here and here[one.key].entry.same(one)}

    def settle(self, entry: Entry, record: str | None, written: Mapping[str, FileRecord]) -> list[str]:
        self.place.drop(sorted(self._before - written.keys()))
        return []

    @cached_property
    def _before(self) -> frozenset[str]:
        """Keys of the release that stood here at the first look."""
        try:
            lines = self._read(layout.SUMS_NAME).splitlines()
        except (BadInput, UnicodeDecodeError):
            return frozenset()
        names = (line.partition("  ")[2] for line in lines)
        return frozenset(f"{self.folder}/{name}" for name in names if name and "/" not in name)

    def _member(self, key: str) -> Member:
        path = self.place.root / key
        return Member(key=key, sha256=files.sha256_file(path), size=path.stat().st_size, path="")

    def _read(self, name: str) -> str:
        key = f"{self.folder}/{name}"
        self.place.bring([key])
        try:
            return (self.place.root / key).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise BadInput(f"{self.place.name}/{self.folder} holds no release: run publish first") from None


def _tag(hub: Hub, release: Model, pushed: Pushed) -> None:
    """`step-<n>`; where another release of that step has it, with the commit's first digits, so that no tag moves."""
    name = f"step-{release.step()}"
    if not hub.tag(release.repo, name, pushed.revision) and not pushed.already:
        hub.tag(release.repo, f"{name}-{pushed.revision[:8]}", pushed.revision)
