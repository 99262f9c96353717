import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svc_core.features.encoders.windows import WINDOW_SAMPLES, in_windows


def hubert_frames(samples: int) -> int:
    return (samples - 400) // 320 + 1


@pytest.mark.parametrize("frames_of", [hubert_frames, lambda samples: samples // 320])
@settings(max_examples=60, deadline=None)
@given(samples=st.one_of(st.integers(400, 100_000), st.integers(WINDOW_SAMPLES - 5, 5 * WINDOW_SAMPLES)))
def test_each_frame_comes_once_in_order_from_its_own_place(frames_of, samples):
    longest = 0

    def position_of_each_frame(audio: np.ndarray) -> np.ndarray:
        nonlocal longest
        longest = max(longest, len(audio))
        return audio[None, : frames_of(len(audio)) * 320 : 320]

    made = in_windows(position_of_each_frame, np.arange(samples, dtype=np.float64))
    np.testing.assert_array_equal(made[0], 320 * np.arange(frames_of(samples)))
    assert longest <= WINDOW_SAMPLES


def test_frames_are_heard_with_a_second_around_them():
    """No frame comes from the first or last second of a window, but at the ends of the audio."""
    windows = []

    def place_in_window(audio: np.ndarray) -> np.ndarray:
        windows.append(len(audio))
        frames = hubert_frames(len(audio))
        return np.minimum(np.arange(frames), hubert_frames(WINDOW_SAMPLES) - np.arange(frames))[None]

    places = in_windows(place_in_window, np.zeros(3 * WINDOW_SAMPLES))[0]
    assert len(windows) == 4
    assert places[100:-100].min() >= 49
