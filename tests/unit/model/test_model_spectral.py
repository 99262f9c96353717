import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_goldens import arrays
from torch.nn import functional as F

from svc_core.config import DataBlock
from svc_core.model import spectral


def golden_audio(signal: str) -> torch.Tensor:
    return torch.from_numpy(arrays("inputs")[f"{signal}_44k"].astype(np.float32) / 32768).unsqueeze(0)


def exact_spectrogram(y: torch.Tensor) -> torch.Tensor:
    padded = F.pad(y.double().unsqueeze(1), (768, 768), mode="reflect").squeeze(1)
    frames = padded.unfold(-1, 2048, 512) * torch.hann_window(2048, dtype=torch.float64)
    return (torch.fft.rfft(frames).abs().square() + 1e-6).sqrt().transpose(1, 2)


@pytest.mark.parametrize("signal", ["synth", "speech"])
def test_spectrogram_is_the_reference_one(signal):
    golden = torch.from_numpy(arrays(f"spec_mel_{signal}")["spec"])
    spec = spectral.linear_spectrogram(golden_audio(signal))
    # A float32 FFT of 2048 is right to about 2^-23 of its largest magnitude, 233: 2.8e-5. FORMATS section 10 says 3e-5
    # (3.05e-5 is one unit in the last place of the largest values); two such FFTs differ by at most the sum.
    np.testing.assert_allclose(spec[0], golden, rtol=0, atol=6e-5)


@pytest.mark.parametrize("signal", ["synth", "speech"])
def test_log_mel_is_the_reference_one(signal):
    golden = torch.from_numpy(arrays(f"spec_mel_{signal}")["mel80"])
    y = golden_audio(signal)
    mel = spectral.log_mel(spectral.linear_spectrogram(y), DataBlock())
    exact = (spectral.mel_filterbank(80).double() @ exact_spectrogram(y)).clamp(min=1e-5).log()
    # FORMATS section 10: 2e-4 in ln. The reference and this are each that near to float64, so they differ by 4e-4.
    np.testing.assert_allclose(mel, exact, rtol=0, atol=2e-4)
    np.testing.assert_allclose(mel[0], golden, rtol=0, atol=4e-4)


@pytest.mark.parametrize(("name", "arguments"), [("mel80", (80,)), ("mel128", (128, 40, 16000))])
def test_filters_are_the_reference_ones(name, arguments):
    # Computed in float64, stored in float32: one unit in the last place of the largest value, 0.03.
    np.testing.assert_allclose(spectral.mel_filterbank(*arguments), arrays("mel_filters")[name], rtol=0, atol=2e-9)


@settings(max_examples=20, deadline=None)
@given(samples=st.integers(769, 6000), rows=st.integers(1, 3))
def test_there_is_one_frame_per_512_samples(samples, rows):
    assert spectral.linear_spectrogram(torch.zeros(rows, samples)).shape == (rows, 1025, samples // 512)


def test_silence_is_the_floor():
    spec = spectral.linear_spectrogram(torch.zeros(1, 4096))
    np.testing.assert_allclose(spec, 1e-3, rtol=1e-6)
    assert torch.isfinite(spectral.log_mel(spec * 0, DataBlock())).all()
    np.testing.assert_allclose(spectral.log_mel(spec * 0, DataBlock()), math.log(1e-5), rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(bin_index=st.integers(20, 1000))
def test_a_sine_peaks_in_its_own_bin(bin_index):
    seconds = torch.arange(8192, dtype=torch.float64) / 44100
    sine = torch.sin(2 * math.pi * (bin_index * 44100 / 2048) * seconds).float()
    spec = spectral.linear_spectrogram(sine.unsqueeze(0))[0, :, 4]
    assert spec.argmax() == bin_index
    # A periodic Hann window of 2048 samples sums to 1024; a sine has half of its amplitude at its own frequency.
    assert spec.max().item() == pytest.approx(512, rel=1e-4)


def test_gradients_reach_the_audio_even_in_silence():
    y = torch.zeros(1, 4096, requires_grad=True)
    spectral.log_mel(spectral.linear_spectrogram(y), DataBlock()).sum().backward()
    assert torch.isfinite(y.grad).all()


def test_log_mel_stays_in_float32_under_autocast():
    spec = spectral.linear_spectrogram(torch.sin(torch.arange(4096.0)).unsqueeze(0))
    expected = spectral.log_mel(spec, DataBlock())
    with torch.autocast("cpu", torch.bfloat16):
        mel = spectral.log_mel(spec, DataBlock())
    assert mel.dtype == torch.float32
    assert torch.equal(mel, expected)


def test_bands_and_range_come_from_the_config():
    spec = spectral.linear_spectrogram(torch.randn(1, 4096))
    data = DataBlock(n_mel_channels=40, mel_fmin=100, mel_fmax=8000)
    assert spectral.log_mel(spec, data).shape == (1, 40, 8)
    filters = spectral.mel_filterbank(40, 100, 8000)
    reached_hz = torch.nonzero(filters.sum(0)).flatten() * 44100 / 2048
    assert reached_hz.min() >= 100
    assert reached_hz.max() <= 8000
