"""The source as the conversion reads it: once for its silences, then any part in turn, never the whole at once."""

from pathlib import Path

import numpy as np

from svc_core.audio import io, slicer
from svc_core.audio.slicer import Span
from svc_core.config import SliceBlock
from svc_core.errors import BadInput

# What so-vits-svc 4.1's inference slices by; the threshold is an option.
_HOP_MS, _MAX_SIL_KEPT_MS = 20, 5000


def find_spans(path: Path, rate_hz: int, threshold_db: float) -> list[Span]:
    """The loud and silent spans of a file, in order and without gaps, all of it silent if nothing is loud.

    Memory: four bytes for every 20 ms. Raises BadInput where the file is empty or damaged.
    """
    settings = SliceBlock(
        threshold_db=threshold_db, hop_ms=_HOP_MS, max_sil_kept_ms=_MAX_SIL_KEPT_MS, max_length_ms=None
    )
    grid = slicer.grid(settings, rate_hz)
    levels = slicer.Envelope(grid)
    samples = 0
    for block in io.stream(path):
        levels.add(block)
        samples += len(block)
    envelope, threshold = levels.result(), 10 ** (threshold_db / 20)
    if not (envelope >= threshold).any():
        # The state machine would keep what lies before the quietest frame.
        return [Span(0, samples, is_silence=True)]
    return slicer.repo_spans(envelope, threshold, samples, grid)


class Windows:
    """Parts [start, end) of a file in rising order of their starts; they may overlap.

    Memory: the longest part and one block of the stream.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._blocks = io.stream(path)
        self._first_samples = 0
        self._held = np.zeros(0, np.float32)

    def close(self) -> None:
        self._blocks.close()

    def read(self, start_samples: int, end_samples: int) -> np.ndarray:
        """[end - start] float32 at the file's own rate. Raises BadInput where the file is damaged or has changed."""
        gone = min(start_samples - self._first_samples, len(self._held))
        parts, reached = [self._held[gone:]], self._first_samples + len(self._held)
        while reached < end_samples:
            block = next(self._blocks, None)
            if block is None:
                raise BadInput(f"{self._path} became shorter while it was read: convert it again when nobody writes it")
            # Not an empty view, which would keep all of a skipped block in memory.
            if reached + len(block) > start_samples:
                parts.append(block[max(0, start_samples - reached) :])
            reached += len(block)
        self._held = np.concatenate(parts)
        self._first_samples = reached - len(self._held)
        return self._held[: end_samples - start_samples]
