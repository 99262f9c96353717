"""Made sounds, and a writer for the formats that only FFmpeg knows."""

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

VARIABLE_RATE = {"libmp3lame": {"global_quality": "472", "flags": "+qscale"}}

# Sample format that each encoder takes.
ENCODERS = {
    "aac": "fltp",
    "alac": "s16p",
    "g722": "s16",
    "libmp3lame": "fltp",
    "libopus": "flt",
    "pcm_mulaw": "s16",
    "pcm_u8": "u8",
    "wavpack": "fltp",
}


@pytest.fixture
def tone():
    """[n] float32: a sine of amplitude 0.25."""

    def make(duration_s: float, rate_hz: int, frequency_hz: float = 440.0) -> np.ndarray:
        time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
        return (0.25 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)

    return make


@pytest.fixture
def upload(tmp_path):
    """Writes raw/<speaker>/<name>; returns its key."""

    def write(samples: np.ndarray, rate_hz: int, name: str = "take.wav", speaker: str = "alice", **kind: str) -> str:
        path = tmp_path / "raw" / speaker / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate_hz, **kind)
        return f"raw/{speaker}/{name}"

    return write


@pytest.fixture
def write_av():
    """Writes samples [n] to every channel of a file through PyAV."""

    def write(
        path: Path,
        samples: np.ndarray,
        rate_hz: int,
        codec: str,
        *,
        container: str,
        layout: str = "mono",
        options: dict[str, str] | None = None,
        video: bool = False,
    ) -> Path:
        with av.open(str(path), "w", format=container, options=options or {}) as sink:
            track = sink.add_stream(codec, rate=rate_hz, options=VARIABLE_RATE.get(codec, {}))
            track.format, track.layout = ENCODERS[codec], layout
            pictures = _add_pictures(sink) if video else None
            for start in range(0, len(samples), 1024):
                frame = _frame(samples[start : start + 1024], ENCODERS[codec], layout)
                frame.sample_rate, frame.pts = rate_hz, start
                sink.mux(track.encode(frame))
            sink.mux(track.encode(None))
            if pictures:
                _write_pictures(sink, pictures, len(samples) / rate_hz)
        return path

    return write


def _frame(samples: np.ndarray, sample_format: str, layout: str) -> av.AudioFrame:
    channels = av.AudioLayout(layout).nb_channels
    scales = {"s16": (32767, 0, "i2"), "u8": (127, 128, "u1"), "flt": (1, 0, "f4")}
    scale, offset, dtype = scales[sample_format.removesuffix("p")]
    values = (samples * scale + offset).astype(dtype)
    rows = np.repeat(values[None], channels, axis=0)
    packed = rows if sample_format.endswith("p") else rows.T.reshape(1, -1)
    return av.AudioFrame.from_ndarray(np.ascontiguousarray(packed), format=sample_format, layout=layout)


def _add_pictures(sink: av.container.OutputContainer) -> av.VideoStream:
    pictures = sink.add_stream("mpeg4", rate=10)
    pictures.width = pictures.height = 64
    pictures.pix_fmt = "yuv420p"
    return pictures


def _write_pictures(sink: av.container.OutputContainer, pictures: av.VideoStream, duration_s: float) -> None:
    for number in range(round(10 * duration_s)):
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number % 256, dtype=np.uint8), format="rgb24")
        frame.pts = number
        sink.mux(pictures.encode(frame))
    sink.mux(pictures.encode(None))
