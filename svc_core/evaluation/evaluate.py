"""Door of the evaluate stage: every kept checkpoint sings the validation clips from their own sidecars, and is scored.

The best is the one with the lowest mel distance. Scores are kept by content, so only new checkpoints cost time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, pairwise, zip_longest
from pathlib import Path

import numpy as np
import torch

from svc_core import checkpoint, files, layout, manifest
from svc_core.batches import Clip, load_clip
from svc_core.checkpoint import Entry
from svc_core.config import HOP_SAMPLES, Config
from svc_core.conversion import output
from svc_core.conversion.options import ConvertOptions
from svc_core.conversion.synthesis import Heard, Manner, sing
from svc_core.conversion.weights import build_generator, read_tensors
from svc_core.device import resolve_device
from svc_core.errors import BadInput, ConfigError, Diverged, SvcError, from_os_error
from svc_core.evaluation.metrics import Metrics, Tally, Track, compare
from svc_core.features.extract import Tools
from svc_core.filelists import parse_list
from svc_core.manifest import FileRecord
from svc_core.model.generator import Generator

# Changes when equal checkpoints and clips would give other scores.
EVALUATION_VERSION = 1
# What the network makes at once: above the default longest clip of 15 s, 1292 frames, so clips are whole as a rule.
WINDOW_FRAMES = 1400
AUDIO_CLIPS = 4
# Scored as it will be used: a conversion's defaults.
_SINGING = ConvertOptions(speaker="each clip's own")

OnClip = Callable[[int, int], None]
"""(clips scored, clips to score in this call), a clip counting once per checkpoint"""


class CheckpointScore(manifest.Record):
    """One checkpoint, by the content of its generator. `metrics` is None where `note` says why it has none."""

    step: int
    epoch: int
    generator_sha256: str
    metrics: Metrics | None
    speakers: dict[str, Metrics]
    note: str | None = None


class MadeClip(manifest.Record):
    """A validation clip as the best checkpoint sings it; `clip` is the key of the recording."""

    clip: str
    speaker: str
    made: FileRecord


class Evaluation(manifest.Record):
    """`evaluation.json`: scores by rising step; `inputs` names the clips, their sidecars and the settings."""

    format: int = 1
    voice: str
    inputs: str
    clips: list[str]
    best_step: int
    checkpoints: list[CheckpointScore]
    audio: list[MadeClip]

    @property
    def best(self) -> CheckpointScore:
        return next(score for score in self.checkpoints if score.step == self.best_step)


@dataclass(frozen=True)
class _Bench:
    """What stays the same from one checkpoint to the next."""

    root: Path
    config: Config
    keys: list[str]
    device: torch.device
    tools: Tools
    on_clip: Callable[[], None]


def evaluate(root: Path, voice: str, config: Config, *, device: str, on_clip: OnClip | None = None) -> Evaluation:
    """Scores the checkpoints of latest.json on the clips of val.txt, and writes the best one's audio for the report.

    What an earlier call scored and nothing has changed since is taken over.

    Raises:
        BadInput: no checkpoint, no validation clip, or a clip or sidecar that cannot be used.
        BadInput, ConfigError, Diverged: no checkpoint can be scored; the class is that of the newest's error.
    """
    place = resolve_device(device)
    entries = sorted(checkpoint.read_history(root, voice), key=lambda entry: entry.step)
    if not entries:
        raise BadInput(f"{root / layout.latest_key(voice)} does not exist: run train first")
    keys = validation_clips(root)
    inputs = _inputs(root, keys, config)
    before = Evaluation.read(root / layout.evaluation_key(voice))
    standing = before if before and before.inputs == inputs else None
    known = _known_scores(root, standing, entries)
    # The predictor that the clips' own pitch comes from; loaded only if there is something to score.
    tools = Tools(config, str(place), root)
    bench = _Bench(root, config, keys, place, tools, _counter(on_clip, (len(entries) - len(known)) * len(keys)))
    outcomes = {entry.step: _attempt(bench, entry) for entry in entries if entry.step not in known}
    scores = [known.get(entry.step) or _score(entry, outcomes[entry.step]) for entry in entries]
    refusals = [outcome for outcome in outcomes.values() if isinstance(outcome, SvcError)]
    if len(refusals) == len(entries):
        raise type(refusals[-1])("; ".join(score.note or "" for score in scores))
    best = choose_best(scores)
    chosen = next(entry for entry in entries if entry.step == best.step)
    audio = _standing_audio(root, standing, best) or _write_audio(bench, voice, chosen)
    result = Evaluation(voice=voice, inputs=inputs, clips=keys, best_step=best.step, checkpoints=scores, audio=audio)
    if result != before:
        _replace(root, voice, before, result)
    return result


def validation_clips(root: Path) -> list[str]:
    """The wav keys of val.txt. Raises BadInput where it is absent, damaged or empty."""
    path = root / layout.VAL_LIST
    if not path.is_file():
        raise BadInput(f"{path} does not exist: run filelists first")
    keys = list(parse_list(path.read_text(encoding="utf-8"), "val", layout.VAL_LIST))
    if not keys:
        raise BadInput(f"{path} names no clip, and nothing else says how good a checkpoint is: run filelists again")
    return keys


def choose_best(scores: list[CheckpointScore]) -> CheckpointScore:
    """Lowest mel distance; of equals, the later step. At least one has metrics."""
    rated = [(score.metrics.mel_distance, -score.step, score) for score in scores if score.metrics]
    return min(rated, key=lambda item: item[:2])[2]


def _inputs(root: Path, keys: list[str], config: Config) -> str:
    """Equal exactly when a checkpoint would get the same scores: clips and sidecars by content, and the settings."""
    hashes = {}
    for key in keys:
        sidecars = layout.sidecar_keys(key)
        for part in (key, sidecars.content, sidecars.f0, sidecars.uv, sidecars.volume):
            try:
                hashes[part] = files.sha256_file(layout.local(root, part))
            except OSError as error:
                raise from_os_error(error, root / part) from error
    return manifest.fingerprint(EVALUATION_VERSION, hashes, config.training_settings(), config.spk)


def _known_scores(root: Path, standing: Evaluation | None, entries: list[Entry]) -> dict[int, CheckpointScore]:
    """By step, what an earlier call scored and is still there."""
    earlier = {one.step: one for one in standing.checkpoints if one.metrics} if standing else {}
    return {
        entry.step: earlier[entry.step]
        for entry in entries
        if entry.step in earlier
        and earlier[entry.step].generator_sha256 == entry.generator.sha256
        and entry.generator.check(root)
    }


def _attempt(bench: _Bench, entry: Entry) -> dict[str, Tally] | SvcError:
    """Sums by speaker, or why this checkpoint has none. Raises BadInput for a clip, which is no checkpoint's fault."""
    try:
        generator = _generator(bench, entry)
    except (BadInput, ConfigError) as error:
        return error
    try:
        return _tally(bench, generator)
    except Diverged as error:
        return error


