"""The door of the slice stage: one raw recording in, its clips handed to the workspace and a record of them out.

The recording is streamed twice: once to measure it, once to cut it. Memory holds one clip, so it is bounded by
`slice.max_length_ms`; with no maximum, by the longest passage without a silence.
"""

import math
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from svc_core import layout, manifest
from svc_core.audio import io, slicer, trim
from svc_core.audio.loudness import Gain, Loudness, LoudnessMeter, gain_db
from svc_core.audio.resample import resample
from svc_core.config import RATE_HZ, LoudnessBlock, SliceBlock
from svc_core.errors import BadInput
from svc_core.local import LocalFiles
from svc_core.manifest import FileRecord, Record

VERSION = 1
"""Raised whenever the same settings would give other clips, so that old records are no longer valid."""


class ClipRecord(Record):
    """One clip: its wav, the passage of the recording it was cut from, and the part of that left after trimming."""

    file: FileRecord
    start_ms: int
    end_ms: int
    first_sample: int
    """At the recording's own rate; the clip holds its samples [first_sample, end_sample)."""
    end_sample: int
    samples: int
    """T of the wav, at 44.1 kHz."""
    peak_dbfs: float
    rms_dbfs: float


class Dropped(Record):
    """A passage that the slicer kept and that gave no clip."""

    start_ms: int
    end_ms: int
    reason: str


