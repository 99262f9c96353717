"""Door of the convert stage: any recording -> the same in another voice, exactly as long, in bounded memory."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from svc_core import files, manifest
from svc_core.audio import io
from svc_core.audio.resample import resample
from svc_core.audio.slicer import Span
from svc_core.config import RATE_HZ
from svc_core.conversion import output as outputs
from svc_core.conversion.assembly import assemble, padded
from svc_core.conversion.options import ConvertOptions
from svc_core.conversion.pieces import Bounds, Piece, cut
from svc_core.conversion.source import Windows, find_spans
from svc_core.conversion.synthesis import Manner, convert_piece
from svc_core.conversion.transpose import median_f0_hz, semitones
from svc_core.conversion.voice import VoiceModel
from svc_core.errors import ConfigError

# Changes when equal inputs and options would give another output.
CONVERSION_VERSION = 1

Progress = Callable[[float, float], None]
"""(seconds of the source done, seconds in all)"""


class Conversion(manifest.Record):
    """One converted file. `source` and `output` are file names."""

    source: str
    source_sha256: str
    output: str
    output_sha256: str
    speaker: str
    options: ConvertOptions
    transposed_semitones: float
    source_rate_hz: int
    source_median_f0_hz: float | None
    """Only measured for automatic transposition."""
    samples: int
    loud_s: float
    clipped_samples: int
    notes: list[str]


@dataclass(frozen=True)
class Outline:
    """What the first read of a source tells: its rate, length, and which parts are loud."""

    rate_hz: int
    samples: int
    spans: list[Span]

    @property
    def loud_samples(self) -> int:
        return sum(span.end - span.start for span in self.spans if not span.is_silence)


@dataclass(frozen=True)
class Transposition:
    semitones: float
    source_median_f0_hz: float | None = None
    note: str | None = None


@dataclass(frozen=True)
class Plan:
    """What is settled before the network is asked for the first time."""

    outline: Outline
    manner: Manner
    transposition: Transposition


def convert(
    source: Path, output: Path, voice: VoiceModel, options: ConvertOptions, on_progress: Progress | None = None
) -> Conversion:
    """Converts `source` (any format and rate that audio.io reads) into `output` (.wav or .flac, 44.1 kHz mono).

    The output has ceil(N * 44100 / rate) samples. Memory depends on `options.clip_s`, not on the length.

    Raises:
        BadInput: the source is missing, empty, damaged, or no audio.
        ConfigError: unknown speaker, an output that cannot be written, `auto` without a recorded pitch.
        Transient: the disk is full.
    """
    speaker = voice.speaker_name(options.speaker)
    rate_hz = io.probe(source).rate_hz
    outputs.check_output(source, output)
    outline = survey(source, rate_hz, options.slice_db)
    transposition = choose_transposition(source, outline, voice, speaker, options)
    manner = Manner(voice.speakers[speaker], options.noise_scale, options.seed, options.predict_f0)
    plan = Plan(outline, manner, transposition)
    written = outputs.write(output, _blocks(source, voice, options, plan, on_progress))
    return Conversion(
        source=source.name,
        source_sha256=files.sha256_file(source),
        output=output.name,
        output_sha256=written.sha256,
        speaker=speaker,
        options=options,
        transposed_semitones=transposition.semitones,
        source_rate_hz=rate_hz,
        source_median_f0_hz=transposition.source_median_f0_hz,
        samples=written.samples,
        loud_s=round(outline.loud_samples / rate_hz, 3),
        clipped_samples=written.clipped_samples,
        notes=_notes(outline, transposition, written.clipped_samples, options),
    )


def _blocks(
    source: Path, voice: VoiceModel, options: ConvertOptions, plan: Plan, on_progress: Progress | None
) -> Iterator[np.ndarray]:
    """The second read: the whole output, block by block."""
    outline, rate_hz = plan.outline, plan.outline.rate_hz

    def synthesise(audio: np.ndarray) -> np.ndarray:
        at_44k = resample(audio, rate_hz, RATE_HZ)
        return convert_piece(voice, at_44k, plan.manner, plan.transposition.semitones, options.envelope)

    pieces = cut(outline.spans, Bounds.of(rate_hz, options.clip_s, options.cross_fade_s))
    with closing(Windows(source)) as windows:
        render = padded(windows.read, rate_hz, options.pad_s, synthesise)
        yield from assemble(_reported(pieces, outline, on_progress), rate_hz, render, options.fade_share)


def survey(source: Path, rate_hz: int, slice_db: float) -> Outline:
    """The first read. Raises BadInput where the source is empty or damaged."""
    spans = find_spans(source, rate_hz, slice_db)
    return Outline(rate_hz, spans[-1].end, spans)


def choose_transposition(
    source: Path, outline: Outline, voice: VoiceModel, speaker: str, options: ConvertOptions
) -> Transposition:
    """The given semitones, or for `auto` the whole ones from the source's median pitch to the speaker's.

    Raises ConfigError where the speaker's is not recorded.
    """
    if options.transpose_semitones != "auto":
        return Transposition(options.transpose_semitones)
    target_hz = voice.median_f0_hz.get(speaker)
    if target_hz is None:
        raise ConfigError(
            f"transpose auto needs the pitch of {speaker!r}, which the model does not state: give a number of semitones"
        )
    pieces = cut(outline.spans, Bounds.of(outline.rate_hz, options.clip_s, 0))
    with closing(Windows(source)) as windows:
        found_hz = median_f0_hz(pieces, windows.read, outline.rate_hz, voice.tools.f0)
    if found_hz is None:
        return Transposition(0, None, "nothing in the source is voiced: not transposed")
    return Transposition(semitones(found_hz, target_hz), round(found_hz, 2))


def _reported(pieces: Iterable[Piece], outline: Outline, on_progress: Progress | None) -> Iterator[Piece]:
    for piece in pieces:
        yield piece
        # Reached when the next piece is asked for: this one is done.
        if on_progress:
            on_progress(piece.end_samples / outline.rate_hz, outline.samples / outline.rate_hz)


def _notes(outline: Outline, transposition: Transposition, clipped_samples: int, options: ConvertOptions) -> list[str]:
    notes = [transposition.note] if transposition.note else []
    if not outline.loud_samples:
        notes.append(f"nothing in the source is louder than {options.slice_db:g} dB: the output is silence")
    if clipped_samples:
        notes.append(f"{clipped_samples} samples were above full scale and are clipped")
    return notes
