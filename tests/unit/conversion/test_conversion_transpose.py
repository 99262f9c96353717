import numpy as np
import pytest

from svc_core.conversion.pieces import Piece
from svc_core.conversion.transpose import median_f0_hz, semitones


class Replay:
    """A predictor that answers with the next track."""

    def __init__(self, *tracks):
        self.tracks = list(tracks)

    def predict(self, audio, frames):
        return np.asarray(self.tracks.pop(0), np.float32)


def median_of(*tracks):
    pieces = [Piece(number * 100, number * 100 + 100, 0, False) for number in range(len(tracks))]
    silent = Piece(0, 100, 0, True)
    read = lambda start, end: np.zeros(end - start, np.float32)  # noqa: E731
    return median_f0_hz([silent, *pieces], read, 44_100, Replay(*tracks))


def test_median_over_all_pieces_counts_voiced_frames_only():
    # To the cent: half a cent is a factor of 2^(1/2400), 2.9e-4.
    assert median_of([0, 0, 100, 200], [], [300, 0, 400, 500]) == pytest.approx(300, rel=3e-4)


def test_even_counts_take_the_lower_middle():
    assert median_of([100, 200]) == pytest.approx(100, rel=3e-4)


@pytest.mark.parametrize("hz", [50.0, 440.0, 1100.0])
def test_one_pitch_is_its_own_median(hz):
    assert median_of([hz] * 7) == pytest.approx(hz, rel=3e-4)


def test_nothing_voiced_has_no_median():
    assert median_of([0, 0], []) is None


@pytest.mark.parametrize(
    ("from_hz", "to_hz", "expected"), [(110, 220, 12), (220, 110, -12), (100, 104, 1), (100, 102, 0)]
)
def test_whole_semitones(from_hz, to_hz, expected):
    assert semitones(from_hz, to_hz) == expected
