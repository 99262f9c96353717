"""The output file: 44.1 kHz mono PCM16, wav or flac by its suffix, written block by block, whole or absent."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from svc_core import files
from svc_core.config import RATE_HZ
from svc_core.errors import ConfigError, Transient, from_os_error

_FORMATS = {".wav": "WAV", ".flac": "FLAC"}
_FULL_SCALE = 32_767


@dataclass(frozen=True)
class Written:
    samples: int
    clipped_samples: int
    """How many lay beyond full scale and were cut to it."""
    sha256: str


def _format_of(output: Path) -> str:
    return _FORMATS[output.suffix.lower()]


def check_output(source: Path, output: Path) -> None:
    """Raises ConfigError where `output` cannot be what is written, before any work is done."""
    if output.suffix.lower() not in _FORMATS:
        raise ConfigError(f"{output} must end in .wav or .flac: these are the formats of the output")
    if output.is_dir():
        raise ConfigError(f"{output} is a folder: name a file in it")
    if output.exists() and output.samefile(source):
        raise ConfigError(f"{output} is the source itself, which stays as it is: name another output")
    folder = next(parent for parent in output.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise ConfigError(f"{output} cannot be written, {folder} is a file: name an output in a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{folder} may not be written: make it writable for this user, or name another output")


def write(output: Path, blocks: Iterable[np.ndarray]) -> Written:
    """Writes blocks [n] float32. Raises Transient where the disk is full; what `blocks` raises passes through."""
    samples = clipped = 0
    try:
        with files.replacing(output) as temp:
            temp.touch()  # says in the system's words why it cannot be created, which libsndfile does not
            with soundfile.SoundFile(temp, "w", RATE_HZ, 1, "PCM_16", format=_format_of(output)) as sound:
                for block in blocks:
                    scaled = np.rint(block * np.float32(_FULL_SCALE))
                    clipped += int(np.count_nonzero(np.abs(scaled) > _FULL_SCALE))
                    sound.write(np.clip(scaled, -_FULL_SCALE, _FULL_SCALE).astype(np.int16))
                    samples += len(block)
            return Written(samples, clipped, files.sha256_file(temp))
    except soundfile.LibsndfileError as error:
        raise Transient(
            f"writing {output} failed ({error}): free some disk space and run the same command again"
        ) from None
    except OSError as error:
        raise from_os_error(error, output) from error
