"""Where a recording is cut: the level-driven state machine of FORMATS 2.1, as pure functions over an RMS envelope.

Two flavours share it. The slicer inside so-vits-svc 4.1 lists every span of the file, silent or not (`repo_spans`);
openvpi's tool returns the kept ones only and leaves a short file whole (`kept_spans`). Ours adds a maximum
(`limited`).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from svc_core.config import SliceBlock


@dataclass(frozen=True)
class Grid:
    """The settings in samples and frames of one sampling rate."""

    hop_samples: int
    win_samples: int
    min_length_frames: int
    min_interval_frames: int
    max_sil_kept_frames: int


@dataclass(frozen=True)
class Span:
    """Samples [start, end) of a recording."""

    start: int
    end: int
    is_silence: bool = False


@dataclass(frozen=True)
class Removal:
    """Frames [start, end) taken out; equal ends are a cut that takes out nothing."""

    start: int
    end: int


def grid(settings: SliceBlock, rate_hz: int) -> Grid:
    hop_samples = round(rate_hz * settings.hop_ms / 1000)

    def frames(duration_ms: int) -> int:
        return round(rate_hz * duration_ms / 1000 / hop_samples)

    return Grid(
        hop_samples,
        min(round(rate_hz * settings.min_interval_ms / 1000), 4 * hop_samples),
        frames(settings.min_length_ms),
        frames(settings.min_interval_ms),
        frames(settings.max_sil_kept_ms),
    )


class Envelope:
    """RMS per frame of a stream: windows of `win` samples centred every `hop`, zeros beyond both ends.

    Holds 4 bytes per frame and less than a window of samples.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._rest = np.zeros(grid.win_samples // 2, dtype=np.float32)
        self._parts: list[np.ndarray] = []

    def add(self, block: np.ndarray) -> None:
        """block [n] float32."""
        self._measure(np.concatenate([self._rest, block]))

    def result(self) -> np.ndarray:
        """[frames] float32, for 1 + (n + 2 * (win // 2) - win) // hop frames; call once, after the last block."""
        self._measure(np.concatenate([self._rest, np.zeros(self._grid.win_samples // 2, dtype=np.float32)]))
        return np.concatenate(self._parts) if self._parts else np.zeros(0, dtype=np.float32)

    def _measure(self, padded: np.ndarray) -> None:
        hop, win = self._grid.hop_samples, self._grid.win_samples
        frames = max(0, (len(padded) - win) // hop + 1)
        self._rest = padded[frames * hop :].copy()
        if frames:
            squares = window_sums(padded[: (frames - 1) * hop + win], hop, win)
            self._parts.append(np.sqrt(squares / win).astype(np.float32))


def window_sums(padded: np.ndarray, hop: int, win: int) -> np.ndarray:
    """padded [(frames - 1) * hop + win] -> [frames], the sum of squares of each window of `win` samples.

    Whole hops are summed once and shared by the windows that hold them, so that a window costs one pass.
    """
    frames = (len(padded) - win) // hop + 1
    whole, part = divmod(win, hop)
    hops = padded[: (frames + whole - 1) * hop].reshape(-1, hop)
    per_hop = np.einsum("ij,ij->i", hops, hops)
    sums = np.zeros(frames)
    for offset in range(whole):
        sums += per_hop[offset : offset + frames]
    if part:
        tails = np.lib.stride_tricks.sliding_window_view(padded[whole * hop :], part)[::hop][:frames]
        sums += np.einsum("ij,ij->i", tails, tails)
    return sums


def removals(envelope: np.ndarray, threshold: float, grid: Grid) -> list[Removal]:
    """The silent frame spans that are taken out, in order, by the table of FORMATS 2.1.

    envelope [frames] RMS, full scale at 1; `threshold` on the same scale, a frame is silent strictly below it.
    """
    total, keep = len(envelope), grid.max_sil_kept_frames

    def quietest(first: int, last: int) -> int:
        return first + int(np.argmin(envelope[first : last + 1]))

    found: list[Removal] = []
    clip_start = 0
    for start, end in _silent_runs(envelope < threshold):
        if end == total:
            if total - start >= grid.min_interval_frames:
                found.append(Removal(quietest(start, min(total, start + keep)), total + 1))
            break
        leads = start == 0 and end > keep
        ends_clip = end - start >= grid.min_interval_frames and end - clip_start >= grid.min_length_frames
        if not (leads or ends_clip):
            continue
        if end - start <= keep:
            left = right = quietest(start, end)
        else:
            left, right = quietest(start, start + keep), quietest(end - keep, end)
            if end - start <= 2 * keep:
                middle = quietest(end - keep, start + keep)
                left, right = min(left, middle), max(right, middle)
        found.append(Removal(0 if start == 0 else left, right))
        clip_start = right
    return found


def _silent_runs(silent: np.ndarray) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], silent, [False]]).astype(np.int8)))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def repo_spans(envelope: np.ndarray, threshold: float, samples: int, grid: Grid) -> list[Span]:
    """Every span of a recording of `samples` samples in order, silent or kept, as 4.1's own slicer lists them.

    Its early exit compares samples with frames, so it leaves only the very shortest files whole.
    """
    if samples <= grid.min_length_frames:
        return [Span(0, samples)]
    spans: list[Span] = []
    kept_from = 0
    for removal in removals(envelope, threshold, grid):
        if removal.start > kept_from:
            spans.append(_span(kept_from, removal.start, samples, grid))
        spans.append(_span(removal.start, removal.end, samples, grid, is_silence=True))
        kept_from = removal.end
    if kept_from < len(envelope):
        spans.append(_span(kept_from, len(envelope), samples, grid))
    return spans


def kept_spans(envelope: np.ndarray, threshold: float, samples: int, grid: Grid) -> list[Span]:
    """The kept spans of a recording of `samples` samples in order, none empty, as openvpi's slicer2 cuts them.

    A recording of at most min_length stays whole.
    """
    if math.ceil(samples / grid.hop_samples) <= grid.min_length_frames:
        return [Span(0, samples)]
    spans = repo_spans(envelope, threshold, samples, grid)
    return [span for span in spans if not span.is_silence and span.start < span.end]


def _span(start_frame: int, end_frame: int, samples: int, grid: Grid, *, is_silence: bool = False) -> Span:
    hop = grid.hop_samples
    return Span(min(start_frame * hop, samples), min(end_frame * hop, samples), is_silence)


def limited(spans: list[Span], envelope: np.ndarray, max_samples: int, grid: Grid) -> list[Span]:
    """The same sound in spans of at most `max_samples`: a longer one is cut at its quietest frame, again and again.

    A cut lies in the middle third of what it cuts, so that no piece is shorter than a third of the maximum (less one
    frame); within that third the quietest frame wins. `max_samples` must be at least one hop.
    """
    pieces: list[Span] = []
    waiting = spans[::-1]
    while waiting:
        span = waiting.pop()
        if span.end - span.start <= max_samples:
            pieces.append(span)
            continue
        first, last = span.start // grid.hop_samples, -(-span.end // grid.hop_samples)
        third = max(1, (last - first) // 3)
        middle = first + third
        cut = grid.hop_samples * (middle + int(np.argmin(envelope[middle : last - third + 1])))
        waiting += [Span(cut, span.end), Span(span.start, cut)]
    return pieces
