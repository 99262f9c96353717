"""Sound files in and out: `probe` and `stream` for uploads, `read_clip` and `encode_pcm16` for our own wavs."""

import io
import os
import stat
import wave
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from svc_core.audio import containers, ffmpeg, libsndfile
from svc_core.audio.sound import AudioHeader, Sound
from svc_core.audio.waveform import Waveform
from svc_core.config import RATE_HZ
from svc_core.errors import BadInput

__all__ = ["AudioHeader", "encode_pcm16", "probe", "read_clip", "stream"]

BLOCK_S = 2.0
MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 192_000
MAX_AMPLITUDE = 1e10
"""Above this, squares of samples leave the range of float32; integers stored as floats stay far below."""

_PCM16_SCALE = 32_768.0
_WAV_MAX_BYTES = 0xFFFF_FFFF - 36


def probe(path: Path, handle: BinaryIO | None = None) -> AudioHeader:
    """Container, rate in Hz, channels and duration in seconds (None if unstated) of any sound file, by its content.

    Given a seekable `handle`, that is read and `path` only names it. Raises BadInput where the file cannot be opened,
    holds no sound, is seen to be truncated, or has a rate outside 8 to 192 kHz. Damage further inside is found by
    `stream`.
    """
    with _opened(path, handle) as sound:
        return sound.header


def stream(path: Path, block_s: float = BLOCK_S) -> Generator[np.ndarray, None, None]:
    """Mono blocks [n] float32 at the file's own rate, the mean of its channels; memory does not grow with the file.

    Blocks are about `block_s` seconds long; close the iterator to stop early. Raises BadInput as `probe` does, and
    for damage, truncation, NaN or infinite samples, and no samples at all.
    """
    with _opened(path) as sound:
        rate_hz = sound.header.rate_hz
        done = 0
        for block in sound.blocks(max(1, round(block_s * rate_hz))):
            # False for NaN as well.
            if not max(block.max(), -block.min()) <= MAX_AMPLITUDE:
                raise BadInput(
                    f"{path} holds samples that are no sound after {done / rate_hz:.1f} s "
                    f"(NaN, infinite, or above {MAX_AMPLITUDE:g} times full scale): repair it, or remove it"
                )
            done += len(block)
            yield block
        if not done:
            raise BadInput(f"{path} holds no samples: upload it again, or remove it")


@contextmanager
def _opened(path: Path, given: BinaryIO | None = None) -> Iterator[Sound]:
    with ExitStack() as stack:
        try:
            handle = given if given is not None else stack.enter_context(_open_file(path))
            lack = containers.shortage(handle)
            if lack is not None:
                raise BadInput(f"{path} is truncated ({lack}): upload it again, or remove it")
            sound = libsndfile.open_sound(path, handle, stack) or ffmpeg.open_sound(path, handle, stack)
        except OSError as error:
            raise BadInput(f"{path} cannot be read ({error.strerror}): make it readable, or remove it") from None
        if sound is None:
            raise BadInput(f"{path} holds no sound that libsndfile or FFmpeg can read: upload it again, or remove it")
        if not MIN_RATE_HZ <= sound.header.rate_hz <= MAX_RATE_HZ:
            raise BadInput(
                f"{path} has a sample rate of {sound.header.rate_hz} Hz, outside {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz: "
                "resample it, or remove it"
            )
        yield sound


def _open_file(path: Path) -> io.FileIO:
    # O_NONBLOCK: opening a pipe would wait for a writer for ever.
    handle = io.FileIO(path, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
    status = os.fstat(handle.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_size:
        return handle
    handle.close()
    problem = "is empty (0 bytes)" if stat.S_ISREG(status.st_mode) else "is not a regular file"
    raise BadInput(f"{path} {problem}: upload it again, or remove it")


def read_clip(path: Path) -> Waveform:
    """One clip of the workspace: a 44.1 kHz mono PCM16 wav, samples [T] = value / 32768.

    Raises BadInput where it is missing, truncated, empty or of another format.
    """
    try:
        with path.open("rb") as handle, wave.open(handle) as clip:
            shape = (clip.getnchannels(), clip.getsampwidth(), clip.getframerate())
            promised_samples = clip.getnframes()
            data = clip.readframes(promised_samples)
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}): run slice again") from None
    except (EOFError, wave.Error):
        raise BadInput(f"{path} is not a whole PCM wav: run slice again") from None
    if shape != (1, 2, RATE_HZ):
        raise BadInput(f"{path} is not mono PCM16 at {RATE_HZ} Hz: run slice again")
    if not promised_samples or len(data) != 2 * promised_samples:
        raise BadInput(f"{path} holds {len(data) // 2} of {promised_samples} promised samples: run slice again")
    return Waveform(np.frombuffer(data, dtype="<i2").astype(np.float32) / np.float32(_PCM16_SCALE), RATE_HZ)


def encode_pcm16(samples: np.ndarray, rate_hz: int = RATE_HZ) -> bytes:
    """samples [T] float32, full scale at 1 -> the bytes of a mono PCM16 wav with the plain 44-byte header.

    Values are x * 32767 truncated toward zero, as 4.1 does, but saturating where 4.1 wraps around. Raises BadInput
    above the 4 GiB that a wav can hold.
    """
    scaled = np.asarray(samples, dtype=np.float32) * np.float32(32_767)
    data = np.clip(scaled, -32_768, 32_767).astype("<i2").tobytes()
    if len(data) > _WAV_MAX_BYTES:
        raise BadInput(f"a clip of {len(samples) / rate_hz:.0f} s does not fit into a wav: set slice.max_length_ms")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as clip:
        clip.setnchannels(1)
        clip.setsampwidth(2)
        clip.setframerate(rate_hz)
        clip.writeframes(data)
    return buffer.getvalue()
