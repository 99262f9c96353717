"""What a key is, by where it stands: its stage and speaker, whether it is a record, whether we write such names."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from svc_core import files, layout
from svc_core.storage.store import key_problem

STAGES = ("raw", "clips", "sidecars", "records", "checkpoints", "converted", "reports", "release", "other")
"""In the order of the data's way; `records` are the lists, records, ids, configs and consents."""
LEASES = f"{layout.LEASES}/"
PROBES = "data/prep/doctor/"
RAW = f"{layout.RAW}/"
RECORD_PREFIXES = (f"{layout.MANIFESTS}/", "logs/44k/", "reports/", "models/")
"""All records stand below these."""

_RECORDS = re.compile(
    rf"{layout.MANIFESTS}/.+\.json|logs/44k/[^/]+/latest\.json|reports/[^/]+/(evaluation|report)\.json|models/[^/]+/{layout.SUMS_NAME}"
)
_RECEIPT = re.compile(rf"{layout.MANIFESTS}/[^/]+/receipt\.json")
_PLACES: tuple[tuple[str, str], ...] = (
    (r"raw/([^/]+)/.+", "raw"),
    (r"data/44k/([^/]+)/wavs/[^/]+\.wav", "clips"),
    (r"data/44k/([^/]+)/wavs/.+", "sidecars"),
    (rf"{layout.MANIFESTS}/(?:slice|features)/([^/]+)/.+", "records"),
    (rf"{layout.CONSENTS}/([^/]+)\.json", "records"),
    (rf"(?:data/prep/|{layout.SPEAKER_MAP}$|app/configs/)().*", "records"),
    (r"logs/44k/([^/]+)/.+", "checkpoints"),
    (r"converted/([^/]+)/.+", "converted"),
    (r"reports/([^/]+)/.+", "reports"),
    (r"models/([^/]+)/.+", "release"),
)
_CLIP = r"[a-z0-9][a-z0-9-]*-[0-9a-f]{8}-[0-9]+"
_CLIP_FILE = re.compile(rf"data/44k/[^/]+/wavs/({_CLIP})(\.wav(\.(soft\.pt|f0\.npy|uv\.npy|vol\.npy))?|\.spec\.pt)")
_CHECKPOINT = re.compile(r"(logs/44k/[^/]+)/(?:G|D|state)_([0-9]+)\.pth")


class Place(NamedTuple):
    """`speaker` is the voice from training on, and empty for what belongs to the whole workspace."""

    stage: str
    speaker: str


def place_of(key: str) -> Place:
    for pattern, stage in _PLACES:
        if match := re.fullmatch(pattern, key):
            return Place(stage, match[1])
    return Place("other", "")


def is_record(key: str) -> bool:
    """Whether the object says what other objects hold. Temporary files are none."""
    return _RECORDS.fullmatch(key) is not None and not is_temporary(key) and not is_passing(key)


def is_temporary(key: str) -> bool:
    """A file that was never finished, below the places where we write such."""
    return key.rpartition("/")[2].startswith(files.TEMP_PREFIX) and place_of(key).stage not in ("raw", "other")


def is_passing(key: str) -> bool:
    """Leases, probes, receipts and unfinished files: of one store and one moment, not of the workspace."""
    return (
        key.startswith((LEASES, PROBES))
        or _RECEIPT.fullmatch(key) is not None
        or key.rpartition("/")[2].startswith(files.TEMP_PREFIX)
    )


def is_clip_file(key: str) -> bool:
    """A clip or a sidecar by a name that only we give."""
    return _CLIP_FILE.fullmatch(key) is not None


class CheckpointPlace(NamedTuple):
    folder: str
    step: int


def checkpoint_place(key: str) -> CheckpointPlace | None:
    """Folder and step of a checkpoint's file, None for another key."""
    match = _CHECKPOINT.fullmatch(key)
    return CheckpointPlace(match[1], int(match[2])) if match else None


class KeyTrouble(NamedTuple):
    """Why a key cannot stand everywhere, or not beside `other`; `text` ends a sentence that begins with the key."""

    key: str
    text: str
    other: str | None


def key_troubles(keys: Iterable[str]) -> Iterator[KeyTrouble]:
    """Keys that some store or file system cannot hold, or cannot hold together."""
    present, folded = set(keys), dict[str, str]()
    for key in sorted(present):
        if problem := key_problem(key):
            yield KeyTrouble(key, problem, None)
            continue
        other = folded.setdefault(key.casefold(), key)
        if other != key:
            yield KeyTrouble(key, f"differs from {other!r} only in case", other)
        parts = key.split("/")
        for count in range(1, len(parts)):
            folder = "/".join(parts[:count])
            if folder in present:
                yield KeyTrouble(folder, f"is also the folder of {key!r}", key)
