"""The encoders that are networks, against transformers' own outputs; ONNX and bfloat16 against fp32."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import tiny_models
import torch
from huggingface_hub import constants
from transformers import WhisperFeatureExtractor

from svc_core.device import check_bf16
from svc_core.errors import ConfigError
from svc_core.features.encoders import hubert
from svc_core.features.encoders.contentvec import ContentVec256L9
from svc_core.features.encoders.hubert import Part
from svc_core.features.encoders.onnx_int8 import ConvsAsProducts
from svc_core.features.encoders.whisper import WhisperBase
from svc_core.features.models import Located

WIDTH = tiny_models.SMALL_HUBERT["hidden_size"]


def located(folder, file: str = "model.safetensors") -> Located:
    return Located("contentvec-256l9", folder / file, folder / "config.json")


def noise(samples: int = 24_000) -> np.ndarray:
    return (0.1 * np.random.default_rng(4).standard_normal(samples)).astype(np.float32)


def cosine(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Of each frame, [N]."""
    return (left * right).sum(axis=0) / np.linalg.norm(left, axis=0) / np.linalg.norm(right, axis=0)


def exported(pattern: str) -> Path:
    (path,) = Path(constants.HF_HOME, "svc-jobs").glob(pattern)
    return path


def hidden_states(model, audio: np.ndarray) -> tuple[torch.Tensor, ...]:
    with torch.inference_mode():
        return model(torch.from_numpy(audio)[None], output_hidden_states=True).hidden_states


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("contentvec")


@pytest.fixture(scope="module")
def model(folder):
    return tiny_models.write_hubert(folder, projected_to=256)


@pytest.mark.parametrize("layer", [1, 9, 12])
def test_a_layer_is_the_one_that_transformers_calls_so(folder, model, layer):
    run = hubert.runner(located(folder), Part(layer, WIDTH, projected=False), "torch", "fp32", "cpu")
    wanted = hidden_states(model, noise())[layer][0].T.numpy()
    # The same kernels on the same values; only the positional kernel's weight norm is folded in beforehand.
    np.testing.assert_allclose(run(noise()), wanted, atol=1e-5, rtol=0)


def test_256l9_is_the_ninth_layer_projected(folder, model):
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    ninth = hidden_states(model, noise())[9][0]
    wanted = (ninth @ tensors["final_proj.weight"].T + tensors["final_proj.bias"]).T.numpy()
    made = ContentVec256L9(located(folder), "torch", "fp32", "cpu").encode(noise())
    np.testing.assert_allclose(made, wanted, atol=1e-5, rtol=0)


def test_the_hubs_older_file_gives_the_same_content(folder, model, tmp_path):
    """As that repository holds it: a pickled .bin, the weight norm under its older names."""
    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    tensors = {}
    for name, tensor in safetensors.torch.load_file(folder / "model.safetensors").items():
        head, _, tail = name.partition(".parametrizations")
        tensors[f"{head}.{names['parametrizations' + tail]}" if tail else name] = tensor
    assert "encoder.pos_conv_embed.conv.weight_g" in tensors
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    part = Part(9, 256, projected=True)
    old = hubert.runner(located(tmp_path, "pytorch_model.bin"), part, "torch", "fp32", "cpu")
    new = hubert.runner(located(folder), part, "torch", "fp32", "cpu")
    np.testing.assert_array_equal(old(noise()), new(noise()))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop("encoder.layers.3.attention.k_proj.weight"), "lacks"),
        (lambda tensors: tensors.pop("final_proj.bias"), "lacks"),
        (lambda tensors: tensors.update({"encoder.adapter.weight": torch.zeros(1)}), "has unknown"),
        (lambda tensors: tensors.update({"encoder.layer_norm.bias": torch.zeros(7)}), "has another shape of"),
    ],
)
def test_weights_with_a_gap_are_refused(folder, model, tmp_path, change, said):
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    change(tensors)
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(ConfigError, match=said):
        ContentVec256L9(located(tmp_path), "torch", "fp32", "cpu")


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_a_damaged_weights_file_is_refused(folder, model, tmp_path, file):
    (tmp_path / file).write_bytes(b"PK not weights")
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(ConfigError, match=file):
        ContentVec256L9(located(tmp_path, file), "torch", "fp32", "cpu")


