"""How a source is cut into the pieces that the network hears one at a time: pure arithmetic on sample numbers.

A place in the source has one place in the output, `position`, counted from the start of the file. So the length of the
output does not depend on where it was cut, at any sampling rate (docs/adr/0005).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from svc_core.audio.slicer import Span
from svc_core.config import RATE_HZ


@dataclass(frozen=True)
class Piece:
    """One bounded part of a span, in samples of the source."""

    start_samples: int
    end_samples: int
    overlap_samples: int
    """Source before `start_samples` that is heard again, to be cross-faded into the end of the piece before."""
    silent: bool


@dataclass(frozen=True)
class Bounds:
    """Longest piece and cross-fade, in samples of the source."""

    piece_samples: int
    overlap_samples: int

    @classmethod
    def of(cls, rate_hz: int, clip_s: float, cross_fade_s: float) -> "Bounds":
        return cls(max(1, int(clip_s * rate_hz)), int(cross_fade_s * rate_hz))


def position(samples: int, rate_hz: int) -> int:
    """Where sample number `samples` of a source at `rate_hz` lies at 44.1 kHz: ceil(samples * 44100 / rate_hz)."""
    return -(-samples * RATE_HZ // rate_hz)


def cut(spans: Iterable[Span], bounds: Bounds) -> Iterator[Piece]:
    """The pieces of all spans in order. Silent spans are cut too, so that no piece is longer than the bound.

    Loud pieces but the first of their span reach back by the overlap (FORMATS: so-vits-svc 4.1's inference, step 2).
    """
    for span in spans:
        for start in range(span.start, span.end, bounds.piece_samples):
            end = min(start + bounds.piece_samples, span.end)
            alone = start == span.start or span.is_silence
            yield Piece(start, end, 0 if alone else bounds.overlap_samples, span.is_silence)
