"""The broad decoder: everything else that FFmpeg reads, through PyAV. Content decides, never the suffix."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import av
import numpy as np

from svc_core.audio import containers
from svc_core.audio.sound import AudioHeader, Sound, damaged, mix_down, truncated

_DEMUXERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,g722,loas,matroska,mlp,mov,mp3,mpc,mpc8,mpeg,"
    "mpegts,mxf,nut,ogg,oma,rm,sox,spdif,tak,truehd,tta,voc,w64,wav,webm,wtv,wv,xwma"
)
"""Only these: playlists (hls, dash, concat, sdp) would let an upload open other files and addresses."""

_STATE_LENGTH = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "wv"}
_SLACK_S = 0.5
"""How much before its stated end a whole file may stop: slow video's last picture, padding, rounding."""

_FULL_SCALE = {"u": 2.0**7, "i2": 2.0**15, "i4": 2.0**31, "i8": 2.0**63}


def open_sound(path: Path, handle: BinaryIO, stack: ExitStack) -> Sound | None:
    """The sound of the open file, None where FFmpeg finds none. Raises BadInput for a damaged or truncated file."""
    # Before FFmpeg opens it, which keeps count of the position by itself.
    exact_mp3 = containers.mp3_states_length(handle)
    handle.seek(0)
    # An object without a name: with one, FFmpeg would take the suffix into account.
    nameless = SimpleNamespace(read=handle.read, seek=handle.seek, tell=handle.tell)
    bare = "g722" if path.suffix.lower() == ".g722" else None
    try:
        container = av.open(nameless, format=bare, options={"format_whitelist": _DEMUXERS}, metadata_errors="ignore")
    except (av.FFmpegError, OSError):
        return None
    stack.enter_context(container)
    name = container.format.name
    length_s = container.duration / av.time_base if container.duration is not None else None
    exact = name in _STATE_LENGTH or (name == "mp3" and exact_mp3)
    frames = _frames(path, container, length_s if exact else None)
    first = next(frames, None)
    if first is None:
        return None
    # From a decoded frame: the container's own figures are wrong for some AAC profiles.
    header = AudioHeader(name.split(",")[0], first.sample_rate, first.layout.nb_channels, length_s)
    return Sound(header, lambda samples: _blocks(path, chain([first], frames), header, samples))


def _frames(path: Path, container: av.container.InputContainer, promised_s: float | None) -> Iterator[av.AudioFrame]:
    """Decoded frames of the main sound track; BadInput at the first damage, and for a length that was not kept."""
    track = container.streams.best("audio")
    if track is None:
        return
    start_s = (container.start_time or 0) / av.time_base
    reached_s = 0.0
    try:
        # All tracks are demuxed: the stated length may be that of the pictures.
        for packet in container.demux():
            if packet.pts is not None and packet.time_base is not None:
                end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                reached_s = max(reached_s, end_s - start_s)
            if packet.stream is track:
                yield from packet.decode()
    except (av.FFmpegError, OSError) as error:
        raise damaged(path, reached_s, error.strerror) from None
    if promised_s is not None and reached_s < promised_s - _SLACK_S:
        raise truncated(path, reached_s, promised_s)


def _blocks(path: Path, frames: Iterator[av.AudioFrame], header: AudioHeader, samples: int) -> Iterator[np.ndarray]:
    waiting: list[np.ndarray] = []
    count = done = 0
    for frame in frames:
        if (frame.sample_rate, frame.layout.nb_channels) != (header.rate_hz, header.channels):
            raise damaged(path, done / header.rate_hz, "its sample rate or channels change")
        waiting.append(_mono(frame))
        count += frame.samples
        if count >= samples:
            yield np.concatenate(waiting)
            done += count
            waiting, count = [], 0
    if count:
        yield np.concatenate(waiting)


def _mono(frame: av.AudioFrame) -> np.ndarray:
    """One frame of any sample format -> [n] float32, full scale at 1."""
    values = frame.to_ndarray()
    rows = values.T if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels)
    kind = rows.dtype.kind
    if kind != "f":
        scale = _FULL_SCALE["u" if kind == "u" else f"i{rows.dtype.itemsize}"]
        rows = (rows.astype(np.float32) - (scale if kind == "u" else 0)) / np.float32(scale)
    return mix_down(rows.astype(np.float32, copy=False))
