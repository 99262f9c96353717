"""Where files that travel as they are lie in a repository: their folders and names kept, where the Hub takes them."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

FOLDER_FILES = 9_000
"""The Hub likes fewer than 10,000 files in a folder; a fuller one is divided by two hex digits of the names' sha256."""
# What some system or the Hub's own client refuses, and the sign that escapes it.
_REFUSED = re.compile(r'[%\\:*?"<>|\x00-\x1f\x7f]|^ | $|\.$')
_RESERVED = frozenset((".git", ".cache"))


def crowded_folders(paths: Iterable[str]) -> frozenset[str]:
    """Folders that hold more files than the Hub likes."""
    counts = Counter(path.rpartition("/")[0] for path in paths)
    return frozenset(folder for folder, count in counts.items() if count > FOLDER_FILES)


def hub_path(path: str, crowded: frozenset[str]) -> str:
    """`path` with composed letters (NFC), what the Hub refuses as %XX, and crowded folders divided."""
    folder, _, name = path.rpartition("/")
    steps = (
        [*folder.split("/"), hashlib.sha256(name.encode()).hexdigest()[:2]] if folder in crowded else folder.split("/")
    )
    return "/".join(_escaped(step) for step in (*steps, name) if step)


def untaken(path: str, sha256: str, is_taken: Callable[[str], bool]) -> str:
    """`path`, or with the first hex digits of the content before its suffix where another content has that path."""
    if not is_taken(path):
        return path
    pure = PurePosixPath(path)
    return str(pure.with_name(f"{pure.stem}.{sha256[:8]}{pure.suffix}"))


def _escaped(step: str) -> str:
    step = _REFUSED.sub(
        lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), unicodedata.normalize("NFC", step)
    )
    return f"%2E{step[1:]}" if step in _RESERVED else step
