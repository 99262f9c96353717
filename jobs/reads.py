"""What each stage reads, as keys: what is brought in before its door opens."""

from collections.abc import Iterable

from jobs.workspace import Workspace
from svc_core import checkpoint, layout
from svc_core.checkpoint import Entry
from svc_core.config import Config
from svc_core.evaluation.evaluate import Evaluation
from svc_core.filelists import Filelists
from svc_core.report.collect import PITCH_CLIPS_PER_SPEAKER


def model_pins(config: Config) -> list[str]:
    """Which pretrained files the workspace was made with."""
    return [layout.model_pin(name) for name in (config.encoder, config.svc_jobs.features.f0_predictor)]


def with_sidecars(wavs: Iterable[str]) -> list[str]:
    return [key for wav in wavs for key in (wav, *layout.sidecar_keys(wav))]


def training(lists: Filelists) -> list[str]:
    return [layout.TRAIN_LIST, layout.VAL_LIST, *with_sidecars(clip.key for clip in lists.clips)]


def checkpoints(workspace: Workspace, voice: str) -> tuple[Entry, ...]:
    """The kept checkpoints, newest first; brings in their list, not their files."""
    workspace.bring([layout.latest_key(voice)])
    return checkpoint.read_history(workspace.root, voice)


def evaluation(workspace: Workspace, config: Config, lists: Filelists) -> list[str]:
    voice = config.svc_jobs.voice
    return [
        layout.VAL_LIST,
        layout.latest_key(voice),
        layout.evaluation_key(voice),
        *model_pins(config),
        *(entry.generator.key for entry in checkpoints(workspace, voice)),
        *with_sidecars(clip.key for clip in lists.clips if clip.side == "val"),
        *workspace.keys(layout.evaluation_audio_dir(voice)),
    ]


def release(workspace: Workspace, config: Config, lists: Filelists, best: Evaluation) -> list[str]:
    voice = config.svc_jobs.voice
    chosen = [entry for entry in checkpoints(workspace, voice) if entry.step == best.best_step]
    return [
        layout.TRAIN_LIST,
        layout.VAL_LIST,
        layout.latest_key(voice),
        layout.evaluation_key(voice),
        *model_pins(config),
        *(entry.generator.key for entry in chosen),
        *(one.made.key for one in best.audio),
        *_pitch(clip.key for clip in lists.clips if clip.side == "train"),
        *workspace.keys(layout.release_dir(voice)),
    ]


def report(workspace: Workspace, config: Config, lists: Filelists | None) -> list[str]:
    voice = config.svc_jobs.voice
    heard = [clip.key for clip in lists.clips if clip.side == "val"] if lists else []
    shown: list[str] = []
    for speaker in config.spk:
        mine = [clip.key for clip in lists.clips if clip.speaker == speaker] if lists else []
        shown += _pitch(mine[:PITCH_CLIPS_PER_SPEAKER])
    return [
        layout.FILELISTS_PLAN,
        layout.metrics_key(voice),
        layout.evaluation_key(voice),
        f"{layout.release_dir(voice)}/{layout.SUMS_NAME}",
        *shown,
        *heard,
        *(key for speaker in config.spk for key in workspace.keys(layout.slice_manifests_dir(speaker))),
        *workspace.keys(layout.evaluation_audio_dir(voice)),
        *workspace.keys(layout.CONVERT_MANIFESTS),
        *workspace.keys(layout.converted_dir(voice)),
    ]


def _pitch(wavs: Iterable[str]) -> list[str]:
    return [key for wav in wavs for key in (layout.sidecar_keys(wav).f0, layout.sidecar_keys(wav).uv)]