def test_a_config_of_another_network_is_refused(folder, model, tmp_path):
    values = json.loads((folder / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    for changed in ({**values, "do_stable_layer_norm": True}, {**values, "num_hidden_layers": 6}):
        (tmp_path / "config.json").write_text(json.dumps(changed))
        with pytest.raises(ConfigError, match="HuBERT base"):
            ContentVec256L9(located(tmp_path), "torch", "fp32", "cpu")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json"):
        ContentVec256L9(located(tmp_path), "torch", "fp32", "cpu")


def test_onnx_is_near_torch_at_every_length_and_comes_from_the_cache(folder, model):
    part = Part(9, 256, projected=True)
    plain = hubert.runner(located(folder), part, "torch", "fp32", "cpu")
    through_onnx = hubert.runner(located(folder), part, "onnx", "fp32", "cpu")
    for samples in (400, 719, 720, 16_000, 33_333):
        wanted = plain(noise(samples))
        made = through_onnx(noise(samples))
        assert made.shape == wanted.shape
        # Values are of order 1; 9 layers of float32 sums in another order: seen 3e-6.
        np.testing.assert_allclose(made, wanted, atol=5e-5, rtol=0)
    path = exported("*layer9-*.onnx")
    before = path.stat().st_mtime_ns
    again = hubert.runner(located(folder), part, "onnx", "fp32", "cpu")
    np.testing.assert_array_equal(again(noise()), through_onnx(noise()))
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("suffix", ["onnx", "weights"])
def test_a_damaged_export_is_made_anew(folder, model, suffix):
    part = Part(1, WIDTH, projected=False)
    first = hubert.runner(located(folder), part, "onnx", "fp32", "cpu")(noise())
    path = exported(f"*layer1-*.{suffix}")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    np.testing.assert_array_equal(hubert.runner(located(folder), part, "onnx", "fp32", "cpu")(noise()), first)
    assert path.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_done_without(folder, model):
    """A file lies where the folder should be, as nothing else stops root from writing."""
    part = Part(2, WIDTH, projected=False)
    cache, aside = Path(constants.HF_HOME, "svc-jobs"), Path(constants.HF_HOME, "aside")
    if cache.exists():
        cache.rename(aside)
    cache.write_text("")
    try:
        made = hubert.runner(located(folder), part, "onnx", "fp32", "cpu")(noise())
    finally:
        cache.unlink()
        if aside.exists():
            aside.rename(cache)
    wanted = hubert.runner(located(folder), part, "torch", "fp32", "cpu")(noise())
    np.testing.assert_allclose(made, wanted, atol=5e-5, rtol=0)


def test_onnx_on_a_gpu_is_configuration(folder, model):
    with pytest.raises(ConfigError, match="CPU"):
        hubert.runner(located(folder), Part(1, WIDTH, projected=False), "onnx", "fp32", "cuda")


@pytest.mark.parametrize("samples", [400, 719, 720, 1039, 1040, 5000, 33_333])
def test_convolutions_as_products_are_the_same_function(folder, model, samples):
    encoder = hubert.load(located(folder), Part(1, WIDTH, projected=False), "eager").hubert.feature_extractor
    audio = torch.from_numpy(noise(samples))[None]
    with torch.inference_mode():
        # Values of order 1; up to 96 products a layer, summed in another order over seven layers.
        torch.testing.assert_close(ConvsAsProducts(encoder)(audio), encoder(audio), atol=2e-5, rtol=0)


def test_int8_is_near_fp32_in_loud_and_quiet_frames(folder, model):
    part = Part(9, 256, projected=True)
    audio = noise(48_000) * np.where(np.arange(48_000) < 24_000, 1, 0.01).astype(np.float32)
    made = hubert.runner(located(folder), part, "onnx", "int8", "cpu")(audio)
    wanted = hubert.runner(located(folder), part, "torch", "fp32", "cpu")(audio)
    assert made.shape == wanted.shape
    # A step is 1/127 of the loudest value either side, errors about 1/127 / sqrt(12) / (rms by peak, 1/4) = 0.9 %
    # each and 1.3 % a product. Some 45 products in sequence give sqrt(45) * 1.3 % = 9 % at most, a cosine of
    # 1 - 0.09^2 / 2 = .996.
    assert cosine(made, wanted).mean() > 0.996
    assert cosine(made, wanted).min() > 0.98
    assert not np.array_equal(made, wanted)


BF16 = """
import sys
import numpy as np
from pathlib import Path
from svc_core.device import check_bf16
from svc_core.features.encoders import hubert
from svc_core.features.models import Located
folder, audio = Path(sys.argv[1]), np.load(sys.argv[2])
source = Located("contentvec-256l9", folder / "model.safetensors", folder / "config.json")
part = hubert.Part(9, 256, True)
np.save(sys.argv[3], hubert.runner(source, part, "torch", "bf16", "cpu")(audio))
"""


def test_bf16_is_near_fp32(folder, model, tmp_path):
    """In a process of its own: on machines that announce AMX without having it, bfloat16 needs this variable."""
    np.save(tmp_path / "audio.npy", noise())
    subprocess.run(
        [sys.executable, "-c", BF16, folder, tmp_path / "audio.npy", tmp_path / "content.npy"],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"},
        check=True,
    )
    made = np.load(tmp_path / "content.npy")
    wanted = hubert.runner(located(folder), Part(9, 256, projected=True), "torch", "fp32", "cpu")(noise())
    assert made.dtype == np.float32
    # bfloat16 keeps 8 bits: a relative error of about 2^-9 per step, over some 50 steps in sequence 2^-9 * sqrt(50) =
    # 1.4 %, which is a cosine of 1 - 0.014^2 / 2 = .9999; ten times that distance is allowed to the worst frame.
    assert cosine(made, wanted).mean() > 0.9995
    assert cosine(made, wanted).min() > 0.99
    assert not np.array_equal(made, wanted)


def test_a_cpu_that_stops_at_bf16_is_named(tmp_path, monkeypatch):
    """The probe's process dies of the signal that an illegal instruction raises."""
    (tmp_path / "torch.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ConfigError, match="ONEDNN_MAX_CPU_ISA"):
        check_bf16("cpu")
    check_bf16("cuda")


def test_whisper_is_transformers_encoder_cut_to_the_audio(tmp_path):
    model = tiny_models.write_whisper(tmp_path)
    audio = noise(50_000)
    features = WhisperFeatureExtractor()(audio, sampling_rate=16_000, return_tensors="pt").input_features
    with torch.inference_mode():
        wanted = model.encoder(features).last_hidden_state[0, : 50_000 // 320].T.numpy()
    source = Located("whisper-base", tmp_path / "model.safetensors", tmp_path / "config.json")
    np.testing.assert_allclose(WhisperBase(source, "torch", "fp32", "cpu").encode(audio), wanted, atol=1e-5, rtol=0)


def test_whisper_of_another_size_or_without_config_is_refused(tmp_path):
    tiny_models.write_whisper(tmp_path, width=64)
    source = Located("whisper-base", tmp_path / "model.safetensors", tmp_path / "config.json")
    with pytest.raises(ConfigError, match="64 channels instead"):
        WhisperBase(source, "torch", "fp32", "cpu")
    with pytest.raises(ConfigError, match=r"lacks its config\.json"):
        WhisperBase(Located("whisper-base", source.weights), "torch", "fp32", "cpu")


def test_long_audio_keeps_its_frames_and_hardly_changes_at_the_joint(folder, model):
    """70 s in three windows, against one pass over all of it."""
    encoder = ContentVec256L9(located(folder), "torch", "fp32", "cpu")
    audio = noise(70 * 16_000)
    made = encoder.encode(audio)
    whole = hubert.runner(located(folder), Part(9, 256, projected=True), "torch", "fp32", "cpu")(audio)
    assert made.shape == whole.shape == (256, encoder.frames(len(audio)))
    # The first convolution is normalised over the time it hears, so windows of the same noise differ a little.
    assert cosine(made, whole).min() > 0.99
