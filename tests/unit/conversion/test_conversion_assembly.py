"""Cutting and joining, against so-vits-svc 4.1's own (tests/golden/assembly.npz) and as arithmetic."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svc_core.audio.slicer import Span
from svc_core.conversion.assembly import assemble, join, padded, without_padding
from svc_core.conversion.pieces import Bounds, Piece, cut, position

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "assembly.npz")
# Both sides interpolate float32 samples within -1..1 in float64 and round once or twice to float32: 2 * 2^-24 = 1.2e-7.
FLOAT_TOLERANCE = 1.2e-7
NO_BOUND_S = 60.0


class Case:
    """One golden case, run through our assembly with the stub network that the golden README describes."""

    def __init__(self, name: str) -> None:
        self.settings = json.loads(str(GOLDEN[f"{name}_kw"]))
        self.rate_hz: int = self.settings["sr"]
        source = GOLDEN["wav44" if self.rate_hz == 44_100 else "wav"].astype(np.float32) / 32_768
        self.source_samples = len(source)
        self.calls: list[list[int]] = []
        self.frames = 0
        spans = [Span(int(start), int(end), bool(silent)) for start, end, silent in GOLDEN[f"{name}_chunks"]]
        overlap_s = self.settings.get("lg_num", 0)
        bounds = Bounds.of(self.rate_hz, self.settings.get("clip_seconds", NO_BOUND_S), overlap_s)
        render = padded(lambda start, end: source[start:end], self.rate_hz, self.settings["pad_seconds"], self.stub)
        share = self.settings.get("lgr_num", 0.75)
        self.output = np.concatenate(list(assemble(cut(spans, bounds), self.rate_hz, render, share)))
        self.golden_calls = GOLDEN[f"{name}_calls"].tolist()
        self.golden_length = int(GOLDEN[f"{name}_out_len"])
        self.golden_every11 = GOLDEN[f"{name}_out_every11"]

    def stub(self, audio: np.ndarray) -> np.ndarray:
        frames = math.ceil(len(audio) * 44_100 / self.rate_hz) // 512
        self.calls.append([len(audio), self.frames, frames * 512])
        self.frames += frames
        at = np.arange(frames * 512) * (self.rate_hz / 44_100)
        return (np.interp(at, np.arange(len(audio)), audio) + 0.01 * len(self.calls)).astype(np.float32)


@pytest.mark.parametrize("name", ["default", "clip2", "clip2_lg05_sr44100"])
def test_equals_4_1_where_its_length_is_right(name):
    case = Case(name)
    assert case.calls == case.golden_calls
    assert len(case.output) == case.golden_length == position(case.source_samples, case.rate_hz)
    assert np.abs(case.output[::11] - case.golden_every11).max() < FLOAT_TOLERANCE


@pytest.mark.parametrize("name", ["clip2_lg05", "clip2_lg05_lgr1"])
def test_cross_fades_at_other_rates_keep_the_length_where_4_1_grows(name):
    case = Case(name)
    # What the network hears is the same; only the joining differs.
    assert case.calls == case.golden_calls
    assert len(case.output) == position(case.source_samples, case.rate_hz) == 560_688
    # 4.1 counts the overlap of 0.5 s in source samples (11 025) and applies it at 44.1 kHz, where it is 22 050: each
    # of the five joins leaves 11 025 samples twice.
    joins = 5
    assert case.golden_length - len(case.output) == joins * 11_025
    # Equal up to the first join, whose fade begins at most 0.5 s before the end of the first piece of 2 s.
    untouched = int(1.5 * 44_100) // 11
    assert np.abs(case.output[::11][:untouched] - case.golden_every11[:untouched]).max() < FLOAT_TOLERANCE
    assert np.abs(case.output[::11] - case.golden_every11[: len(case.output[::11])]).max() > 0.1


spans_of = st.lists(st.tuples(st.integers(0, 5000), st.booleans()), min_size=1, max_size=8)
rates_hz = st.sampled_from([8000, 11_025, 16_000, 22_050, 44_056, 44_100, 48_000, 96_000, 192_000])


@settings(max_examples=150, deadline=None)
@given(spans_of, rates_hz, st.integers(300, 4000), st.integers(0, 150), st.floats(0, 1))
def test_output_is_as_long_as_the_source_and_in_place(lengths, rate_hz, piece_samples, overlap, share):
    ends = np.cumsum([length for length, _ in lengths])
    spans = [Span(int(end) - length, int(end), silent) for end, (length, silent) in zip(ends, lengths, strict=True)]
    pieces = list(cut(spans, Bounds(piece_samples, overlap)))
    assert all(piece.end_samples - piece.start_samples <= piece_samples for piece in pieces)

    def place(piece, wanted):
        end = position(piece.end_samples, rate_hz)
        return np.arange(end - wanted, end, dtype=np.float32) + 1

    made = np.concatenate([np.zeros(0), *assemble(pieces, rate_hz, place, share)])
    assert len(made) == position(int(ends[-1]), rate_hz)
    # A network that sings its own place: every sample lies where it belongs, or is silence.
    expected = np.arange(len(made)) + 1
    loud = made != 0
    # Values up to 5000 * 8 * 44100 / 8000 < 2^18 mixed in float32: a step of 2^-6, times two for the two products.
    np.testing.assert_allclose(made[loud], expected[loud], atol=2**-5)
    silent_samples = sum(
        position(span.end, rate_hz) - position(span.start, rate_hz) for span in spans if span.is_silence
    )
    assert np.count_nonzero(~loud) == silent_samples


def test_only_loud_pieces_after_the_first_of_a_span_overlap():
    pieces = list(cut([Span(0, 25, False), Span(25, 40, True), Span(40, 40, True), Span(40, 61, False)], Bounds(10, 3)))
    assert [(piece.start_samples, piece.end_samples, piece.overlap_samples) for piece in pieces] == [
        (0, 10, 0),
        (10, 20, 3),
        (20, 25, 3),
        (25, 35, 0),
        (35, 40, 0),
        (40, 50, 0),
        (50, 60, 3),
        (60, 61, 3),
    ]
    assert [piece.silent for piece in pieces] == [False] * 3 + [True] * 2 + [False] * 3


def test_a_piece_shorter_than_its_overlap_still_joins():
    pieces = [Piece(0, 1000, 0, False), Piece(1000, 1001, 400, False)]
    made = np.concatenate(list(assemble(pieces, 44_100, lambda piece, wanted: np.ones(wanted, np.float32), 0.75)))
    assert len(made) == 1001
    # Weights of a mix add up to one but for one float32 rounding of each.
    np.testing.assert_allclose(made, 1, atol=2**-22)


def test_join_mixes_linearly_in_the_middle_of_the_overlap():
    finished, held = join(np.zeros(10, np.float32), np.ones(12, np.float32), 8, 0.5)
    assert finished.tolist() == [0] * 4
    np.testing.assert_allclose(held, [0, 1 / 3, 2 / 3, 1, 1, 1, 1, 1, 1, 1], atol=1e-7)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ([9, 1, 2, 3, 9], [1, 2, 3]),
        ([9, 1, 2, 9], [1, 2, 0]),
        ([9, 1, 9], [0, 1, 0]),
        ([9, 1, 2, 3, 4, 9], [1, 2, 3]),
        ([9], [0, 0, 0]),
    ],
)
def test_what_is_missing_is_filled_in_the_middle_and_too_much_is_cut(made, expected):
    assert without_padding(np.array(made, np.float32), 1, 3).tolist() == expected
