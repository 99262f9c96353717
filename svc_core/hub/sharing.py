"""Who may be shown to whom: recordings and what is made of them stay private, unless their speaker agreed."""

from typing import NamedTuple

from svc_core import config as configs
from svc_core import consent, layout, licence
from svc_core.config import Config
from svc_core.consent import Consent, Use
from svc_core.hub.client import Hub
from svc_core.place import Place


class OwnerFacts(NamedTuple):
    """What the owner stated: the text of the licence beside the recordings, and the consent record."""

    licence: str | None
    consent: Consent | None


def check_shareable(place: Place, speaker: str, hub: Hub) -> None:
    """Raises ConfigError where recordings would become public and their speaker's consent to that is not recorded."""
    if not hub.private:
        _require(place, [speaker], Use.SHARE_RECORDINGS)


def check_model(place: Place, speakers: list[str]) -> None:
    """Raises ConfigError where the consent of a voice's speaker to sharing it is not recorded."""
    _require(place, speakers, Use.SHARE_MODEL)


def owner_facts(place: Place, speaker: str) -> OwnerFacts:
    place.bring([layout.consent_key(speaker)])
    folder = f"{layout.raw_dir(speaker)}/"
    for file in place.raw.files(speaker):
        if licence.is_licence(file.key.removeprefix(folder)):
            place.bring([file.key])
            text = licence.text_of((place.root / file.key).read_bytes())
            return OwnerFacts(text, consent.read(place.root, speaker))
    return OwnerFacts(None, consent.read(place.root, speaker))


def recorded_config(place: Place) -> Config | None:
    """The voice's config, None where the workspace has none yet."""
    for key in place.keys(layout.CONFIGS):
        if layout.voice_of_config(key.rpartition("/")[2]):
            place.bring([key])
            return configs.load(place.root / key)
    return None


def _require(place: Place, speakers: list[str], use: Use) -> None:
    place.bring([layout.consent_key(speaker) for speaker in speakers])
    consent.require(place.root, speakers, use)
