import pytest

from svc_core.conversion.options import ConvertOptions
from svc_core.errors import ConfigError


def test_names_every_mistake_with_its_range():
    with pytest.raises(ConfigError) as caught:
        ConvertOptions.parse(
            {"speaker": "alice", "noise_scale": 3, "clip_s": 0, "transpose_semitones": "up", "pich": 1}
        )
    text = str(caught.value)
    assert "noise_scale must be: " in text
    assert "0 to 2" in text
    assert "1 to 60 s" in text
    assert text.count("transpose_semitones must be") == 1
    assert "pich" in text


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"transpose_semitones": 49}, "-48 to 48 semitones"),
        ({"transpose_semitones": float("nan")}, "-48 to 48 semitones"),
        ({"clip_s": 2, "cross_fade_s": 1.5}, "at most half of clip_s"),
        ({"transpose_semitones": "auto", "predict_f0": True}, "makes its own pitch"),
    ],
)
def test_refuses_what_does_not_go_together(values, problem):
    with pytest.raises(ConfigError, match=problem):
        ConvertOptions.parse({"speaker": "alice", **values})


def test_takes_numbers_and_auto():
    assert ConvertOptions.parse({"speaker": "a", "transpose_semitones": "auto"}).transpose_semitones == "auto"
    assert ConvertOptions.parse({"speaker": "a", "transpose_semitones": -3}).transpose_semitones == -3
