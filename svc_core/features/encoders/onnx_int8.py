"""HuBERT's large products in 8-bit integers: faster on CPUs with VNNI or AMX (from 2019 on), a little less exact.

Weights have one scale per output channel, activations one per frame, each symmetric about zero, so that a loud frame
does not coarsen a quiet one. Sums are exact in 32 bits. Everything else stays in float32. CPUs without those
instructions may saturate in between: use fp32 there.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.hubert.modeling_hubert import HubertFeatureEncoder

_LARGEST = 127
_ZERO_POINT = np.uint8(128)  # of activations: unsigned times signed is what the instructions multiply


class ConvsAsProducts(nn.Module):
    """HuBERT's feature encoder with its convolutions as products of frames and matrices.

    The same function as the module it is built from, audio [1, T] -> [1, C, N], for HuBERT base's shape: a first
    convolution of 10 taps every 5 samples, normalised per channel over time, then some of 3 or 2 taps every 2 frames,
    each followed by GELU.
    """

    norm: nn.GroupNorm

    def __init__(self, encoder: HubertFeatureEncoder) -> None:
        super().__init__()
        first, *rest = encoder.conv_layers
        self.first = nn.Parameter(_kernel(first)[:, 0])
        self.norm = first.layer_norm
        # Taps 0 and 1 see two frames that lie side by side in memory, tap 2 the one after.
        kernels = [_kernel(layer) for layer in rest]
        self.pairs = nn.ParameterList([kernel[:2].flatten(0, 1).contiguous() for kernel in kernels])
        self.thirds = nn.ParameterList([kernel[2] if len(kernel) == 3 else torch.empty(0) for kernel in kernels])

    def forward(self, audio: Tensor) -> Tensor:
        frames = F.gelu(self._normalised_first(audio))
        for pair, third in zip(self.pairs, self.thirds, strict=True):
            taps = 3 if third.numel() else 2
            count = (frames.shape[1] - taps) // 2 + 1
            made = frames[:, : 2 * count].reshape(1, count, -1) @ pair
            if taps == 3:
                made = made + frames[:, 2 : 2 * count + 1 : 2] @ third
            frames = F.gelu(made)
        return frames.transpose(1, 2)

    def _normalised_first(self, audio: Tensor) -> Tensor:
        """[1, T] -> [1, n, C]. The variance of each channel over time follows from that of the 10 samples it sees, so
        the large result is written once, already normalised."""
        count = (audio.shape[1] - 10) // 5 + 1
        halves = [audio[:, start : start + 5 * count].reshape(1, count, 5) for start in (0, 5)]
        seen = torch.cat(halves, dim=2)
        centred = seen - seen.mean(dim=1, keepdim=True)
        covariance = centred.transpose(1, 2) @ centred / count
        # The weights stand on the left, where `quantise` leaves them in float32.
        variance = ((self.first.T @ covariance) * self.first.T).sum(dim=2)[:, None]
        return centred @ (self.first * (self.norm.weight / (variance + self.norm.eps).sqrt())) + self.norm.bias


def _kernel(layer: Any) -> Tensor:
    """[taps, channels in, channels out]"""
    return layer.conv.weight.detach().permute(2, 1, 0).contiguous()


def quantise(graph: onnx.GraphProto, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Turns each product of `graph` with a matrix of `tensors` into one of integers, in place.

    Returns the tensors that the graph needs now, by name; those without use are gone.
    """
    turned = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Transpose"}
    needed = dict(tensors)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        weight = turned.get(node.input[1], node.input[1]) if node.op_type == "MatMul" else ""
        if weight in tensors:
            matrix = tensors[weight].T if node.input[1] in turned else tensors[weight]
            scale = np.maximum(np.abs(matrix).max(axis=0), 1e-12) / _LARGEST
            needed[f"{weight}.int8"] = np.round(matrix / scale).astype(np.int8)
            needed[f"{weight}.scale"] = scale.astype(np.float32)
            nodes.extend(_product(node.input[0], weight, node.output[0]))
        else:
            nodes.append(node)
    used = {name for node in nodes for name in node.input} | {one.name for one in graph.output}
    nodes = [node for node in nodes if node.op_type != "Transpose" or node.output[0] in used]
    used = {name for node in nodes for name in node.input}
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(_constants())
    return {name: values for name, values in needed.items() if name in used}


def _product(frames: str, weight: str, output: str) -> Iterator[onnx.NodeProto]:
    """`output` = `frames` [1, T, C] times `weight`, each frame in steps of its own loudest channel / 127."""

    def node(kind: str, inputs: list[str], result: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(kind, inputs, [result], **attributes)

    at = f"{output}."
    yield node("ReduceMax", [frames], f"{at}highest", axes=[0, 2], keepdims=0)
    yield node("ReduceMin", [frames], f"{at}lowest", axes=[0, 2], keepdims=0)
    yield node("Neg", [f"{at}lowest"], f"{at}depth")
    yield node("Max", [f"{at}highest", f"{at}depth", "int8.smallest"], f"{at}peak")
    yield node("Mul", [f"{at}peak", "int8.step"], f"{at}steps")
    yield node("Shape", [f"{at}steps"], f"{at}shape")
    yield node("Expand", ["int8.zero_points", f"{at}shape"], f"{at}zeros")
    yield node("QuantizeLinear", [frames, f"{at}steps", f"{at}zeros"], f"{at}frames", axis=1)
    yield node("MatMulInteger", [f"{at}frames", f"{weight}.int8", "int8.zero_point"], f"{at}sums")
    yield node("DequantizeLinear", [f"{at}sums", f"{at}steps"], f"{at}products", axis=1)
    yield node("Mul", [f"{at}products", f"{weight}.scale"], output)


def _constants() -> list[onnx.TensorProto]:
    values = {
        "int8.smallest": np.float32(1e-9),
        "int8.step": np.float32(1 / _LARGEST),
        "int8.zero_point": _ZERO_POINT,
        "int8.zero_points": np.array([_ZERO_POINT]),
    }
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
