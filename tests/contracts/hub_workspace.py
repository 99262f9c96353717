"""What the tests of the Hub's helpers write into workspaces, and how they compare them."""

from pathlib import Path
from typing import NamedTuple

from svc_core import consent, files
from svc_core.consent import Consent, Use


class Made(NamedTuple):
    """A workspace's folder, and its only speaker."""

    root: Path
    speaker: str


def agree(root: Path, speaker: str, *uses: Use) -> None:
    given = {"speaker": speaker, "own_voice": True, "given_by": None, "commercial": False, "given_on": "2026-11-22"}
    consent.write(root, Consent(uses=uses or consent.USUAL_USES, **given))


def write_release(root: Path, voice: str, step: int = 6, weights: bytes = b"weights" * 1000) -> None:
    """What a release has, in small; its files are not what their names say."""
    folder = root / "models" / voice
    files.write_bytes(folder / "model.safetensors", weights)
    files.write_bytes(folder / f"G_{step}.pth", weights[::-1])
    files.write_json(folder / "config.json", {"spk": {voice: 0}})
    files.write_json(folder / "facts.json", {"step": step})
    files.write_text(folder / "README.md", "---\ntags:\n- voice-conversion\n---\n\n# A voice\n")
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
