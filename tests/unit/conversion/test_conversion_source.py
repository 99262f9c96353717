import itertools

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from svc_core.conversion.source import Windows, find_spans
from svc_core.errors import BadInput

RATE_HZ = 8000


@pytest.fixture(scope="module")
def ramp(tmp_path_factory):
    """A file of 3.2 s whose sample number n has the value n / 2^15."""
    path = tmp_path_factory.mktemp("source") / "ramp.wav"
    soundfile.write(path, np.arange(25_600, dtype=np.int16), RATE_HZ, subtype="PCM_16")
    return path


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 9000)), min_size=1, max_size=6))
def test_windows_give_any_parts_in_rising_order(ramp, steps):
    windows = Windows(ramp)
    start = 0
    for step, length in steps:
        start = min(start + step, 25_599)
        end = min(start + length, 25_600)
        got = windows.read(start, end)
        assert np.array_equal(np.rint(got * 32_768), np.arange(start, end))
    windows.close()


def test_a_source_that_shrinks_is_bad_input(ramp):
    windows = Windows(ramp)
    with pytest.raises(BadInput, match="became shorter"):
        windows.read(0, 25_601)


def test_spans_cover_the_file_and_find_the_long_silence(tmp_path):
    rng = np.random.default_rng(3)
    tone = 0.3 * rng.standard_normal(8 * RATE_HZ)
    path = tmp_path / "gap.wav"
    soundfile.write(path, np.concatenate([tone, np.zeros(20 * RATE_HZ), tone[:12_345]]), RATE_HZ)
    spans = find_spans(path, RATE_HZ, -40.0)
    assert spans[0].start == 0
    assert spans[-1].end == 28 * RATE_HZ + 12_345
    assert all(one.end == following.start for one, following in itertools.pairwise(spans))
    silent = [span for span in spans if span.is_silence]
    # Of 20 s of silence 4.1 keeps what lies before and after the quietest frames of its first and last 5 s.
    assert 10 * RATE_HZ <= sum(span.end - span.start for span in silent) <= 20 * RATE_HZ


def test_a_file_without_anything_loud_is_one_silence(tmp_path):
    path = tmp_path / "hiss.wav"
    soundfile.write(path, 1e-4 * np.random.default_rng(4).standard_normal(6 * RATE_HZ), RATE_HZ, subtype="FLOAT")
    [span] = find_spans(path, RATE_HZ, -40.0)
    assert (span.start, span.end, span.is_silence) == (0, 6 * RATE_HZ, True)
