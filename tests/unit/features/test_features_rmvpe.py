"""The RMVPE row around a stand-in network: its mel bands, blocks and decoding."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from svc_core.errors import ConfigError
from svc_core.features import mel
from svc_core.features.f0.rmvpe import Rmvpe, decode
from svc_core.features.models import Located

BIN_CENTS = 20 * np.arange(360) + 1997.3794084376191


def write_network(path, weights: np.ndarray, rank: int = 3) -> Located:
    """salience = sigmoid(transposed mel bands times `weights` [128, 360])."""
    nodes = [
        helper.make_node("Transpose", ["mel"], ["frames"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["frames", "weights"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["salience"]),
    ]
    graph = helper.make_graph(
        nodes,
        "stand-in",
        [helper.make_tensor_value_info("mel", TensorProto.FLOAT, [1, 128, "K"])],
        [helper.make_tensor_value_info("salience", TensorProto.FLOAT, [1, "K", weights.shape[1]])],
        [numpy_helper.from_array(weights.astype(np.float32), "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return Located("rmvpe", path)


def peak_follower() -> np.ndarray:
    """Weights under which the strongest mel band lights up the pitch bins that lie in it."""
    filters = mel.filterbank(128, 1024, 30, 8000)
    band_hz = (filters * np.fft.rfftfreq(1024, 1 / 16_000)).sum(axis=1) / filters.sum(axis=1).clip(min=1e-9)
    bin_hz = 10 * 2 ** (BIN_CENTS / 1200)
    return -np.square(12 * np.log2(np.maximum(band_hz, 1)[:, None] / bin_hz))


def test_decoding_takes_the_mean_around_the_peak():
    salience = np.zeros((4, 360))
    salience[0, 100] = 0.9
    salience[1, 100:102] = 0.5
    salience[2, 100] = 0.05
    salience[3, [0, 200]] = [0.9, 0.8]
    made = decode(salience)
    assert made.dtype == np.float32
    wanted = [10 * 2 ** (cents / 1200) for cents in (BIN_CENTS[100], BIN_CENTS[100] + 10, BIN_CENTS[0])]
    np.testing.assert_allclose(made[[0, 1, 3]], wanted, rtol=1e-6)
    assert made[2] == 0  # not above the threshold of 0.05


def test_far_bins_do_not_pull_the_mean():
    salience = np.zeros((1, 360))
    salience[0, 100], salience[0, 105] = 0.9, 0.89
    np.testing.assert_allclose(decode(salience), 10 * 2 ** (BIN_CENTS[100] / 1200), rtol=1e-6)


def test_a_stand_in_network_hears_through_the_mel_bands(tmp_path):
    # A louder band has a larger logarithm, so the weights act on where the energy is: bands are about -11 in silence.
    weights = peak_follower()
    weights = np.exp(weights) - np.exp(weights).mean(axis=0)
    row = Rmvpe(write_network(tmp_path / "rmvpe.onnx", weights), "cpu")
    tone = 0.5 * np.sin(2 * np.pi * 600 * np.arange(44_100) / 44_100)
    track = row.predict(tone.astype(np.float32), 86)
    assert track.shape == (86,)
    assert track.dtype == np.float32
    # Mel bands are about 60 Hz apart here, so the stand-in can say 600 Hz within 10 %.
    np.testing.assert_allclose(np.median(track[5:-5]), 600, rtol=0.1)


@pytest.mark.parametrize("samples", [0, 100, 512, 600, 1024, 44_100])
def test_every_length_gives_its_frames(tmp_path, samples):
    row = Rmvpe(write_network(tmp_path / "rmvpe.onnx", np.zeros((128, 360))), "cpu")
    assert row.predict(np.zeros(samples, dtype=np.float32), samples // 512).shape == (samples // 512,)


def test_a_file_that_is_no_network_or_another_is_refused(tmp_path):
    (tmp_path / "rmvpe.onnx").write_bytes(b"PK not onnx")
    with pytest.raises(ConfigError, match=r"rmvpe\.onnx cannot be run"):
        Rmvpe(Located("rmvpe", tmp_path / "rmvpe.onnx"), "cpu")
    row = Rmvpe(write_network(tmp_path / "other.onnx", np.zeros((128, 88))), "cpu")
    with pytest.raises(ConfigError, match="instead of"):
        row.predict(np.zeros(44_100, dtype=np.float32), 86)