class RecordingRecord(Record):
    """What became of one recording. `error` is set for a poison file, which has no clips.

    Facts that were not learnt are None; `source.size` is -1 where the file could not even be read, so that the record
    is never taken for valid.
    """

    source: FileRecord
    speaker: str
    settings: str
    container: str | None = None
    rate_hz: int | None = None
    channels: int | None = None
    duration_s: float | None = None
    loudness_lufs: float | None = None
    true_peak_dbtp: float | None = None
    gain_db: float | None = None
    notes: tuple[str, ...] = ()
    clips: tuple[ClipRecord, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class _Measured:
    """What the first pass learnt."""

    samples: int
    envelope: np.ndarray
    loudness: Loudness


@dataclass(frozen=True)
class _Plan:
    """How the second pass cuts and finishes this recording."""

    rate_hz: int
    gain: Gain
    slicing: SliceBlock
    to_full_scale: bool

    def ms(self, sample: int) -> int:
        return sample * 1000 // self.rate_hz


@dataclass(frozen=True)
class _Finished:
    """Samples [T] at 44.1 kHz, and which part of the passage they come from."""

    samples: np.ndarray
    part: slice


def settings_fingerprint(slicing: SliceBlock, loudness: LoudnessBlock) -> str:
    """Equal exactly where the same recording gives the same clips."""
    return manifest.fingerprint("slice", VERSION, slicing, loudness)


class ClipSink(Protocol):
    """Where the clips of a recording go, one at a time."""

    def write(self, key: str, data: bytes) -> FileRecord:
        """Takes the wav with this key."""

    def drop(self, keys: Sequence[str]) -> None:
        """Takes clips back."""


def prepare_recording(
    root: Path, recording_key: str, slicing: SliceBlock, loudness: LoudnessBlock, sink: ClipSink | None = None
) -> RecordingRecord:
    """Cuts `recording_key` of `root` into clips and returns their record, which the caller stores.

    The clips are written under `root`, or go to `sink` where one is given.

    Bad data does not raise: the record's `error` then holds one sentence, and no clip of this call is left behind.
    Raises OSError where a clip cannot be written, and BadInput for a key that cannot be a recording's.
    """
    path = layout.local(root, recording_key)
    record = RecordingRecord(
        source=FileRecord(key=recording_key, sha256="", size=-1, stamp="unread"),
        speaker=layout.recording_speaker(recording_key),
        settings=settings_fingerprint(slicing, loudness),
    )
    try:
        record = _with(record, source=_source(root, recording_key))
        header = io.probe(path)
        record = _with(record, container=header.container, rate_hz=header.rate_hz, channels=header.channels)
        grid = slicer.grid(slicing, header.rate_hz)
        measured = _measure(path, header.rate_hz, grid)
        plan = _Plan(header.rate_hz, gain_db(measured.loudness, loudness), slicing, loudness.mode == "peak")
        record = _with(record, **_facts(measured, plan))
        return _write_clips(root, sink or LocalFiles(root), record, _spans(measured, plan, grid), plan)
    except BadInput as error:
        # The key instead of the path: a record must not depend on where the workspace lies.
        return _with(record, error=str(error).replace(str(path), recording_key))


def _with(record: RecordingRecord, **fields: Any) -> RecordingRecord:
    return record.model_copy(update=fields)


def _source(root: Path, key: str) -> FileRecord:
    try:
        # Reading a pipe would wait for ever.
        if stat.S_ISREG((root / key).stat().st_mode):
            return FileRecord.of(root, key)
    except OSError as error:
        raise BadInput(f"{key} cannot be read ({error.strerror}): make it readable, or remove it") from None
    raise BadInput(f"{key} is not a regular file: upload it again, or remove it")


def _measure(path: Path, rate_hz: int, grid: slicer.Grid) -> _Measured:
    envelope, meter, samples = slicer.Envelope(grid), LoudnessMeter(rate_hz), 0
    for block in io.stream(path):
        envelope.add(block)
        meter.add(block)
        samples += len(block)
    return _Measured(samples, envelope.result(), meter.result())


def _facts(measured: _Measured, plan: _Plan) -> dict[str, Any]:
    lufs, dbtp = measured.loudness.integrated_lufs, measured.loudness.true_peak_dbtp
    return {
        "duration_s": round(measured.samples / plan.rate_hz, 3),
        "loudness_lufs": None if lufs is None else round(lufs, 2),
        "true_peak_dbtp": None if dbtp is None else round(dbtp, 2),
        "gain_db": plan.gain.db,
        "notes": (plan.gain.note,) if plan.gain.note else (),
    }


def _spans(measured: _Measured, plan: _Plan, grid: slicer.Grid) -> list[slicer.Span]:
    # The threshold is for the level after the gain, the envelope is of the level before it.
    threshold = _amplitude(plan.slicing.threshold_db) / plan.gain.factor
    spans = slicer.kept_spans(measured.envelope, threshold, measured.samples, grid)
    max_length_ms = plan.slicing.max_length_ms
    if max_length_ms is None:
        return spans
    return slicer.limited(spans, measured.envelope, max_length_ms * plan.rate_hz // 1000, grid)


def _write_clips(
    root: Path, sink: ClipSink, record: RecordingRecord, spans: list[slicer.Span], plan: _Plan
) -> RecordingRecord:
    clips: list[ClipRecord] = []
    dropped: list[Dropped] = []
    try:
        with closing(io.stream(layout.local(root, record.source.key))) as blocks:
            for span, passage in zip(spans, _passages(blocks, spans), strict=False):
                finished = _finish(passage, plan)
                if isinstance(finished, str):
                    dropped.append(Dropped(start_ms=plan.ms(span.start), end_ms=plan.ms(span.end), reason=finished))
                else:
                    clips.append(_write_clip(sink, record, span, finished, plan))
        if not _is_unchanged(root, record.source):
            raise BadInput(
                f"{record.source.key} changed while it was read: run slice again once its upload is complete"
            )
    except BadInput:
        sink.drop([clip.file.key for clip in clips])
        raise
    return _with(record, clips=tuple(clips), dropped=tuple(dropped))


def _passages(blocks: Iterable[np.ndarray], spans: list[slicer.Span]) -> Iterator[np.ndarray]:
    """The samples of each span; spans are in order, apart and not empty. Ends with the last span."""
    waiting = iter(spans)
    span = next(waiting, None)
    position, parts = 0, []
    for block in blocks:
        while span and span.start < position + len(block):
            parts.append(block[max(0, span.start - position) : span.end - position])
            if span.end > position + len(block):
                break
            yield np.concatenate(parts)
            span, parts = next(waiting, None), []
        if not span:
            return
        position += len(block)


def _finish(passage: np.ndarray, plan: _Plan) -> _Finished | str:
    """passage [n] float32 at the recording's rate -> its clip, or the reason why it gives none.

    Order and rules of 4.1's resample.py (FORMATS 2.2), with the recording's gain after the trimming.
    """
    part = trim.sounding(passage, plan.slicing.trim_db)
    samples = passage[part] * np.float32(plan.gain.factor)
    peak = np.abs(samples).max()
    if peak > 1:
        samples = 0.98 * samples / peak
    samples = resample(samples, plan.rate_hz, RATE_HZ)
    peak = np.abs(samples).max()
    if peak < _amplitude(plan.slicing.threshold_db):
        return "silent: its peak is below slice.threshold_db"
    if len(samples) * 1000 < plan.slicing.min_clip_ms * RATE_HZ:
        return f"{len(samples) / RATE_HZ:.3f} s after trimming: shorter than slice.min_clip_ms"
    return _Finished(samples / peak if plan.to_full_scale else samples, part)


def _write_clip(
    sink: ClipSink, record: RecordingRecord, span: slicer.Span, finished: _Finished, plan: _Plan
) -> ClipRecord:
    start_ms = plan.ms(span.start)
    key = layout.wav_key(record.speaker, layout.clip_name(record.source.key, record.source.sha256, start_ms))
    return ClipRecord(
        file=sink.write(key, io.encode_pcm16(finished.samples)),
        start_ms=start_ms,
        end_ms=plan.ms(span.end),
        first_sample=span.start + finished.part.start,
        end_sample=span.start + finished.part.stop,
        samples=len(finished.samples),
        peak_dbfs=round(_level_db(np.abs(finished.samples).max()), 2),
        rms_dbfs=round(_level_db(np.sqrt(np.mean(np.square(finished.samples, dtype=np.float64)))), 2),
    )


def _is_unchanged(root: Path, source: FileRecord) -> bool:
    try:
        return source.check(root) is not None
    except OSError:
        return False


def _amplitude(level_db: float) -> float:
    return 10 ** (level_db / 20)


def _level_db(amplitude: float) -> float:
    return 20 * math.log10(amplitude)
