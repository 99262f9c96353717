"""Checkpoints: three immutable files per step, and `latest.json`, which names them with their hashes and goes last.

G and D hold exactly so-vits-svc 4.1's four keys, `state` what 4.1 has no place for. A file counts only when
`latest.json` names it and its content has the recorded hash, so a killed save leaves nothing that looks whole.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from svc_core import files, layout, manifest
from svc_core.errors import BadInput, ConfigError, from_os_error
from svc_core.manifest import FileRecord

STATE_FORMAT = 1
SPEAKER_TABLE = "emb_g.weight"


class Entry(manifest.Record):
    """One checkpoint: after `step` steps, in the course of `epoch` (from 1)."""

    step: int
    epoch: int
    generator: FileRecord
    discriminator: FileRecord
    state: FileRecord

    @property
    def files(self) -> tuple[FileRecord, FileRecord, FileRecord]:
        return self.generator, self.discriminator, self.state


class History(manifest.Record):
    """`latest.json`: the checkpoints that are kept, newest first."""

    checkpoints: tuple[Entry, ...]


@dataclass(frozen=True)
class Snapshot:
    """The content of one checkpoint: tensors, numbers, texts, and lists and dicts of them."""

    generator: dict[str, Any]
    discriminator: dict[str, Any]
    state: dict[str, Any]


@dataclass(frozen=True)
class Found:
    """The newest checkpoint that is whole, the entries before it, and what was wrong with those after it."""

    entry: Entry
    older: tuple[Entry, ...]
    notes: tuple[str, ...]


def network_file(
    model: dict[str, Tensor], optimizer: dict[str, Any], epoch: int, learning_rate: float
) -> dict[str, Any]:
    """The content of a G or D file, with 4.1's meaning: `iteration` is the epoch, `learning_rate` not decayed."""
    return {"model": model, "iteration": epoch, "optimizer": optimizer, "learning_rate": learning_rate}


def read_history(root: Path, voice: str) -> tuple[Entry, ...]:
    """The voice's checkpoints, newest first; none where training has not saved yet. The files are not looked at.

    Raises BadInput where `latest.json` is there but damaged: then starting over would throw checkpoints away.
    """
    path = root / layout.latest_key(voice)
    history = History.read(path)
    if history is None and path.exists():
        raise BadInput(f"{path} is damaged: restore it, or move the folder {path.parent} away to start over")
    return history.checkpoints if history else ()


def first_damaged(root: Path, entry: Entry) -> str | None:
    """The key of the first of the three files that does not hold the recorded bytes, None if all do. Reads them."""
    for record in entry.files:
        path = layout.local(root, record.key)
        try:
            whole = path.stat().st_size == record.size and files.sha256_file(path) == record.sha256
        except (FileNotFoundError, NotADirectoryError):
            whole = False
        if not whole:
            return record.key
    return None


def newest_whole(root: Path, voice: str) -> Found | None:
    """The checkpoint to go on from; None where there is none at all.

    Raises BadInput where checkpoints are recorded but none of them is whole: training never silently starts over.
    """
    entries = read_history(root, voice)
    notes: list[str] = []
    for index, entry in enumerate(entries):
        damaged = first_damaged(root, entry)
        if damaged is None:
            return Found(entry, entries[index + 1 :], tuple(notes))
        notes.append(f"checkpoint {entry.step} is not used: {damaged} is missing or damaged")
    if entries:
        folder = root / layout.logs_dir(voice)
        raise BadInput(
            f"none of the {len(entries)} checkpoints named by {layout.latest_key(voice)} is whole ({notes[0]}): "
            f"restore the files, or move the folder {folder} away to start over"
        )
    return None


