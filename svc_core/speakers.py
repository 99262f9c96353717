"""Who is in a workspace: its speakers, their ids, and the name of the voice they make."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from svc_core import layout
from svc_core.errors import BadInput, ConfigError
from svc_core.raw import RawFiles

IF_STRAY = (
    "if it was never meant to be a speaker and is in no checkpoint, remove its folders and its entry in "
    f"{layout.SPEAKER_MAP}"
)
"""What to add where a speaker lacks recordings: ids stay, also that of a folder that got into `raw/` by mistake."""


def find_speakers(raw: RawFiles, named: Sequence[str], known: Sequence[str]) -> list[str]:
    """Speakers of the workspace: those it knows, and those named, or all folders of `raw/` where none is named.

    Raises BadInput where there is nobody, ConfigError for a folder name that cannot be a speaker's.
    """
    folders, place = raw.speakers(), f"{raw.name}/{layout.RAW}"
    for name in named:
        layout.check_speaker(name)
        if name not in folders and name not in known:
            raise BadInput(f"{place}/{name} does not exist: put the recordings of {name!r} into it")
    chosen = sorted({*known, *(named or folders)})
    for name in chosen:
        layout.check_speaker(name)
    if not chosen:
        raise BadInput(f"{place} has no speaker: put recordings into {place}/<speaker>/ and run again")
    return chosen


def assign_ids(known: dict[str, int], speakers: Sequence[str]) -> dict[str, int]:
    """Ids that stay: known speakers keep theirs, new ones follow in the order of their names."""
    ids = dict(known)
    for name in sorted(speakers):
        if name not in ids:
            ids[name] = max(ids.values(), default=-1) + 1
    return ids


def read_speaker_map(root: Path) -> dict[str, int]:
    """The ids given so far, {} in a new workspace. Raises ConfigError where the file is damaged."""
    path = root / layout.SPEAKER_MAP
    try:
        ids = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise ConfigError(f"{path} is not JSON: restore it, ids of trained speakers must not be guessed") from None
    if (
        not isinstance(ids, dict)
        or not all(type(value) is int and value >= 0 for value in ids.values())
        or len(set(ids.values())) != len(ids)
    ):
        raise ConfigError(f"{path} must map speakers to different ids from 0: restore it")
    return ids


def find_voice(root: Path, given: str | None, speakers: Sequence[str]) -> str:
    """The model's name: what the workspace's config says, else --voice, else its only speaker's.

    Raises ConfigError where it cannot be told, or would change.
    """
    folder = root / layout.CONFIGS
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    voices = [voice for name in names if (voice := layout.voice_of_config(name))]
    if len(voices) > 1:
        raise ConfigError(f"{folder} holds the configs of {', '.join(voices)}: a workspace is one voice, keep one")
    if voices:
        if given not in (None, voices[0]):
            raise ConfigError(f"this workspace is the voice {voices[0]!r} and stays it: use another -w for {given!r}")
        return voices[0]
    if given is not None:
        return layout.check_speaker(given)
    if len(speakers) != 1:
        raise ConfigError(f"{len(speakers)} speakers make one model here ({', '.join(speakers)}): name it with --voice")
    return speakers[0]
