"""Mel bands of a 16 kHz signal, on the HTK scale (Young et al., The HTK Book: 2595 log10(1 + f/700))."""

import numpy as np

RATE_HZ = 16_000


def filterbank(bands: int, fft_samples: int, fmin_hz: float, fmax_hz: float) -> np.ndarray:
    """Triangles of unit area in Hz, evenly spaced in mel, on the bins of a real FFT: [M, fft_samples / 2 + 1]."""
    mels = np.linspace(_mel_of_hz(fmin_hz), _mel_of_hz(fmax_hz), bands + 2)
    corners_hz = 700 * (10 ** (mels / 2595) - 1)
    bins_hz = np.fft.rfftfreq(fft_samples, 1 / RATE_HZ)
    widths_hz = np.diff(corners_hz)
    ramps_hz = bins_hz - corners_hz[:, None]
    rising = ramps_hz[:-2] / widths_hz[:-1, None]
    falling = -ramps_hz[2:] / widths_hz[1:, None]
    triangles = np.maximum(np.minimum(rising, falling), 0)
    return (triangles * (2 / (corners_hz[2:] - corners_hz[:-2]))[:, None]).astype(np.float32)


def magnitudes(samples: np.ndarray, window_samples: int, hop_samples: int, fft_samples: int) -> np.ndarray:
    """Magnitude spectra of the whole windows (periodic Hann) in `samples` [T]: [fft_samples / 2 + 1, K] float32.

    K = floor((T - window_samples) / hop_samples) + 1; T must hold one window.
    """
    windows = np.lib.stride_tricks.sliding_window_view(samples, window_samples)[::hop_samples]
    hann = np.hanning(window_samples + 1)[:-1].astype(np.float32)
    return np.abs(np.fft.rfft(windows * hann, fft_samples, axis=1)).T


def _mel_of_hz(hz: float) -> float:
    return float(2595 * np.log10(1 + hz / 700))
