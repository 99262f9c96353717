"""What the tests of the Hub's helpers write into workspaces, and how they compare them."""

import json
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import CommitOperationAdd, HfApi

from svc_core import consent, files
from svc_core.consent import Consent, Use
from svc_core.hub import Repo


class Made(NamedTuple):
    """A workspace's folder, and its only speaker."""

    root: Path
    speaker: str


def agree(root: Path, speaker: str, *uses: Use) -> None:
    given = {"speaker": speaker, "own_voice": True, "given_by": None, "commercial": False, "given_on": "2026-11-22"}
    made = Consent(uses=uses or consent.USUAL_USES, **given)
    consent.write(root, made)
    folder = root / "models" / speaker
    files.write_json(folder / consent.FILE, {"format": 1, "speakers": [made.model_dump(mode="json")]})
    write_sums(folder)


def write_release(root: Path, voice: str, step: int = 6, weights: bytes = b"weights" * 1000) -> None:
    """What a release has, in small; its files are not what their names say."""
    folder = root / "models" / voice
    files.write_bytes(folder / "model.safetensors", weights)
    files.write_bytes(folder / f"G_{step}.pth", weights[::-1])
    files.write_json(folder / "config.json", {"spk": {voice: 0}})
    files.write_json(folder / "facts.json", {"step": step})
    files.write_text(folder / "README.md", "---\ntags:\n- voice-conversion\n---\n\n# A voice\n")
    write_sums(folder)


def write_sums(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir() if path.name != "SHA256SUMS")
    sums = "".join(f"{files.sha256_file(folder / name)}  {name}\n" for name in names)
    files.write_text(folder / "SHA256SUMS", sums)


def content(root: Path, *parts: str) -> dict[str, bytes]:
    """By key, the bytes of every file below the parts that is no record of the Hub and no leftover."""
    found = {}
    for part in parts:
        for path in sorted((root / part).rglob("*")):
            key = path.relative_to(root).as_posix()
            if path.is_file() and "/.tmp-" not in f"/{key}" and "/manifests/hub/" not in key:
                found[key] = path.read_bytes()
    return found


def wavs(root) -> dict[str, bytes]:
    return {key: data for key, data in content(root, "data/44k").items() if key.endswith(".wav")}


def repo_of(server, hub, kind: str, speaker: str):
    repo = Repo(kind, hub.namespace, speaker)
    return server.repo(repo.type, repo.id)


def manifest_of(there) -> dict:
    return json.loads(there.files()["svc-jobs.json"])


def put(hub, repo: Repo, changes: dict[str, bytes]) -> None:
    """What somebody with a token may do to a repository."""
    operations = [CommitOperationAdd(path, data) for path, data in changes.items()]
    HfApi().create_commit(repo.id, operations, commit_message="evil", repo_type=repo.type)