def read(path: Path) -> dict[str, Any]:
    """The content of a checkpoint file on the CPU, read without running code from it. Raises BadInput if damaged."""
    try:
        handle = path.open("rb")
    except OSError as error:
        raise from_os_error(error, path) from None
    try:
        with handle:
            content = torch.load(handle, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load has no closed set of errors for damaged bytes: a cut file is an OSError
        reason = str(error).partition("\n")[0]
        raise BadInput(f"{path} cannot be read as plain weights ({reason}): give another file") from None
    if not isinstance(content, dict):
        raise BadInput(f"{path} holds no checkpoint but a {type(content).__name__}: give another file")
    return content


def load(root: Path, entry: Entry) -> Snapshot:
    """The three files of a verified entry."""
    generator, discriminator, state = (read(layout.local(root, record.key)) for record in entry.files)
    if state.get("format") != STATE_FORMAT:
        raise ConfigError(
            f"{entry.state.key} has format {state.get('format')}, this program reads {STATE_FORMAT}: "
            "train on with the version that wrote it, or start over under another voice"
        )
    return Snapshot(generator, discriminator, state)


def save(root: Path, voice: str, snapshot: Snapshot, history: tuple[Entry, ...], keep: int) -> tuple[Entry, ...]:
    """Writes a checkpoint and then `latest.json`; returns the new history.

    Args:
        snapshot: its state names `step` and `epoch`.
        history: the entries to keep beside it, without damaged ones.
        keep: how many of the newest by step stay, 0 for all; the files of the others are removed last.
    Raises:
        Transient: the disk is full; what was saved before stays valid.
    """
    step = snapshot.state["step"]
    keys = layout.checkpoint_keys(voice, step)
    try:
        # The state goes first: a G or D file with a state file beside it is ours, see `_remove_unnamed`.
        state = _write(root, keys.state, snapshot.state)
        generator = _write(root, keys.generator, snapshot.generator)
        discriminator = _write(root, keys.discriminator, snapshot.discriminator)
        entry = Entry(
            step=step,
            epoch=snapshot.state["epoch"],
            generator=generator,
            discriminator=discriminator,
            state=state,
        )
        entries = sorted([entry, *(old for old in history if old.step != step)], key=lambda one: -one.step)
        kept = tuple(entries[:keep] if keep else entries)
        History(checkpoints=kept).write(root / layout.latest_key(voice))
        _remove_unnamed(root, voice, {one.step for one in kept})
    except OSError as error:
        raise from_os_error(error, root / layout.logs_dir(voice)) from error
    return kept


def _write(root: Path, key: str, content: dict[str, Any]) -> FileRecord:
    # Through a buffer: torch.save to a path puts that path's name into the bytes.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = buffer.getvalue()
    files.write_bytes(root / key, data, durable=True)
    return FileRecord.of(root, key, files.sha256_bytes(data))


def _remove_unnamed(root: Path, voice: str, steps: set[int]) -> None:
    """Removes what `latest.json` no longer names, and what a killed save left.

    Only steps that have a state file, which nobody but us writes: a user's own G and D files stay. That file goes
    last, so that a kill in between is made up for next time.
    """
    folder = root / layout.logs_dir(voice)
    files.sweep(folder)
    for path in sorted(folder.glob("state_*.pth")):
        digits = path.stem.removeprefix("state_")
        if digits.isdecimal() and int(digits) not in steps:
            for key in layout.checkpoint_keys(voice, int(digits)):
                (root / key).unlink(missing_ok=True)


def check_same_training(saved: dict[str, Any], settings: dict[str, Any], speakers: dict[str, int]) -> None:
    """Raises ConfigError where a checkpoint's state cannot be continued with these settings and speaker ids.

    Args:
        saved: the state file's content.
        settings: `Config.training_settings()` of now.
        speakers: name -> id of now; may hold more speakers than the saved ones.
    """
    then, now = _flat(saved["settings"]), _flat(settings)
    problems = [
        f"{name} was {then.get(name)!r} and is {now.get(name)!r}"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]
    for name, number in saved["speakers"].items():
        if speakers.get(name) != number:
            present = f"is {speakers[name]}" if name in speakers else "is no longer in the config"
            problems.append(f"speaker {name!r} had id {number} and {present}")
    if problems:
        raise ConfigError(
            f"the config does not fit the checkpoint of step {saved['step']}: {'; '.join(problems)}: "
            "set it back to go on, or move the voice's folder under logs/44k away to start over"
        )


def grow_speakers(network: dict[str, Any], fresh: Tensor, index: int) -> None:
    """Gives a loaded G file as many speaker rows as `fresh` has: old rows stay, new ones are taken from `fresh`.

    Args:
        network: content of a G file, changed in place.
        fresh: [S, D] the table of a newly built network.
        index: the table's place among the optimizer's parameters; its moments get rows of zeros.
    Raises:
        ConfigError: the file has more rows than `fresh`.
    """
    old = network["model"][SPEAKER_TABLE]
    if len(old) > len(fresh):
        raise ConfigError(
            f"model.n_speakers is {len(fresh)}, but the checkpoint has {len(old)}: set it to at least that"
        )
    network["model"][SPEAKER_TABLE] = torch.cat([old, fresh[len(old) :]])
    moments = network["optimizer"]["state"].get(index, {})
    for name, value in moments.items():
        if value.shape == old.shape:
            moments[name] = torch.cat([value, value.new_zeros(len(fresh) - len(old), old.shape[1])])


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        inner = _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
        flat.update(inner)
    return flat
