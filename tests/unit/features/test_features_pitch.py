import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from svc_core.features.pitch import interpolate

TRACKS = hnp.arrays(
    np.float32,
    st.integers(0, 60),
    elements=st.one_of(st.just(0.0), st.floats(50, 1100, width=32)),
)


@given(TRACKS)
def test_voiced_frames_stay_and_gaps_lie_between_their_neighbours(track):
    made = interpolate(track)
    voiced = track > 0
    assert made.f0_hz.dtype == made.uv.dtype == np.float32
    np.testing.assert_array_equal(made.uv, voiced.astype(np.float32))
    np.testing.assert_array_equal(made.f0_hz[voiced], track[voiced])
    if voiced.any():
        assert made.f0_hz.min() >= track[voiced].min()
        assert made.f0_hz.max() <= track[voiced].max()
    else:
        assert not made.f0_hz.any()


def test_gap_is_linear_and_edges_are_held():
    made = interpolate(np.array([0, 0, 100, 0, 0, 0, 200, 0], dtype=np.float32))
    np.testing.assert_allclose(made.f0_hz, [100, 100, 100, 125, 150, 175, 200, 200])
    np.testing.assert_array_equal(made.uv, [0, 0, 1, 0, 0, 0, 1, 0])


def test_one_voiced_frame_gives_a_constant():
    np.testing.assert_array_equal(interpolate(np.array([0, 0, 250, 0], dtype=np.float32)).f0_hz, [250] * 4)
