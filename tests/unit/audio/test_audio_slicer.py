"""The slicer: every golden case, the streamed envelope, and the maximum length."""

import json

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svc_core.audio import slicer
from svc_core.audio.slicer import Grid, Span
from svc_core.config import SliceBlock

CASES = [
    "leading_and_long",
    "mid_silences",
    "nosilence",
    "allsilence",
    "digital_zero",
    "short",
    "tiny",
    "random",
]
SETS = ["repo_default", "repo_cut_default", "cli_default", "singing"]


def envelope_of(samples: np.ndarray, grid: Grid, block: int = 10_000) -> np.ndarray:
    envelope = slicer.Envelope(grid)
    for start in range(0, len(samples), block):
        envelope.add(samples[start : start + block])
    return envelope.result()


@pytest.fixture
def golden_case(golden):
    """Samples, envelope, threshold and grid of a case under one parameter set."""

    def load(case: str, chosen: str):
        data = golden("slicer")
        values = json.loads(str(data["params"]))[chosen]
        slicing = SliceBlock(
            threshold_db=values["threshold"],
            min_length_ms=values["min_length"],
            min_interval_ms=values["min_interval"],
            hop_ms=values["hop_size"],
            max_sil_kept_ms=values["max_sil_kept"],
        )
        samples = data[f"{case}_wav"].astype(np.float32) / 32_768
        grid = slicer.grid(slicing, int(data["sr"]))
        threshold = 10 ** (slicing.threshold_db / 20)
        return (envelope_of(samples, grid, 777), threshold, len(samples), grid), data

    return load


@pytest.mark.parametrize("chosen", SETS)
@pytest.mark.parametrize("case", CASES)
def test_spans_equal_those_of_4_1(golden_case, case, chosen):
    arguments, data = golden_case(case, chosen)
    spans = [[span.start, span.end, int(span.is_silence)] for span in slicer.repo_spans(*arguments)]
    assert spans == data[f"{case}_{chosen}_repo"].tolist()


@pytest.mark.parametrize("chosen", SETS)
@pytest.mark.parametrize("case", CASES)
def test_spans_equal_those_of_openvpi(golden_case, case, chosen):
    arguments, data = golden_case(case, chosen)
    spans = [[span.start, span.end] for span in slicer.kept_spans(*arguments)]
    assert spans == data[f"{case}_{chosen}_openvpi"].reshape(-1, 2).tolist()


def test_the_golden_file_holds_no_other_case(golden):
    names = {name for name in golden("slicer") if name.endswith(("_repo", "_openvpi"))}
    assert names == {f"{case}_{chosen}_{kind}" for case in CASES for chosen in SETS for kind in ("repo", "openvpi")}


def test_grid_of_the_default_settings():
    assert slicer.grid(SliceBlock(), 48_000) == Grid(480, 1920, 500, 30, 50)
    assert slicer.grid(SliceBlock(min_interval_ms=30, min_length_ms=100), 44_100) == Grid(441, 1323, 10, 3, 50)


@st.composite
def grids(draw):
    hop = draw(st.integers(1, 60))
    return Grid(hop, draw(st.integers(max(1, hop), 4 * hop)), 10, 3, 5)


