"""A workspace in the bucket against one that was made here."""

import hashlib
from pathlib import Path

from bucket import Bucket

SAME_BYTES = ("data/44k/", "data/prep/filelists/", "app/", "models/")
OF_THE_RUN = ("data/prep/leases/", "data/prep/manifests/receipts/", "raw/")


def made_here(root: Path, voice: str) -> dict[str, str]:
    """sha256 by key of what must be equal."""
    return {
        key: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and comparable(key := path.relative_to(root).as_posix(), voice)
    }


def made_there(bucket: Bucket, prefix: str, voice: str) -> dict[str, str]:
    keys = [key for key in bucket.entries(prefix) if comparable(key, voice)]
    return {key: hashlib.sha256(bucket.read(f"{prefix}/{key}")).hexdigest() for key in keys}


def comparable(key: str, voice: str) -> bool:
    """Data, lists, config, release, and the weights of checkpoints. Logs, reports and records know when and where."""
    return key.startswith(SAME_BYTES) or (
        key.startswith(f"logs/44k/{voice}/") and key.endswith(".pth") and "state_" not in key
    )


def keys_here(root: Path) -> set[str]:
    return {shape(path.relative_to(root).as_posix()) for path in root.rglob("*") if path.is_file()} - {""}


def keys_there(bucket: Bucket, prefix: str) -> set[str]:
    return {shape(key) for key in bucket.entries(prefix)} - {""}


def shape(key: str) -> str:
    """The key, without what a run adds to it: '' for leases and receipts, one name for all TensorBoard files."""
    if key.startswith(OF_THE_RUN):
        return ""
    folder, _, name = key.rpartition("/")
    return f"{folder}/events" if name.startswith("events.out") else key