def _score(entry: Entry, outcome: dict[str, Tally] | SvcError) -> CheckpointScore:
    tallies = {} if isinstance(outcome, SvcError) else outcome
    return CheckpointScore(
        step=entry.step,
        epoch=entry.epoch,
        generator_sha256=entry.generator.sha256,
        metrics=sum(tallies.values(), Tally()).metrics() if tallies else None,
        speakers={speaker: tally.metrics() for speaker, tally in sorted(tallies.items())},
        note=f"checkpoint {entry.step} is not scored: {outcome}" if isinstance(outcome, SvcError) else None,
    )


def _tally(bench: _Bench, generator: Generator) -> dict[str, Tally]:
    """Sums by speaker."""
    tallies: dict[str, Tally] = {}
    for key in bench.keys:
        speaker = layout.parse_wav_key(key).speaker
        tallies[speaker] = tallies.get(speaker, Tally()) + _score_clip(bench, generator, key)
        bench.on_clip()
    return tallies


def _generator(bench: _Bench, entry: Entry) -> Generator:
    """The checkpoint's network. Raises BadInput for a damaged file, ConfigError for one of other settings."""
    if entry.generator.check(bench.root) is None:
        raise BadInput(f"{entry.generator.key} is missing or damaged: restore it")
    path = layout.local(bench.root, entry.generator.key)
    tensors = read_tensors(path)
    rows, speakers = len(tensors.get(checkpoint.SPEAKER_TABLE, ())), bench.config.model.n_speakers
    if rows != speakers:
        raise ConfigError(f"model.n_speakers was {rows} and is {speakers}: train on (--steps), or set it back")
    return build_generator(tensors, bench.config, bench.device, path)