@settings(deadline=None)
@given(grids(), st.integers(0, 500), st.lists(st.integers(0, 90), max_size=12))
def test_the_envelope_does_not_depend_on_the_blocks(grid, count, lengths):
    samples = np.random.default_rng(count).uniform(-1, 1, count).astype(np.float32)
    whole = envelope_of(samples, grid, max(1, count))
    assert len(whole) == max(0, 1 + (count + 2 * (grid.win_samples // 2) - grid.win_samples) // grid.hop_samples)
    envelope, start = slicer.Envelope(grid), 0
    for length in [*lengths, count]:
        envelope.add(samples[start : start + length])
        start += length
    np.testing.assert_allclose(envelope.result(), whole, rtol=1e-6)


@settings(deadline=None)
@given(grids(), st.integers(1, 500))
def test_the_envelope_equals_librosas(grid, count):
    samples = np.random.default_rng(count).uniform(-1, 1, count).astype(np.float32)
    expected = librosa.feature.rms(y=samples, frame_length=grid.win_samples, hop_length=grid.hop_samples)[0]
    # Sums of at most 240 float32 squares: 240 / 2 roundings of 2**-24 each way, halved by the root.
    np.testing.assert_allclose(envelope_of(samples, grid), expected, rtol=1e-5)


def test_digital_silence_has_a_level_of_zero():
    grid = slicer.grid(SliceBlock(), 48_000)
    samples = np.concatenate([np.ones(4800), np.zeros(48_000), np.ones(4800)]).astype(np.float32)
    assert (envelope_of(samples, grid)[14:106] == 0).all()


def spans_of_levels(levels: list[float], hop: int = 10) -> tuple[np.ndarray, int]:
    return np.array(levels, np.float32), max(1, (len(levels) - 1) * hop)


envelopes = st.lists(st.sampled_from([0.0, 0.001, 0.002, 0.5, 0.6]), min_size=1, max_size=400)


@settings(deadline=None)
@given(envelopes, st.integers(1, 40), st.integers(1, 10), st.integers(1, 30))
def test_spans_cover_the_file_once(levels, min_length, min_interval, max_sil_kept):
    envelope, samples = spans_of_levels(levels)
    grid = Grid(10, 40, max(min_length, min_interval), min_interval, max_sil_kept)
    spans = slicer.repo_spans(envelope, 0.01, samples, grid)
    assert [span.start for span in spans] == [0, *(span.end for span in spans[:-1])]
    assert spans[-1].end == samples
    kept = slicer.kept_spans(envelope, 0.01, samples, grid)
    assert all(span.start < span.end and not span.is_silence for span in kept)
    # Nothing loud is removed, wherever something is removed at all.
    inside = np.zeros(len(envelope), bool)
    for span in kept:
        inside[span.start // 10 : span.end // 10 + 1] = True
    assert inside[envelope > 0.01].all()


@settings(deadline=None)
@given(envelopes, st.integers(10, 1000), st.integers(0, 9))
def test_no_piece_is_longer_than_the_maximum_or_needlessly_short(levels, max_samples, short_of):
    envelope, samples = spans_of_levels(levels)
    samples = max(1, samples - short_of)
    grid = Grid(10, 40, 20, 5, 10)
    spans = slicer.kept_spans(envelope, 0.01, samples, grid)
    pieces = slicer.limited(spans, envelope, max_samples, grid)
    assert all(0 < piece.end - piece.start <= max_samples for piece in pieces)
    # The pieces of each span follow one another from its start to its end, and there are no others.
    count = 0
    for span in spans:
        inside = [piece for piece in pieces if span.start <= piece.start < span.end]
        assert [piece.start for piece in inside] == [span.start, *(piece.end for piece in inside[:-1])]
        assert inside[-1].end == span.end
        count += len(inside)
    assert len(pieces) == count
    # A third of what was cut, which was longer than the maximum; less two frames for rounding.
    assert all(piece.end - piece.start >= max_samples / 3 - 20 for piece in pieces if piece not in spans)


def test_the_maximum_cuts_at_the_quietest_point():
    levels = np.full(101, 0.5, np.float32)
    levels[[20, 45, 90]] = [0.0, 0.1, 0.0]
    grid = Grid(10, 40, 20, 5, 10)
    assert slicer.limited([Span(0, 1000)], levels, 700, grid) == [Span(0, 450), Span(450, 1000)]
    assert slicer.limited([Span(0, 1000)], levels, 1000, grid) == [Span(0, 1000)]
    assert slicer.limited([Span(0, 1000)], levels, 999, grid) == [Span(0, 450), Span(450, 1000)]


def test_hours_without_a_pause_are_cut_too():
    levels = np.random.default_rng(0).uniform(0.4, 0.5, 360_001).astype(np.float32)
    grid = slicer.grid(SliceBlock(), 48_000)
    pieces = slicer.limited([Span(0, 360_000 * 480)], levels, 15 * 48_000, grid)
    lengths_s = [(piece.end - piece.start) / 48_000 for piece in pieces]
    assert 5 - 0.02 <= min(lengths_s) <= max(lengths_s) <= 15
