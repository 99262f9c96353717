"""Linear and mel spectrograms, as the features, the losses and the metrics all measure them.

The mel filter bank is Slaney's (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above, each triangle scaled
to unit area.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from svc_core.config import HOP_SAMPLES, RATE_HZ, DataBlock

FFT_SAMPLES = 2048
BINS = FFT_SAMPLES // 2 + 1
_EDGE_SAMPLES = (FFT_SAMPLES - HOP_SAMPLES) // 2
_POWER_FLOOR = 1e-6
_MEL_FLOOR = 1e-5

_LINEAR_HZ_PER_MEL = 200 / 3
_LOG_START_HZ = 1000.0
_LOG_START_MEL = _LOG_START_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27


def linear_spectrogram(y: Tensor) -> Tensor:
    """Magnitudes of the short-time Fourier transform: sqrt(re^2 + im^2 + 1e-6).

    A window of 2048 samples (periodic Hann) every 512 samples, the ends mirrored by 768 samples.

    Args:
        y: [B, T] audio at 44.1 kHz; T must be above 768 samples, the length of a mirrored end.
    Returns:
        [B, 1025, F] float32, F = floor(T / 512).
    """
    padded = F.pad(y.float().unsqueeze(1), (_EDGE_SAMPLES, _EDGE_SAMPLES), mode="reflect").squeeze(1)
    window = torch.hann_window(FFT_SAMPLES, device=y.device)
    bins = torch.stft(padded, FFT_SAMPLES, HOP_SAMPLES, window=window, center=False, return_complex=True)
    return (torch.view_as_real(bins).square().sum(-1) + _POWER_FLOOR).sqrt()


def mel_filterbank(
    n_mels: int, fmin_hz: float = 0.0, fmax_hz: float = RATE_HZ / 2, device: torch.device | str = "cpu"
) -> Tensor:
    """Triangular filters on the 1025 bins of `linear_spectrogram`: [M, 1025] float32."""
    ends = _mel_of_hz(torch.tensor([fmin_hz, fmax_hz], dtype=torch.float64))
    mels = torch.linspace(ends[0].item(), ends[1].item(), n_mels + 2, dtype=torch.float64, device=device)
    corners_hz = _hz_of_mel(mels)
    bins_hz = torch.linspace(0, RATE_HZ / 2, BINS, dtype=torch.float64, device=device)
    widths_hz = corners_hz.diff().unsqueeze(1)
    ramps_hz = corners_hz.unsqueeze(1) - bins_hz
    rising = -ramps_hz[:-2] / widths_hz[:-1]
    falling = ramps_hz[2:] / widths_hz[1:]
    triangles = torch.minimum(rising, falling).clamp_(min=0)
    unit_area = 2 / (corners_hz[2:] - corners_hz[:-2])
    return (triangles * unit_area.unsqueeze(1)).float()


def log_mel(spec: Tensor, data: DataBlock) -> Tensor:
    """ln(max(mel, 1e-5)) of magnitudes, in float32 even under autocast.

    Args:
        spec: [B, 1025, F] magnitudes of `linear_spectrogram`.
        data: names the number of bands and their range in Hz.
    Returns:
        [B, M, F].
    """
    filters = mel_filterbank(data.n_mel_channels, data.mel_fmin, data.mel_fmax, spec.device)
    with torch.autocast(spec.device.type, enabled=False):
        return (filters @ spec.float()).clamp(min=_MEL_FLOOR).log()


def _mel_of_hz(hz: Tensor) -> Tensor:
    above = _LOG_START_MEL + (hz.clamp(min=_LOG_START_HZ) / _LOG_START_HZ).log() / _LOG_STEP
    return torch.where(hz >= _LOG_START_HZ, above, hz / _LINEAR_HZ_PER_MEL)


def _hz_of_mel(mel: Tensor) -> Tensor:
    above = _LOG_START_HZ * ((mel - _LOG_START_MEL) * _LOG_STEP).exp()
    return torch.where(mel >= _LOG_START_MEL, above, mel * _LINEAR_HZ_PER_MEL)
