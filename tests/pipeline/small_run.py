"""A whole run that takes seconds: its settings, its recordings, and how two workspaces are compared."""

import hashlib
from pathlib import Path

import soundfile

from jobs.demo import RATE_HZ, speak

SETTINGS = ["--preset", "toy", "--encoder", "mel-bands", "--f0", "dio", "--steps", "6", "--batch-size", "2",
            "--checkpoint-every", "3", "--log-every", "1", "--device", "cpu"]  # fmt: skip
STAGES = ("prepare", "slice", "filelists", "features", "train", "evaluate", "publish", "convert", "report")
DATA = ("data/44k", "data/prep/filelists", "app", "logs/44k/*/[GD]_*.pth", "models")


def write_recordings(root: Path, count: int = 3) -> None:
    folder = root / "raw" / "alice"
    folder.mkdir(parents=True)
    for number in range(count):
        soundfile.write(folder / f"take {number}.flac", speak(number, 12.0), RATE_HZ)


def content(root: Path, *parts: str) -> dict[str, str]:
    """sha256 by key of every file below the parts."""
    found = {}
    for part in parts or DATA:
        for place in sorted(root.glob(part)):
            for path in [place] if place.is_file() else sorted(place.rglob("*")):
                if path.is_file():
                    found[path.relative_to(root).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