def _score_clip(bench: _Bench, generator: Generator, key: str) -> Tally:
    clip = load_clip(bench.root, key, bench.config)
    tally = Tally()
    for window, made in _sung(bench, generator, clip):
        found = bench.tools.f0.predict(made, window.stop - window.start)
        recording = clip.samples[window.start * HOP_SAMPLES : window.stop * HOP_SAMPLES]
        wanted = Track(clip.f0_hz[window], clip.uv[window] > 0)
        tally += compare(recording, made, wanted, Track(found, found > 0), bench.config.data)
    return tally


def _sung(bench: _Bench, generator: Generator, clip: Clip) -> Iterator[tuple[slice, np.ndarray]]:
    """Equal windows of at most WINDOW_FRAMES frames, and what the network makes of each."""
    frames = len(clip.f0_hz)
    edges = np.linspace(0, frames, -(-frames // WINDOW_FRAMES) + 1).astype(int)
    manner = Manner(clip.speaker_id, _SINGING.noise_scale, _SINGING.seed)
    for start, stop in pairwise(edges):
        window = slice(int(start), int(stop))
        heard = Heard(clip.content[:, window], clip.f0_hz[window], clip.uv[window], clip.volume[window])
        yield window, sing(generator, heard, manner, bench.device)


def _write_audio(bench: _Bench, voice: str, entry: Entry) -> list[MadeClip]:
    """Some clips of each speaker, sung whole by a checkpoint."""
    generator = _generator(bench, entry)
    made = []
    for key in audio_clips(bench.keys):
        parsed = layout.parse_wav_key(key)
        target = layout.evaluation_audio_key(voice, parsed.speaker, parsed.clip)
        clip = load_clip(bench.root, key, bench.config)
        output.write(layout.local(bench.root, target), (audio for _, audio in _sung(bench, generator, clip)))
        made.append(MadeClip(clip=key, speaker=parsed.speaker, made=FileRecord.of(bench.root, target)))
    return made


def audio_clips(keys: list[str]) -> list[str]:
    """Up to AUDIO_CLIPS clips to listen to, from every speaker in turn."""
    by_speaker: dict[str, list[str]] = {}
    for key in keys:
        by_speaker.setdefault(layout.parse_wav_key(key).speaker, []).append(key)
    turns = zip_longest(*by_speaker.values())
    return [key for turn in turns for key in turn if key][:AUDIO_CLIPS]


def _standing_audio(root: Path, standing: Evaluation | None, best: CheckpointScore) -> list[MadeClip] | None:
    """The audio of an earlier call, where it is of this checkpoint and still whole."""
    if standing is None or standing.best.generator_sha256 != best.generator_sha256:
        return None
    whole = [made.model_copy(update={"made": record}) for made in standing.audio if (record := made.made.check(root))]
    return whole if len(whole) == len(standing.audio) else None


def _replace(root: Path, voice: str, before: Evaluation | None, result: Evaluation) -> None:
    """Writes the record, then removes the audio that only the earlier one names."""
    path = root / layout.evaluation_key(voice)
    try:
        result.write(path)
        named = {made.made.key for made in result.audio}
        for made in before.audio if before else []:
            if made.made.key not in named:
                layout.local(root, made.made.key).unlink(missing_ok=True)
    except OSError as error:
        raise from_os_error(error, path) from error


def _counter(on_clip: OnClip | None, total: int) -> Callable[[], None]:
    done = count(1)

    def clip_done() -> None:
        number = next(done)
        if on_clip:
            on_clip(number, total)

    return clip_done
