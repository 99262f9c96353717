"""What users uploaded below `raw/<speaker>/`: listed, and opened only for headers. Never written by us."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from svc_core import files, layout, manifest
from svc_core.audio import io
from svc_core.audio.sound import AudioHeader

COMPANION_SUFFIXES = frozenset(
    [
        ".txt",
        ".md",
        ".json",
        ".jsonl",
        ".csv",
        ".tsv",
        ".lab",
        ".textgrid",
        ".srt",
        ".vtt",
        ".lrc",
        ".xml",
        ".html",
        ".htm",
        ".pdf",
        ".doc",
        ".docx",
        ".rtf",
        ".log",
        ".cue",
        ".m3u",
        ".m3u8",
        ".jpg",
        ".jpeg",
        ".png",
        ".gif",
        ".webp",
        ".bmp",
        ".py",
        ".sh",
        ".yaml",
        ".yml",
        ".toml",
        ".ini",
        ".npy",
        ".pt",
        ".sha256",
        ".md5",
    ]
)
COMPANION_NAMES = frozenset(("license", "licence", "copying", "notice", "readme", "authors", "credits"))
"""Files that lie beside recordings in real folders and are no mistake. Anything else that is not audio is reported."""


class RawFile(NamedTuple):
    key: str
    size: int
    """bytes"""
    stamp: str


class RawFiles(Protocol):
    @property
    def name(self) -> str:
        """Where `raw/` lies, for sentences."""

    def speakers(self) -> list[str]:
        """The names of the folders of `raw/`, sorted, without hidden ones and those that systems leave."""

    def files(self, speaker: str) -> Iterator[RawFile]:
        """Every file below the speaker's folder, in the order of the keys; links to folders are not followed."""

    def overlooked(self, speakers: Sequence[str]) -> list[str]:
        """A sentence for each thing of `raw/` that may hold recordings and that neither of the two above gives."""

    def probe(self, key: str) -> AudioHeader:
        """Raises BadInput where it is no sound file (io.probe)."""

    def sha256(self, key: str) -> str: ...


class RawFolder:
    """`raw/` of a local workspace."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.name = str(root)

    def speakers(self) -> list[str]:
        return [entry.name for entry in self._entries() if entry.is_dir() and not is_junk(entry.name)]

    def files(self, speaker: str) -> Iterator[RawFile]:
        for place, folders, names in os.walk(self._root / layout.raw_dir(speaker)):
            folders[:] = sorted(name for name in folders if not is_junk(name))
            for name in sorted(names):
                path = Path(place) / name
                try:
                    status = path.stat()
                except OSError:  # a link to nothing: listed, so that it is said what is wrong with it
                    status = path.lstat()
                key = path.relative_to(self._root).as_posix()
                yield RawFile(key, status.st_size, manifest.stamp_of(status))

    def overlooked(self, speakers: Sequence[str]) -> list[str]:
        loose = [f"{layout.RAW}/{entry.name}" for entry in self._entries() if not entry.is_dir()]
        return beside(loose) + [
            f"{key} is a link to a folder and is not followed: copy it"
            for speaker in speakers
            for key in self._linked_folders(speaker)
        ]

    def _entries(self) -> list[os.DirEntry[str]]:
        raw = self._root / layout.RAW
        return sorted(os.scandir(raw), key=lambda entry: entry.name) if raw.is_dir() else []

    def _linked_folders(self, speaker: str) -> Iterator[str]:
        for place, folders, _ in os.walk(self._root / layout.raw_dir(speaker)):
            folders[:] = sorted(name for name in folders if not is_junk(name))
            linked = [path for name in folders if (path := Path(place) / name).is_symlink()]
            yield from (path.relative_to(self._root).as_posix() for path in linked)

    def probe(self, key: str) -> AudioHeader:
        return io.probe(self._root / key)

    def sha256(self, key: str) -> str:
        return files.sha256_file(self._root / key)


def is_junk(name: str) -> bool:
    """Hidden, or left by a system."""
    return name.startswith(".") or name.lower() in layout.JUNK_NAMES


def beside(keys: Sequence[str]) -> list[str]:
    """A sentence for each file that lies in `raw/` itself and may be a recording."""
    names = [key for key in keys if not is_junk(key.rpartition("/")[2]) and not is_companion(key)]
    return [f"{key} lies beside the speakers: move it into {layout.RAW}/<speaker>/" for key in names]


def is_companion(key: str) -> bool:
    """Whether a file lies beside recordings and is none, by its name."""
    name = PurePosixPath(key.lower())
    return name.suffix in COMPANION_SUFFIXES or name.name in COMPANION_NAMES
