"""A torch file as a zip archive: what may stand in it, and the generator's tensors, written as safetensors.

Needs numpy alone: the values are moved as bytes.
"""

import io
import json
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from svc_core.compat41 import pickles
from svc_core.compat41.pickles import Malformed, TensorRef

_SHARED_AT_MOST = 16
"""A tensor may be listed by several names (a shared flow), so more bytes come out than go in; not many times more."""
_PICKLE_BYTES = 256 << 20
_CODE = ("code/", "constants.pkl")
_WIDTHS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_ARRAY_TYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "uint8": "U8"}


class Part(NamedTuple):
    dtype: str
    shape: tuple[int, ...]
    data: np.ndarray
    """The values, contiguous, as unsigned integers of their width."""


class Weights(NamedTuple):
    """The tensors under `model`, and the numbers and texts beside them; `left_out` names what else there was."""

    tensors: dict[str, TensorRef | np.ndarray]
    facts: dict[str, int | float | str | None]
    left_out: list[str]


def convert(handle: BinaryIO, size: int, target: Path) -> Weights:
    """Writes the tensors of a torch file of `size` bytes to `target`. Raises Unsafe or Malformed."""
    with _opened(handle, size) as archive:
        prefix = _prefix(archive)
        weights = _weights(_value(archive, prefix))
        limit = _SHARED_AT_MOST * size
        total = sum(_bytes(tensor) for tensor in weights.tensors.values())
        if total > limit:
            raise Malformed(f"its tensors would take {total} bytes, from a file of {size}")
        _write(target, weights.tensors, archive, prefix)
    return weights


def _opened(handle: BinaryIO, size: int) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(handle)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise Malformed(f"it is no whole zip archive ({error})") from None
    names = [entry.filename for entry in archive.infolist()]
    # torch stores without compression: what is larger than its archive was made to burst.
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > size:
        raise Malformed(f"it is a zip bomb or was packed again: {size} bytes that would become {unpacked}")
    if len(set(names)) != len(names):
        raise Malformed("it holds two entries of one name")
    return archive


def _prefix(archive: zipfile.ZipFile) -> str:
    names = archive.namelist()
    pickled = [name for name in names if name.rpartition("/")[2] == "data.pkl"]
    if len(pickled) != 1:
        raise Malformed(f"it is a zip archive but not of torch (it holds {', '.join(names[:3]) or 'nothing'})")
    prefix = pickled[0].removesuffix("data.pkl")
    if any(name.removeprefix(prefix).startswith(_CODE) for name in names):
        raise Malformed("it holds a program (TorchScript), not weights alone")
    return prefix


def _entry(archive: zipfile.ZipFile, name: str, at_most: int) -> bytes:
    try:
        info = archive.getinfo(name)
        if info.file_size > at_most:
            raise Malformed(f"its entry {name} has {info.file_size} bytes, at most {at_most} were expected")
        return archive.read(info)
    except (KeyError, zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        raise Malformed(f"its entry {name} cannot be read ({error})") from None


def _value(archive: zipfile.ZipFile, prefix: str) -> Any:
    if f"{prefix}byteorder" in archive.namelist() and _entry(archive, f"{prefix}byteorder", 16).strip() != b"little":
        raise Malformed("it was written on a big-endian machine")
    return pickles.read(io.BytesIO(_entry(archive, f"{prefix}data.pkl", _PICKLE_BYTES)))


def _weights(value: Any) -> Weights:
    """Of 4.1's four keys, or of a bare table of tensors."""
    if not isinstance(value, dict):
        raise Malformed("it holds no table of weights")
    table = value.get("model", value)
    if not isinstance(table, dict) or not table or not all(isinstance(name, str) for name in table):
        raise Malformed("it holds no weights under the key 'model'")
    wrong = [name for name, tensor in table.items() if not isinstance(tensor, TensorRef | np.ndarray)]
    if wrong:
        raise Malformed(f"its {wrong[0]!r} is no tensor")
    beside = {} if table is value else {name: item for name, item in value.items() if name != "model"}
    facts = {str(name): item for name, item in beside.items() if isinstance(item, int | float | str | None)}
    return Weights(table, facts, sorted(str(name) for name in beside if str(name) not in facts))


def _bytes(tensor: TensorRef | np.ndarray) -> int:
    return tensor.nbytes if isinstance(tensor, np.ndarray) else tensor.values * tensor.storage.item_bytes


def _parts(
    tensors: Mapping[str, TensorRef | np.ndarray], archive: zipfile.ZipFile, prefix: str
) -> Iterator[tuple[str, Part]]:
    """One at a time, in the order of their names, so that memory holds one storage."""
    for name in sorted(tensors):
        tensor = tensors[name]
        if isinstance(tensor, np.ndarray):
            yield name, Part(_array_type(name, tensor), tensor.shape, np.ascontiguousarray(tensor))
            continue
        store = tensor.storage
        needed = store.values * store.item_bytes
        data = _entry(archive, f"{prefix}data/{store.key}", needed)
        if len(data) != needed:
            raise Malformed(f"the values of {name!r} have {len(data)} bytes instead of {needed}")
        flat = np.frombuffer(data, _WIDTHS[store.item_bytes])[tensor.offset :]
        strides = tuple(step * store.item_bytes for step in tensor.stride)
        view = np.lib.stride_tricks.as_strided(flat, tensor.shape, strides, writeable=False) if tensor.values else flat
        yield name, Part(store.dtype, tensor.shape, np.ascontiguousarray(view if tensor.values else view[:0]))


def _array_type(name: str, array: np.ndarray) -> str:
    found = _ARRAY_TYPES.get(array.dtype.name)
    if found is None or array.dtype.byteorder == ">":
        raise Malformed(f"its {name!r} is an array of {array.dtype}")
    return found


def _write(target: Path, tensors: Mapping[str, TensorRef | np.ndarray], archive: zipfile.ZipFile, prefix: str) -> None:
    """A safetensors file: the header's length, a JSON header, the values one after another."""
    header, offset = {}, 0
    for name in sorted(tensors):
        tensor = tensors[name]
        dtype = _array_type(name, tensor) if isinstance(tensor, np.ndarray) else tensor.storage.dtype
        end = offset + _bytes(tensor)
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(target, "wb") as handle:
        handle.write(struct.pack("<Q", len(text)) + text)
        for _, part in _parts(tensors, archive, prefix):
            handle.write(part.data.tobytes())
