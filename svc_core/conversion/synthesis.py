"""One piece of sound, sung by another: hear it as training did, then let the network speak."""

from dataclasses import dataclass

import numpy as np
import torch

from svc_core.audio.resample import resample
from svc_core.config import HOP_SAMPLES, RATE_HZ
from svc_core.conversion.envelope import follow
from svc_core.conversion.voice import VoiceModel
from svc_core.errors import Diverged
from svc_core.features.align import stretch
from svc_core.features.encoders.encoder import RATE_HZ as ENCODER_RATE_HZ
from svc_core.features.pitch import interpolate
from svc_core.features.volume import envelope
from svc_core.model.generator import Generator


@dataclass(frozen=True)
class Heard:
    """What the network is told of F frames: content [D, F]; f0_hz, uv and volume [F]; all float32."""

    content: np.ndarray
    f0_hz: np.ndarray
    uv: np.ndarray
    volume: np.ndarray


@dataclass(frozen=True)
class Manner:
    """How the network shall sing: as whom, and what its random draws and its own pitch have to say."""

    speaker_id: int
    noise_scale: float
    seed: int
    predict_f0: bool = False


def convert_piece(
    voice: VoiceModel, audio: np.ndarray, manner: Manner, transpose_semitones: float, own_envelope: float
) -> np.ndarray:
    """audio [T] at 44.1 kHz -> [T] float32 in the voice's sound.

    It is padded with zeros to whole frames, so that nothing is missing at the end (docs/adr/0005). Raises Diverged
    where the network makes values that are no numbers.
    """
    frames = -(-len(audio) // HOP_SAMPLES)
    whole = np.pad(audio, (0, frames * HOP_SAMPLES - len(audio)))
    made = sing(voice.generator, hear(voice, whole, transpose_semitones), manner, voice.device)
    return follow(whole, made, own_envelope)[: len(audio)]


def hear(voice: VoiceModel, audio: np.ndarray, transpose_semitones: float) -> Heard:
    """Content, pitch and volume of audio [512 F], measured as the features stage does."""
    frames = len(audio) // HOP_SAMPLES
    content = voice.tools.encoder.encode(resample(audio, RATE_HZ, ENCODER_RATE_HZ))
    pitch = interpolate(voice.tools.f0.predict(audio, frames))
    return Heard(
        content=stretch(content, frames, voice.config.data.unit_interpolate_mode),
        f0_hz=pitch.f0_hz * np.float32(2 ** (transpose_semitones / 12)),
        uv=pitch.uv,
        volume=envelope(audio),
    )


def sing(generator: Generator, heard: Heard, manner: Manner, device: torch.device) -> np.ndarray:
    """[512 F] float32 at 44.1 kHz. Raises Diverged where a value is no number."""

    def row(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).unsqueeze(0).to(device)

    made = generator.infer(
        row(heard.content),
        row(heard.f0_hz),
        row(heard.uv),
        torch.tensor([[manner.speaker_id]], device=device),
        row(heard.volume),
        noise_scale=manner.noise_scale,
        predict_f0=manner.predict_f0,
        seed=manner.seed,
    )
    audio = made.audio[0, 0].float().cpu().numpy()
    if not np.isfinite(audio).all():
        raise Diverged("the network makes values that are no numbers: its training went wrong, use an older checkpoint")
    return audio
