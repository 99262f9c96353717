"""The encoder of Whisper base (Radford et al. 2022, arXiv 2212.04356): content of a recogniser, in windows of 30 s."""

import json

import numpy as np
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from svc_core.device import check_bf16
from svc_core.errors import ConfigError
from svc_core.features.encoders import weights
from svc_core.features.encoders.encoder import HOP_SAMPLES, RATE_HZ, Backend, Precision
from svc_core.features.encoders.windows import in_windows
from svc_core.features.models import Located

_PREFIX = "encoder."


class WhisperBase:
    width = 512

    def __init__(self, source: Located, backend: Backend, precision: Precision, device: str) -> None:
        """Raises ConfigError for another backend than torch, for int8, and for weights that are not Whisper base's."""
        if backend != "torch" or precision == "int8":
            raise ConfigError(
                f"whisper-base runs with encoder_backend torch in fp32 or bf16, not {backend} {precision}"
            )
        if precision == "bf16":
            check_bf16(device)
        self._device = device
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._network = _load(source, self.width).to(device=device, dtype=self._dtype)
        self._features = WhisperFeatureExtractor(feature_size=self._network.num_mel_bins)

    def frames(self, samples: int) -> int:
        return samples // HOP_SAMPLES

    def encode(self, audio: np.ndarray) -> np.ndarray:
        return in_windows(self._run, audio)

    @torch.inference_mode()
    def _run(self, audio: np.ndarray) -> np.ndarray:
        """[T] -> [512, floor(T / 320)]: the network hears silence up to 30 s, what it says of that is cut off."""
        features = self._features(audio, sampling_rate=RATE_HZ, return_tensors="pt").input_features
        content = self._network(features.to(device=self._device, dtype=self._dtype)).last_hidden_state
        return content[0, : self.frames(len(audio))].float().cpu().numpy().T


def _load(source: Located, width: int) -> WhisperEncoder:
    if source.config is None:
        raise ConfigError(f"{source.weights} lacks its config.json: put Whisper base's beside it")
    try:
        config = WhisperConfig.from_json_file(source.config)
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise ConfigError(f"{source.config} is no config of a Whisper model ({error}): bring Whisper base's") from error
    if config.d_model != width:
        raise ConfigError(f"{source.config} describes {config.d_model} channels instead of Whisper base's {width}")
    tensors = {name.removeprefix("model."): tensor for name, tensor in weights.read(source.weights).items()}
    encoder = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items() if name.startswith(_PREFIX)}
    with torch.device("meta"):
        network = WhisperEncoder(config)
    weights.fit(network, encoder, source.weights, lambda name: False)
    return network.eval()
