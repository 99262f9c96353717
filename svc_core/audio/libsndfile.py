"""The fast decoder: wav, rf64, w64, aiff, caf, au and flac through libsndfile.

Left to FFmpeg on purpose: of an mp3 without a Xing header, and of an ogg made of several streams, libsndfile 1.2.2
returns only a part and reports success.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from svc_core.audio.sound import AudioHeader, Sound, damaged, mix_down, truncated

_MAGICS = (b"RIFF", b"RF64", b"riff", b"FORM", b"caff", b".snd", b"fLaC")
_MAX_SAMPLES = 1 << 48
"""libsndfile's count for a flac whose header holds none lies above this; it also reads such a file badly."""

_READ_VALUES = 1 << 20
"""Upper limit of samples times channels per read, so that memory does not grow with the channels."""


def open_sound(path: Path, handle: BinaryIO, stack: ExitStack) -> Sound | None:
    """The sound of the open file, None where it is not for this decoder."""
    handle.seek(0)
    if handle.read(4) not in _MAGICS:
        return None
    handle.seek(0)
    try:
        # By descriptor: given a name, libsndfile guesses header-less formats by the suffix.
        opened = soundfile.SoundFile(handle.fileno() if isinstance(handle, FileIO) else handle, closefd=False)
    except soundfile.LibsndfileError:
        return None
    stack.enter_context(opened)
    if opened.frames > _MAX_SAMPLES or opened.subtype.startswith("MPEG"):
        return None
    duration_s = opened.frames / opened.samplerate
    header = AudioHeader(opened.format.lower(), opened.samplerate, opened.channels, duration_s)
    return Sound(header, lambda samples: _blocks(path, opened, samples))


def _blocks(path: Path, opened: soundfile.SoundFile, samples: int) -> Iterator[np.ndarray]:
    rows_per_read = max(1, min(samples, _READ_VALUES // opened.channels))
    done = 0
    while done < opened.frames:
        try:
            rows = opened.read(rows_per_read, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise damaged(path, done / opened.samplerate, error.error_string) from None
        if not len(rows):
            raise truncated(path, done / opened.samplerate, opened.frames / opened.samplerate)
        done += len(rows)
        yield mix_down(rows)
