"""The five files beside a clip: how they are written, read and checked.

Tensors are torch files that load with weights_only, vectors are plain numpy files without pickle (docs/formats.md).
Bytes depend on the content alone: everything is serialised into memory first, so no file name gets in.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from svc_core import files, layout
from svc_core.errors import BadInput, from_os_error
from svc_core.manifest import FileRecord

SPEC_BINS = 1025


class CorruptSidecar(BadInput):
    """A sidecar is missing, damaged, or not what its name says; the message names its key."""


@dataclass(frozen=True)
class Sidecars:
    """What was computed from one clip: content [D, N]; f0_hz, uv and volume [F]; spec [1025, F]; all float32."""

    content: np.ndarray
    f0_hz: np.ndarray
    uv: np.ndarray
    spec: np.ndarray
    volume: np.ndarray


def write_tensor(root: Path, key: str, values: np.ndarray) -> FileRecord:
    """Writes `values` as a float32 torch tensor of the same shape."""
    buffer = io.BytesIO()
    torch.save(torch.from_numpy(np.array(values, dtype=np.float32, order="C")), buffer)
    return _write(root, key, buffer.getvalue())


def write_vector(root: Path, key: str, values: np.ndarray) -> FileRecord:
    """Writes `values` [F] as a plain float32 numpy array."""
    buffer = io.BytesIO()
    np.save(buffer, np.array(values, dtype=np.float32, order="C"), allow_pickle=False)
    return _write(root, key, buffer.getvalue())


def write_content(root: Path, wav_key: str, content: np.ndarray) -> FileRecord:
    """Writes `content` [D, N] as 4.1 does, with a leading axis: [1, D, N]."""
    return write_tensor(root, layout.sidecar_keys(wav_key).content, content[None])


def read_all(root: Path, wav_key: str) -> Sidecars:
    """The five sidecars of one clip. Raises CorruptSidecar, also where their frame counts differ."""
    keys = layout.sidecar_keys(wav_key)
    sidecars = Sidecars(
        content=read_content(root, keys.content),
        f0_hz=read_vector(root, keys.f0),
        uv=read_vector(root, keys.uv),
        spec=read_spec(root, keys.spec),
        volume=read_vector(root, keys.volume),
    )
    frames = sidecars.spec.shape[1]
    for key, values in ((keys.f0, sidecars.f0_hz), (keys.uv, sidecars.uv), (keys.volume, sidecars.volume)):
        if len(values) != frames:
            raise _corrupt(key, f"holds {len(values)} frames where {keys.spec} holds {frames}")
    return sidecars


def read_content(root: Path, key: str) -> np.ndarray:
    """[D, N] from the file's [1, D, N]. Raises CorruptSidecar."""
    values = _read_tensor(root, key)
    if values.ndim != 3 or values.shape[0] != 1 or 0 in values.shape:
        raise _corrupt(key, f"has shape {list(values.shape)} instead of [1, D, N]")
    return values[0]


def read_spec(root: Path, key: str) -> np.ndarray:
    """[1025, F]. Raises CorruptSidecar."""
    values = _read_tensor(root, key)
    if values.ndim != 2 or values.shape[0] != SPEC_BINS:
        raise _corrupt(key, f"has shape {list(values.shape)} instead of [{SPEC_BINS}, F]")
    return values


def read_vector(root: Path, key: str) -> np.ndarray:
    """[F]. Raises CorruptSidecar."""
    data = _read_bytes(root, key)
    try:
        values = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise _corrupt(key, f"is no plain numpy array ({_first_line(error)})") from None
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        raise _corrupt(key, "is no array of one value per frame")
    return _checked(key, values)


def _write(root: Path, key: str, data: bytes) -> FileRecord:
    path = layout.local(root, key)
    try:
        files.write_bytes(path, data)
        return FileRecord.of(root, key, files.sha256_bytes(data))
    except OSError as error:
        raise from_os_error(error, path) from error


def _read_bytes(root: Path, key: str) -> bytes:
    path = layout.local(root, key)
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise _corrupt(key, "is missing") from None
    except OSError as error:
        raise from_os_error(error, path) from error


def _read_tensor(root: Path, key: str) -> np.ndarray:
    data = _read_bytes(root, key)
    try:
        values = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load documents no closed set of errors for damaged bytes
        raise _corrupt(key, f"is no tensor file ({_first_line(error)})") from None
    if not isinstance(values, torch.Tensor) or values.layout != torch.strided or values.is_quantized:
        raise _corrupt(key, "does not hold one plain tensor")
    return _checked(key, values.detach().numpy())


def _checked(key: str, values: np.ndarray) -> np.ndarray:
    if values.dtype != np.float32:
        raise _corrupt(key, f"holds {values.dtype} instead of float32")
    if not np.isfinite(values).all():
        raise _corrupt(key, "holds values that are not finite")
    return values


def _corrupt(key: str, what: str) -> CorruptSidecar:
    return CorruptSidecar(f"{key} {what}: run the features stage again, it makes the file anew")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".") or type(error).__name__
