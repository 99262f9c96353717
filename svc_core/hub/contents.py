"""`svc-jobs.json`: what a repository of ours holds. A reader believes this file and nothing else.

It stands in the same commit as the last file that it names, so whoever sees it sees all of them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from svc_core import consent, files, layout, manifest
from svc_core.errors import BadInput, ConfigError, Damaged
from svc_core.hub.repos import Kind, Repo

FILE = "svc-jobs.json"
RECORDS = "records.jsonl"
CARD = "README.md"
FORMAT = 1
AUDIO, TABLES, SHARDS, PINS, EXAMPLES = "audio", "data", "shards", "models", "examples"
CONSENT = consent.FILE
FOLDERS = (AUDIO, TABLES, SHARDS, PINS, EXAMPLES)


class HubFile(manifest.Record):
    """One file of the repository."""

    path: str
    sha256: str
    size: int
    """bytes"""


class Member(manifest.Record):
    """One file of the workspace, and the file of the repository that it lies in."""

    key: str
    sha256: str
    size: int
    """bytes"""
    path: str


class Entry(manifest.Record):
    """What travels as a whole: one raw file, a recording's clips, a clip's sidecars, a release.

    `inputs` says what it was made from and with which settings, as the stage's own record does; `record` is the sha256
    of that record without its stamps.
    """

    key: str
    members: tuple[Member, ...] = ()
    inputs: dict[str, str] = Field(default_factory=dict)
    record: str | None = None

    def same(self, other: "Entry | None") -> bool:
        """Whether both hold the same, wherever it lies."""
        return other is not None and self.identity() == other.identity()

    def identity(self) -> tuple[Any, ...]:
        return self.record, self.inputs, sorted((one.key, one.sha256) for one in self.members)


class Contents(manifest.Record):
    format: int = FORMAT
    kind: Kind
    name: str
    """the speaker, or the voice of a model"""
    files: tuple[HubFile, ...] = ()
    entries: tuple[Entry, ...] = ()

    @property
    def by_key(self) -> dict[str, Entry]:
        return {entry.key: entry for entry in self.entries}

    @property
    def by_path(self) -> dict[str, HubFile]:
        return {one.path: one for one in self.files}

    @property
    def size(self) -> int:
        return sum(one.size for one in self.files)

    def to_bytes(self) -> bytes:
        """One entry a line, so that a person can read it and git can compare it."""
        head = self.model_dump(mode="json", exclude={"files", "entries"})
        lines = [f'"{name}": {json.dumps(value, ensure_ascii=False)}' for name, value in head.items()]
        lines += [f'"{name}": [{_lines(getattr(self, name))}]' for name in ("files", "entries")]
        return ("{\n" + ",\n".join(lines) + "\n}\n").encode("utf-8")


def parse(data: bytes, repo: Repo) -> Contents:
    """Raises BadInput for what is no manifest of ours, ConfigError where it is another speaker's or newer than we."""
    try:
        value = json.loads(data)
        if isinstance(value, dict) and isinstance(value.get("format"), int) and value["format"] > FORMAT:
            raise ConfigError(f"{repo.id} was written by a newer svc-jobs (format {value['format']}): update svc-jobs")
        found = Contents.model_validate(value)
    except (ValueError, ValidationError, RecursionError):
        raise BadInput(f"{repo.id}/{FILE} is damaged: push again into a new repository, or restore it") from None
    if (found.kind, found.name) != (repo.kind, repo.name):
        raise ConfigError(
            f"{repo.id} holds {found.kind} of {found.name!r}, not {repo.kind} of {repo.name!r}: rename one"
        )
    check(found, repo)
    return found


def check(found: Contents, repo: Repo) -> None:
    """Raises Damaged where an entry names a file that is not listed, a place outside of its speaker's, or another's."""
    paths, seen = found.by_path, set[str]()
    for entry in found.entries:
        for member in entry.members:
            if member.path not in paths or member.key in seen or not belongs(repo, entry.key, member.key):
                raise Damaged(f"{repo.id}/{FILE} names {member.key!r}, which cannot be part of it: do not use it")
            seen.add(member.key)


def belongs(repo: Repo, entry: str, key: str) -> bool:
    """Whether `key` is one that an entry of this repository may write."""
    try:
        layout.local(Path(), key)
        if repo.kind == "sliced":
            return layout.parse_wav_key(key).speaker == repo.name
        if repo.kind == "features" and layout.is_model_pin(key):
            return key == entry
        if repo.kind == "features":
            return layout.parse_wav_key(entry).speaker == repo.name and key in layout.sidecar_keys(entry)
    except BadInput:
        return False
    if repo.kind == "raw":
        mine = key.startswith(f"{layout.raw_dir(repo.name)}/") or key == layout.consent_key(repo.name)
        return mine and key == entry
    return entry == layout.release_dir(repo.name) and key.startswith(f"{entry}/")


def record_line(value: Any) -> str:
    """A stage's record without its stamps, which mean nothing elsewhere, on one line."""
    return json.dumps(manifest.restamped(value, lambda _: ""), ensure_ascii=False, sort_keys=True)


def record_digest(line: str) -> str:
    return files.sha256_bytes(line.encode("utf-8"))


def records_bytes(lines: Mapping[str, str]) -> bytes:
    """`records.jsonl`: by entry's key, its record."""
    rows = (f'{{"key": {json.dumps(key, ensure_ascii=False)}, "record": {lines[key]}}}\n' for key in sorted(lines))
    return "".join(rows).encode("utf-8")


def parse_records(data: bytes, entries: Iterable[Entry], repo: Repo) -> dict[str, str]:
    """By entry's key, its record as `record_line` writes it. Raises Damaged where one is absent or another."""
    lines = dict(_rows(data, repo))
    for entry in entries:
        if entry.record is not None and record_digest(lines.get(entry.key, "")) != entry.record:
            raise Damaged(f"{repo.id}/{RECORDS} holds no or another record of {entry.key!r}: push it again")
    return lines


def _rows(data: bytes, repo: Repo) -> Iterator[tuple[str, str]]:
    try:
        for line in data.decode("utf-8").split("\n")[:-1]:
            row = json.loads(line)
            yield row["key"], record_line(row["record"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Damaged(f"{repo.id}/{RECORDS} is no list of records: push it again") from None


def _lines(records: Iterable[manifest.Record]) -> str:
    return ",".join(f"\n  {json.dumps(one.model_dump(mode='json'), ensure_ascii=False)}" for one in records) + "\n"
