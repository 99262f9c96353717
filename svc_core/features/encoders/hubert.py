"""HuBERT base (Hsu et al. 2021, arXiv 2106.07447), the network of ContentVec (Qian et al. 2022, arXiv 2204.09224)."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import HubertConfig, HubertModel

from svc_core.device import check_bf16
from svc_core.errors import ConfigError
from svc_core.features.encoders import onnx_cache, weights
from svc_core.features.encoders.encoder import HOP_SAMPLES, Backend, Precision
from svc_core.features.encoders.onnx_int8 import ConvsAsProducts
from svc_core.features.models import Located

_WINDOW_SAMPLES = 400
_RENAMED = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}


@dataclass(frozen=True)
class Part:
    """Which output is the content: that of transformer layer `layer`, counted from 1, projected to `width` or plain."""

    layer: int
    width: int
    projected: bool


class Network(nn.Module):
    """HuBERT up to one layer: audio [1, T] at 16 kHz -> content [1, D, N]."""

    def __init__(self, config: HubertConfig, part: Part) -> None:
        super().__init__()
        self.hubert = HubertModel(config)
        self.final_proj = nn.Linear(config.hidden_size, part.width) if part.projected else nn.Identity()

    def forward(self, audio: Tensor) -> Tensor:
        return self.final_proj(self.hubert(audio).last_hidden_state).transpose(1, 2)


def frames(samples: int) -> int:
    """N of `samples` at 16 kHz: whole windows of 400 samples every 320."""
    return max(0, (samples - _WINDOW_SAMPLES) // HOP_SAMPLES + 1)


def runner(
    source: Located, part: Part, backend: Backend, precision: Precision, device: str
) -> Callable[[np.ndarray], np.ndarray]:
    """The function audio [T] -> content [D, N]; no normalisation, no padding.

    Raises ConfigError where the weights are not of this network, or the backend, precision and device do not go
    together.
    """
    if backend == "onnx":
        return _onnx_runner(source, part, precision, device)
    if precision == "int8":
        raise ConfigError("encoder_precision int8 needs encoder_backend onnx, not torch")
    if precision == "bf16":
        check_bf16(device)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    network = load(source, part, "sdpa").to(device=device, dtype=dtype)

    def run(audio: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            content = network(torch.from_numpy(audio)[None].to(device=device, dtype=dtype))
            return content[0].float().cpu().numpy()

    return run


def _onnx_runner(source: Located, part: Part, precision: Precision, device: str) -> Callable[[np.ndarray], np.ndarray]:
    if device != "cpu" or precision == "bf16":
        raise ConfigError(
            f"encoder_backend onnx runs in fp32 or int8 on the CPU, not in {precision} on {device}: use torch"
        )

    def network() -> Network:
        made = load(source, part, "eager")
        if precision == "int8":
            made.hubert.feature_extractor = ConvsAsProducts(made.hubert.feature_extractor)
        return made

    return onnx_cache.runner(f"{source.sha256}-layer{part.layer}", network, int8=precision == "int8")


def load(source: Located, part: Part, attention: str) -> Network:
    """The network in fp32 on the CPU, cut after the layer that is used. Raises ConfigError."""
    config = _config(source)
    if config.do_stable_layer_norm or config.num_hidden_layers < part.layer:
        raise ConfigError(f"{source.config} describes no HuBERT base of {part.layer} layers: bring ContentVec's files")
    if not part.projected and config.hidden_size != part.width:
        raise ConfigError(f"{source.config} describes {config.hidden_size} channels instead of {part.width}")
    config.num_hidden_layers = part.layer
    config.mask_time_prob = config.mask_feature_prob = 0.0  # for training only, and they would add a tensor
    config._attn_implementation = attention
    tensors = {_name(name): tensor for name, tensor in weights.read(source.weights).items()}
    with torch.device("meta"):
        network = Network(config, part)

    def is_spare(name: str) -> bool:
        beyond = [f"hubert.encoder.layers.{layer}." for layer in range(part.layer, 100)]
        return name.startswith(("final_proj.", "hubert.masked_spec_embed", *beyond))

    weights.fit(network, tensors, source.weights, is_spare)
    parametrize.remove_parametrizations(network.hubert.encoder.pos_conv_embed.conv, "weight")
    return network.eval()


def _config(source: Located) -> HubertConfig:
    if source.config is None:
        return HubertConfig()  # its defaults are HuBERT base
    try:
        return HubertConfig.from_json_file(source.config)
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise ConfigError(f"{source.config} is no config of a HuBERT model ({error}): bring ContentVec's") from error


def _name(saved: str) -> str:
    """The name in `Network` of a tensor as HubertModel, or a class around it, was saved, by an older torch too."""
    name = saved.removeprefix("hubert.")
    head, _, last = name.rpartition(".")
    if last in _RENAMED:
        name = f"{head}.{_RENAMED[last]}"
    return name if name.startswith("final_proj.") else f"hubert.{name}"
