"""The workspace: the only module that builds or parses a key.

A key is a POSIX path relative to the workspace, the same in a folder and in a bucket. See docs/workspace.md for the
tree with its formats.
"""

import hashlib
import re
import unicodedata
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from svc_core import files
from svc_core.errors import BadInput, ConfigError

RAW = "raw"
DATA = "data/44k"
SPEAKER_MAP = "data/44k/spk_map.json"
CONFIGS = "app/configs/44k"
TRAIN_LIST = "data/prep/filelists/train.txt"
VAL_LIST = "data/prep/filelists/val.txt"
MANIFESTS = "data/prep/manifests"
CONSENTS = "consents"
PREPARE_PLAN = "data/prep/manifests/prepare/plan.json"
LEASES = "data/prep/leases"
CONVERT_MANIFESTS = "data/prep/manifests/convert"
FILELISTS_PLAN = "data/prep/manifests/filelists/plan.json"
JUNK_NAMES = frozenset(("thumbs.db", "desktop.ini", "__macosx"))
"""Left by systems in users' folders, in lower case."""
HUB_SCRATCH = f"{files.TEMP_PREFIX}hub-"
"""How folders begin in which a push to the Hub, or a pull, keeps its files on their way."""
SUMS_NAME = "SHA256SUMS"
"""The list of a release's files, which is written last."""
_CONFIG_PREFIX, _CONFIG_SUFFIX = "config_colab_", ".json"
_SPEAKER_BYTES = 63
_SLUG_CHARS = 40


class SidecarKeys(NamedTuple):
    """Keys of the five files beside one wav."""

    content: str
    f0: str
    uv: str
    spec: str
    volume: str


class CheckpointKeys(NamedTuple):
    """Keys of the three files of one checkpoint."""

    generator: str
    discriminator: str
    state: str


def speaker_problem(name: str) -> str | None:
    """Why `name` cannot be a speaker's folder name, or None if it can (ARCHITECTURE §9)."""
    if not name or name.startswith("."):
        return "is empty or starts with a dot"
    if any(char in "/\\|" for char in name) or ".." in name:
        return "holds '/', '\\', '|' or '..'"
    if any(unicodedata.category(char).startswith("C") for char in name):
        return "holds a control character"
    if name != unicodedata.normalize("NFC", name):
        return "is not in Unicode's composed form (NFC): rename the folder, its letters are stored in pieces"
    if len(name.encode("utf-8")) > _SPEAKER_BYTES:
        return f"is longer than {_SPEAKER_BYTES} bytes"
    return None


def check_speaker(name: str) -> str:
    """`name` itself. Raises ConfigError with the reason where it cannot be a speaker."""
    if problem := speaker_problem(name):
        raise ConfigError(f"speaker name {name!r} {problem}: choose another name")
    return name


def slug(text: str) -> str:
    """Lower-case ASCII letters, digits and single dashes; 'clip' where nothing is left of `text`."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")[:_SLUG_CHARS].strip("-") or "clip"


def speaker_slug(speaker: str) -> str:
    """A slug that no other speaker has: 8 hex digits of the name's sha256 follow where the slug is not the name."""
    plain = slug(speaker)
    return plain if plain == speaker.lower() else f"{plain}-{hashlib.sha256(speaker.encode()).hexdigest()[:8]}"


def clip_name(recording_key: str, recording_sha256: str, start_ms: int) -> str:
    """`<slug of the file's stem>-<8 hex of its content>-<start in ms>`, without a suffix."""
    return f"{slug(PurePosixPath(recording_key).stem)}-{recording_sha256[:8]}-{start_ms}"


def is_clip_name(name: str) -> bool:
    """Whether a clip is named as `clip_name` does."""
    return re.fullmatch(r"[a-z0-9][a-z0-9-]*-[0-9a-f]{8}-[0-9]+", name) is not None


def raw_dir(speaker: str) -> str:
    return f"{RAW}/{check_speaker(speaker)}"


def wavs_dir(speaker: str) -> str:
    return f"{DATA}/{check_speaker(speaker)}/wavs"


def wav_key(speaker: str, clip: str) -> str:
    return f"{wavs_dir(speaker)}/{clip}.wav"


class ParsedWav(NamedTuple):
    speaker: str
    clip: str


def parse_wav_key(key: str) -> ParsedWav:
    """Speaker and clip of `data/44k/<speaker>/wavs/<clip>.wav`. Raises BadInput for any other text."""
    match = re.fullmatch(rf"{DATA}/([^/]+)/wavs/([^/]+)\.wav", key)
    if not match or speaker_problem(match[1]) or match[2].startswith("."):
        raise BadInput(
            f"{key!r} is not the key of a clip ({DATA}/<speaker>/wavs/<clip>.wav): correct or remove it, then run "
            "filelists again"
        )
    return ParsedWav(match[1], match[2])


def sidecar_keys(wav: str) -> SidecarKeys:
    stem = wav.removesuffix(".wav")
    return SidecarKeys(f"{wav}.soft.pt", f"{wav}.f0.npy", f"{wav}.uv.npy", f"{stem}.spec.pt", f"{wav}.vol.npy")


def recording_speaker(key: str) -> str:
    """The speaker of a raw recording, which may lie in folders below the speaker's own."""
    parts = PurePosixPath(key).parts
    if len(parts) < 3 or parts[0] != RAW:
        raise BadInput(
            f"{key!r} is not the key of a recording ({RAW}/<speaker>/<file>): put it into a speaker's folder"
        )
    return parts[1]


