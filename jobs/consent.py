"""consent: who agreed that a speaker's voice is used, and for what; kept in the workspace."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import typer

from jobs.commands import Json, Quiet, Scratch, Verbose, Workspace
from jobs.console import Console
from jobs.session import Session, open_workspace
from svc_core import consent as consents
from svc_core import layout, speakers
from svc_core.consent import Consent, Use
from svc_core.errors import BadInput, ConfigError

_UNPROVEN = "a note of what you say, not a proof; it travels with the model, evidence and all"


def consent(
    workspace: Workspace,
    speaker: Annotated[str, typer.Option("--speaker", help="Whose voice it is; a folder of raw/.")],
    given_by: Annotated[
        str | None, typer.Option("--given-by", help="Who agreed: a name, or a reference such as a contract's number.")
    ] = None,
    own_voice: Annotated[bool, typer.Option("--own-voice", help="It is your own voice.")] = False,
    use: Annotated[
        list[Use] | None,
        typer.Option("--use", help="What was agreed; repeat for several; default: all but share-recordings."),
    ] = None,
    commercial: Annotated[bool, typer.Option("--commercial", help="Commercial use was agreed too.")] = False,
    on: Annotated[str | None, typer.Option("--on", help="When, as YYYY-MM-DD; default: today.")] = None,
    evidence: Annotated[str, typer.Option("--evidence", help="Where the proof lies: text or a URL; published.")] = "",
    show: Annotated[bool, typer.Option("--show", help="Only say what is recorded.")] = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Record that the consent was taken back.")] = False,
    scratch: Scratch = None,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    console = Console(json_, quiet, verbose)
    day = _day(on)
    session = Session(open_workspace(workspace, console, scratch), console)
    layout.check_speaker(speaker)
    if (given_by is not None) + own_voice + show + withdraw != 1:
        raise ConfigError("consent wants exactly one of --given-by NAME, --own-voice, --show and --withdraw")
    if (show or withdraw) and (use or commercial or evidence):
        raise ConfigError(
            "--use, --commercial and --evidence say what is agreed: leave them out, --withdraw ends every use and "
            "--show changes nothing"
        )
    if given_by is not None and not given_by.strip():
        raise ConfigError("--given-by is empty: name who agreed, or a reference to the agreement")
    session.workspace.bring([layout.consent_key(speaker)])
    if show:
        return _answer(console, speaker, consents.read(session.root, speaker))
    if withdraw:
        return _answer(console, speaker, _store(session, _withdrawn(session, speaker, day)))
    _check_known(session, speaker)
    uses = tuple(member for member in Use if member in (use or consents.USUAL_USES))
    made = Consent(
        speaker=speaker,
        own_voice=own_voice,
        given_by=given_by,
        uses=uses,
        commercial=commercial,
        given_on=day,
        evidence=evidence,
    )
    return _answer(console, speaker, _store(session, made))


def _day(given: str | None) -> date:
    try:
        day = date.fromisoformat(given) if given else date.today()
    except ValueError:
        raise ConfigError(f"--on {given!r} is not a day: write it as YYYY-MM-DD") from None
    # Somewhere on Earth it is tomorrow already.
    if day > datetime.now(UTC).date() + timedelta(days=1):
        raise ConfigError(f"--on {day.isoformat()} is still to come: give the day on which it was said")
    return day


def _check_known(session: Session, speaker: str) -> None:
    """A misspelt name must not leave a record that nobody reads. Raises BadInput."""
    session.workspace.bring([layout.SPEAKER_MAP])
    known = sorted({*session.workspace.raw.speakers(), *speakers.read_speaker_map(session.root)})
    if speaker not in known:
        raise BadInput(
            f"{session.workspace.name} has no speaker {speaker!r} (it has: {', '.join(known) or 'none'}): "
            f"name one of these, or put recordings into {layout.raw_dir(speaker)}/ first"
        )


def _withdrawn(session: Session, speaker: str, day: date) -> Consent:
    found = consents.read(session.root, speaker)
    if found is None:
        raise BadInput(f"no consent of {speaker!r} is recorded in {session.workspace.name}: there is none to withdraw")
    if found.withdrawn_on:
        return found
    if day < found.given_on:
        raise ConfigError(
            f"--on {day.isoformat()} is before the consent of {speaker!r} was given ({found.given_on.isoformat()}): "
            "give the day on which it was withdrawn"
        )
    return found.model_copy(update={"withdrawn_on": day})


def _store(session: Session, made: Consent) -> Consent:
    consents.write(session.root, made)
    session.workspace.take([layout.consent_key(made.speaker)])
    return made


def _answer(console: Console, speaker: str, found: Consent | None) -> None:
    if found is None:
        console.say(f"no consent of {speaker} is recorded")
    elif found.withdrawn_on:
        console.say(f"{speaker}: withdrawn on {found.withdrawn_on.isoformat()} ({found.basis})")
    else:
        uses = ", ".join(found.uses) + (", commercially too" if found.commercial else ", not commercially")
        console.say(f"{speaker}: {found.basis}: {uses} ({_UNPROVEN})")
    record = found.model_dump(mode="json") if found else None
    console.result({"status": "done", "exit_code": 0, "speaker": speaker, "consent": record})
