"""Pretrained models in miniature, with random weights, laid out as a Hub snapshot or save_pretrained would."""

from pathlib import Path

import numpy as np
import onnx
import safetensors.torch
import torch
from onnx import TensorProto, helper, numpy_helper
from transformers import HubertConfig, HubertModel, WhisperConfig, WhisperModel

SMALL_HUBERT = {
    "hidden_size": 48,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": [32] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}


def write_hubert(folder: Path, *, layers: int = 12, projected_to: int | None = 256, **changes) -> HubertModel:
    """A HuBERT of the base kind; with `projected_to`, as HubertModelWithFinalProj is saved: tensors and config."""
    torch.manual_seed(1)
    model = HubertModel(HubertConfig(**{**SMALL_HUBERT, "num_hidden_layers": layers, **changes})).eval()
    model.save_pretrained(folder)
    if projected_to:
        tensors = safetensors.torch.load_file(folder / "model.safetensors")
        tensors["final_proj.weight"] = torch.randn(projected_to, model.config.hidden_size) / 8
        tensors["final_proj.bias"] = torch.randn(projected_to)
        safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return model


def write_whisper(folder: Path, width: int = 512) -> WhisperModel:
    torch.manual_seed(2)
    config = WhisperConfig(
        d_model=width,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        vocab_size=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        max_target_positions=8,
        begin_suppress_tokens=None,
    )
    model = WhisperModel(config).eval()
    model.save_pretrained(folder)
    return model


def write_rmvpe(path: Path) -> None:
    """A network that answers the same salience to everything: one weak bin, so nothing is voiced."""
    weights = np.zeros((128, 360), dtype=np.float32)
    nodes = [
        helper.make_node("Transpose", ["mel"], ["frames"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["frames", "weights"], ["salience"]),
    ]
    graph = helper.make_graph(
        nodes,
        "stand-in",
        [helper.make_tensor_value_info("mel", TensorProto.FLOAT, [1, 128, "K"])],
        [helper.make_tensor_value_info("salience", TensorProto.FLOAT, [1, "K", 360])],
        [numpy_helper.from_array(weights, "weights")],
    )
    path.parent.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
