"""Joins what the network makes of each piece into one output of exactly the source's length."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from svc_core.conversion.pieces import Piece, position

Read = Callable[[int, int], np.ndarray]
"""(start, end) -> [end - start] samples of the source."""

Synthesise = Callable[[np.ndarray], np.ndarray]
"""A padded piece at the source's rate -> about as much sound at 44.1 kHz."""

Render = Callable[[Piece, int], np.ndarray]
"""(a loud piece, the samples wanted: overlap and piece at 44.1 kHz) -> [wanted] float32."""


def padded(read: Read, rate_hz: int, pad_s: float, synthesise: Synthesise) -> Render:
    """Renders a piece between two stretches of silence, because a network is unsure at the edges of what it hears."""
    padding = int(pad_s * rate_hz)

    def render(piece: Piece, wanted_samples: int) -> np.ndarray:
        audio = read(piece.start_samples - piece.overlap_samples, piece.end_samples)
        made = synthesise(np.pad(audio, padding))
        return without_padding(made, position(padding, rate_hz), wanted_samples)

    return render


def assemble(pieces: Iterable[Piece], rate_hz: int, render: Render, fade_share: float) -> Iterator[np.ndarray]:
    """Yields the output in blocks [n] float32 at 44.1 kHz, together position(end of the last piece) samples.

    Silent pieces become zeros. Holds one piece at a time. `fade_share` is the share of an overlap in which both
    pieces are heard; what is left of it at both ends belongs to one of them.
    """
    held = np.zeros(0, np.float32)
    for piece in pieces:
        start, end = position(piece.start_samples, rate_hz), position(piece.end_samples, rate_hz)
        overlap = start - position(piece.start_samples - piece.overlap_samples, rate_hz)
        made = np.zeros(end - start, np.float32) if piece.silent else render(piece, overlap + end - start)
        if overlap:
            finished, held = join(held, made, overlap, fade_share)
        else:
            finished, held = held, made
        yield finished
    yield held


def join(before: np.ndarray, after: np.ndarray, overlap: int, fade_share: float) -> tuple[np.ndarray, np.ndarray]:
    """Cross-fades linearly from `before` [>= overlap] to `after`, whose first `overlap` samples show the same source.

    Returns what will not change any more, and what follows it.
    """
    fade = int(overlap * fade_share)
    lead_in = (overlap - fade) // 2
    lead_out = overlap - fade - lead_in
    begin = len(before) - lead_out - fade
    weight = np.linspace(0, 1, fade, dtype=np.float32)
    mixed = before[begin : begin + fade] * (1 - weight) + after[lead_in : lead_in + fade] * weight
    return before[:begin], np.concatenate([mixed, after[lead_in + fade :]])


def without_padding(audio: np.ndarray, padding_samples: int, wanted_samples: int) -> np.ndarray:
    """`audio` [n] without the padding at both ends, exactly [wanted_samples].

    What is missing (a network makes whole frames) is filled with zeros, half at each end; what is too much is cut off
    the end.
    """
    kept = audio[padding_samples : max(padding_samples, len(audio) - padding_samples)][:wanted_samples]
    missing = wanted_samples - len(kept)
    return np.pad(kept, (missing // 2, missing - missing // 2))
