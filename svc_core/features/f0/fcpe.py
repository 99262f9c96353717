"""FCPE (Luo et al. 2025, arXiv 2509.15140): a conformer on mel bands at 16 kHz; its weights lie in its package."""

import numpy as np
import torch

from svc_core.audio.resample import resample
from svc_core.config import RATE_HZ
from svc_core.features.align import stretch
from svc_core.features.f0.optional import package
from svc_core.features.f0.predictor import F0_MAX_HZ, F0_MIN_HZ
from svc_core.features.models import Located

_RATE_HZ = 16_000
_THRESHOLD = 0.05


class Fcpe:
    def __init__(self, source: Located, device: str) -> None:
        """Raises ConfigError where torchfcpe or torchaudio cannot be imported."""
        infer = package("torchfcpe.models_infer", "fcpe")
        saved = torch.load(source.weights, map_location="cpu", weights_only=True)
        # As the package's own loader does, which besides prints and reads the file with pickle.
        saved["config_dict"]["model"].update(conv_dropout=0.0, atten_dropout=0.0, use_harmonic_emb=False)
        arguments = package("torchfcpe.tools", "fcpe").DotDict(saved["config_dict"])
        self._network = infer.InferCFNaiveMelPE(arguments, saved["model"]).to(device).eval()

    @torch.inference_mode()
    def predict(self, audio: np.ndarray, frames: int) -> np.ndarray:
        """[F] Hz, 0 where unvoiced: a 10 ms track, stretched to `frames` by repetition as 4.1 does (FORMATS §4)."""
        if frames == 0:
            return np.zeros(0, dtype=np.float32)
        samples = torch.from_numpy(np.clip(resample(audio, RATE_HZ, _RATE_HZ), -1, 1))
        track = self._network(samples[None, :, None], _RATE_HZ, "local_argmax", _THRESHOLD)[0, :, 0].cpu().numpy()
        track[(track < F0_MIN_HZ) | (track > F0_MAX_HZ)] = 0
        return stretch(track[None], frames, "nearest")[0]