def slice_manifest(recording_key: str) -> str:
    """One record per recording, named by a hash of its key, so that odd names need no escaping."""
    speaker = recording_speaker(recording_key)
    digest = hashlib.sha256(recording_key.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return f"{slice_manifests_dir(speaker)}/{slug(PurePosixPath(recording_key).stem)}-{digest}.json"


def slice_manifests_dir(speaker: str) -> str:
    return f"{MANIFESTS}/slice/{check_speaker(speaker)}"


def features_manifest(wav: str) -> str:
    parsed = parse_wav_key(wav)
    return f"{MANIFESTS}/features/{parsed.speaker}/{parsed.clip}.json"


def features_manifests_dir(speaker: str) -> str:
    return f"{MANIFESTS}/features/{check_speaker(speaker)}"


def model_pin(name: str) -> str:
    """Which file of a pretrained model (encoder or f0 predictor) this workspace was made with."""
    return f"{MANIFESTS}/models/{name}.json"


def is_model_pin(key: str) -> bool:
    return re.fullmatch(rf"{MANIFESTS}/models/[A-Za-z0-9][A-Za-z0-9._-]*\.json", key) is not None


def model_pins_dir() -> str:
    return f"{MANIFESTS}/models"


def hub_record(kind: str, name: str) -> str:
    """Which commits of a Hub repository this workspace was filled from and sent to."""
    return f"{MANIFESTS}/hub/{kind}-{check_speaker(name)}.json"


def consent_key(speaker: str) -> str:
    """Who agreed that a speaker's voice is used, and for what."""
    return f"{CONSENTS}/{check_speaker(speaker)}.json"


def config_key(voice: str) -> str:
    return f"{CONFIGS}/{_CONFIG_PREFIX}{check_speaker(voice)}{_CONFIG_SUFFIX}"


def voice_of_config(name: str) -> str | None:
    """The voice of a file name in the config folder, None where it is no config of ours."""
    if name.startswith(_CONFIG_PREFIX) and name.endswith(_CONFIG_SUFFIX):
        return name.removeprefix(_CONFIG_PREFIX).removesuffix(_CONFIG_SUFFIX)
    return None


def logs_dir(voice: str) -> str:
    return f"logs/44k/{check_speaker(voice)}"


def checkpoint_keys(voice: str, step: int) -> CheckpointKeys:
    base = logs_dir(voice)
    return CheckpointKeys(f"{base}/G_{step}.pth", f"{base}/D_{step}.pth", f"{base}/state_{step}.pth")


def state_step(key: str) -> int | None:
    """The step of the key of a checkpoint's state file, which nobody but us writes; None for any other key."""
    match = re.fullmatch(r"logs/44k/[^/]+/state_([0-9]+)\.pth", key)
    return int(match[1]) if match else None


def latest_key(voice: str) -> str:
    return f"{logs_dir(voice)}/latest.json"


def metrics_key(voice: str) -> str:
    return f"{logs_dir(voice)}/metrics.jsonl"


def converted_dir(voice: str) -> str:
    return f"converted/{check_speaker(voice)}"


def converted_key(voice: str, source_name: str, source_sha256: str, speaker: str, variant: str = "") -> str:
    """`<slug of the source>-<8 hex of its content>-<slug of the speaker>[-<variant>].wav`, see `speaker_slug`"""
    stem = slug(PurePosixPath(source_name).stem)
    end = f"-{variant}" if variant else ""
    return f"{converted_dir(voice)}/{stem}-{source_sha256[:8]}-{speaker_slug(speaker)}{end}.wav"


def receipt_key(stage: str) -> str:
    """In a bucket: that a whole stage is done, and with what."""
    return f"{MANIFESTS}/receipts/{stage}.json"


def lease_key(stage: str, shard: str = "") -> str:
    """In a bucket: who is at work on a stage, or on a shard of it."""
    return f"{LEASES}/{stage}{f'-{shard}' if shard else ''}.json"


def convert_manifest(converted: str) -> str:
    return f"{CONVERT_MANIFESTS}/{PurePosixPath(converted).stem}.json"


def reports_dir(voice: str) -> str:
    return f"reports/{check_speaker(voice)}"


def report_key(voice: str) -> str:
    return f"{reports_dir(voice)}/index.html"


def evaluation_key(voice: str) -> str:
    return f"{reports_dir(voice)}/evaluation.json"


def evaluation_audio_dir(voice: str) -> str:
    return f"{reports_dir(voice)}/audio"


def evaluation_audio_key(voice: str, speaker: str, clip: str) -> str:
    """A validation clip as the best checkpoint sings it."""
    return f"{evaluation_audio_dir(voice)}/{slug(speaker)}-{clip}.flac"


def release_dir(voice: str) -> str:
    return f"models/{check_speaker(voice)}"


def local(root: Path, key: str) -> Path:
    """The path of `key` under `root`. Raises BadInput for a key that would leave the workspace."""
    pure = PurePosixPath(key)
    if pure.is_absolute() or not pure.parts or any(part in ("..", "") or "\\" in part for part in pure.parts):
        raise BadInput(f"{key!r} is not a key of a workspace: it must be relative and free of '..'")
    return root / pure
