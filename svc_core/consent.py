"""Who agreed that a voice is used, and for what: one record for each speaker, `consents/<speaker>.json`.

It is what the owner of the workspace says, not a proof: nothing here checks an identity or a signature. It travels with
a release, so it holds what the owner chose to write and nothing else.
"""

import shlex
from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import model_validator

from svc_core import layout, manifest
from svc_core.errors import ConfigError

FILE = "consent.json"
"""Its name in a release and in a repository of the Hub."""


class Use(StrEnum):
    TRAINING = "training"
    CONVERSION = "conversion"
    SHARE_MODEL = "share-model"
    SHARE_RECORDINGS = "share-recordings"


USUAL_USES = (Use.TRAINING, Use.CONVERSION, Use.SHARE_MODEL)
"""What a record allows where it names no uses: everything but giving the recordings away."""


class Consent(manifest.Record):
    """`given_by` is a name or a reference, None for one's own voice. `withdrawn_on` ends all uses."""

    format: int = 1
    speaker: str
    own_voice: bool
    given_by: str | None
    uses: tuple[Use, ...]
    commercial: bool
    given_on: date
    evidence: str = ""
    withdrawn_on: date | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.own_voice == (self.given_by is not None):
            raise ValueError("either it is one's own voice, or somebody gave the consent")
        return self

    @property
    def basis(self) -> str:
        """Who agreed and when, for sentences."""
        who = "the owner's own voice" if self.own_voice else f"given by {self.given_by}"
        return f"{who}, {self.given_on.isoformat()}"


def read(root: Path, speaker: str) -> Consent | None:
    """The speaker's record, also a withdrawn one; None where there is none.

    Raises ConfigError where the file is damaged, or is another speaker's: consent is never guessed.
    """
    path = root / layout.consent_key(speaker)
    found = Consent.read(path)
    if (found is None and path.exists()) or (found is not None and found.speaker != speaker):
        raise ConfigError(f"{path} is no consent record of {speaker!r}: restore it, or run svc-jobs consent again")
    return found


def write(root: Path, consent: Consent) -> None:
    consent.write(root / layout.consent_key(consent.speaker))


def problem(consent: Consent | None, use: Use) -> str | None:
    """Why a speaker's record does not allow a use, None where it does."""
    if consent is None:
        return "none is recorded"
    if consent.withdrawn_on is not None:
        return f"it was withdrawn on {consent.withdrawn_on.isoformat()}"
    if use not in consent.uses:
        return f"it does not allow {use.value}"
    return None


def lacking(root: Path, speakers: Iterable[str], use: Use) -> dict[str, str]:
    """Speaker -> why their consent does not allow a use; empty where all do. Raises ConfigError as `read` does."""
    reasons = {speaker: problem(read(root, speaker), use) for speaker in speakers}
    return {speaker: reason for speaker, reason in reasons.items() if reason}


def require(root: Path, speakers: Iterable[str], use: Use = Use.SHARE_MODEL) -> None:
    """Raises ConfigError that names each speaker without consent for `use`, and the command that records it."""
    if missing := lacking(root, speakers, use):
        said = "; ".join(f"{speaker}: {reason}" for speaker, reason in missing.items())
        more = "" if use in USUAL_USES else "".join(f" --use {one.value}" for one in (*USUAL_USES, use))
        raise ConfigError(
            f"{use.value} needs the consent of each speaker ({said}): record it with svc-jobs consent -w WORKSPACE "
            f"--speaker {shlex.quote(next(iter(missing)))} --own-voice{more}, or --given-by NAME instead of --own-voice"
        )
