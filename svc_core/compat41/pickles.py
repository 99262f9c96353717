"""Pickles of strangers, read without running anything of theirs: tensors, arrays, numbers and containers, no more.

A pickle is a program that may call whatever it can import. Here it can import the few names of `_ADMITTED`, and gets
stand-ins for them that hold facts: nothing of torch, and no constructor of numpy, is ever reached.
"""

import _compat_pickle
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

# Storage classes of torch -> the type's name in safetensors, and bytes per value.
STORAGES = {
    "DoubleStorage": ("F64", 8),
    "FloatStorage": ("F32", 4),
    "HalfStorage": ("F16", 2),
    "BFloat16Storage": ("BF16", 2),
    "LongStorage": ("I64", 8),
    "IntStorage": ("I32", 4),
    "ShortStorage": ("I16", 2),
    "CharStorage": ("I8", 1),
    "ByteStorage": ("U8", 1),
    "BoolStorage": ("BOOL", 1),
}
_ARRAY_KINDS = "biuf"


class Unsafe(Exception):
    """The pickle asks for something that is not admitted; the message names it."""


class Malformed(Exception):
    """Not what a file of weights looks like."""


@dataclass(frozen=True)
class StorageRef:
    """Where a tensor's values lie: the archive's entry `data/<key>`, its type, and how many values it has."""

    key: str
    dtype: str
    item_bytes: int
    values: int


@dataclass(frozen=True)
class TensorRef:
    """A view into a storage; offset and strides count values."""

    storage: StorageRef
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def values(self) -> int:
        return math.prod(self.shape)


class _Callable:
    """A stand-in that can be called and nothing else: it has no attributes that a pickle could set."""

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __setattr__(self, name: str, value: Any) -> None:
        raise Malformed(f"it sets the attribute {name!r} of a function")

    def __call__(self, *arguments: Any) -> Any:
        try:
            return self._function(*arguments)
        except (TypeError, ValueError) as error:
            raise Malformed(f"a value of it cannot be built ({error})") from None


class _Marker:
    """A stand-in for a class or constant that is only named."""

    __slots__ = ("name",)
    name: str

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "name", name)

    def __setattr__(self, name: str, value: Any) -> None:
        raise Malformed(f"it sets the attribute {name!r} of {self.name}")


class _Dict(dict[Any, Any]):
    """An OrderedDict; what modules hang onto theirs (`_metadata`) is not needed."""

    def __setstate__(self, state: Any) -> None:
        pass


class _Dtype:
    """A numpy dtype of plain numbers."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        _, order, subdtype, names, fields = state[:5]
        if (subdtype, names, fields) != (None, None, None):
            raise Malformed("it holds an array of records")
        self.code = (order if order in "<>" else "") + self.code

    def resolve(self) -> np.dtype:
        found = np.dtype(self.code)
        if found.kind not in _ARRAY_KINDS:
            raise Malformed(f"it holds an array of {found}")
        return found


class _Array:
    """A numpy array, as its state describes it."""

    def __init__(self) -> None:
        self.values: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, data = state
        if not isinstance(data, bytes) or not isinstance(dtype, _Dtype):
            raise Malformed("it holds an array of objects")
        flat = np.frombuffer(data, dtype.resolve())
        self.values = flat.reshape(shape, order="F" if is_fortran else "C")


def _dtype(code: Any, *_: Any) -> _Dtype:
    if not isinstance(code, str) or len(code) > 3:
        raise Malformed("it holds an array of records")
    return _Dtype(code)


def _scalar(dtype: Any, data: Any) -> Any:
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
        raise Malformed("it holds a scalar of objects")
    return np.frombuffer(data, dtype.resolve(), 1)[0].item()


def _latin1(text: Any, encoding: Any = None) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Malformed("it encodes text in another way than numpy does")
    return text.encode("latin-1")


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> TensorRef:
    """Also of `_rebuild_tensor_v2(…, requires_grad, backward_hooks, metadata)`: hooks are never called."""
    numbers = (offset, *shape, *stride)
    if not isinstance(storage, StorageRef) or not all(type(one) is int and one >= 0 for one in numbers):
        raise Malformed("it holds a tensor without a storage")
    if len(shape) != len(stride):
        raise Malformed("it holds a tensor with too few strides")
    made = TensorRef(storage, offset, tuple(shape), tuple(stride))
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if made.values and (last >= storage.values or made.values > storage.values):
        raise Malformed("it holds a tensor that reaches beyond its storage")
    return made


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _empty_dict(*items: Any) -> _Dict:
    return _Dict(*items)


_NUMPY = {"_reconstruct": _Callable(lambda *_: _Array()), "scalar": _Callable(_scalar)}
_ADMITTED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Callable(_empty_dict),
    ("torch._utils", "_rebuild_tensor"): _Callable(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Callable(_tensor),
    ("torch._utils", "_rebuild_parameter"): _Callable(_parameter),
    ("torch", "Size"): _Callable(lambda sizes=(): tuple(sizes)),
    ("torch", "device"): _Callable(lambda *names: ":".join(map(str, names))),
    ("numpy", "dtype"): _Callable(_dtype),
    ("numpy", "ndarray"): _Marker("numpy.ndarray"),
    ("_codecs", "encode"): _Callable(_latin1),
    **{(f"numpy.{core}.multiarray", name): made for core in ("core", "_core") for name, made in _NUMPY.items()},
    **{("torch", name): _Marker(name) for name in STORAGES},
    **{("torch", name): _Marker(f"torch.{name}") for name in ("float32", "float16", "bfloat16", "float64", "int64")},
}


class Reader(pickle.Unpickler):
    """Reads one pickle. Raises Unsafe for a name that is not admitted, Malformed for a value that is not."""

    def find_class(self, module: str, name: str) -> Any:
        found = _ADMITTED.get((module, name))
        if found is None:
            raise Unsafe(".".join(_today(module, name)))
        return found

    def persistent_load(self, given: Any) -> StorageRef:
        match given:
            case ("storage", _Marker(name=kind), str(key), str(), int(values)) if kind in STORAGES and values >= 0:
                dtype, item_bytes = STORAGES[kind]
                return StorageRef(key, dtype, item_bytes, values)
        raise Malformed("it names a storage in a way that torch does not")


def _today(module: str, name: str) -> tuple[str, str]:
    """Old pickles call things by the names of Python 2."""
    renamed = _compat_pickle.NAME_MAPPING.get((module, name))
    return renamed or (_compat_pickle.IMPORT_MAPPING.get(module, module), name)


def read(handle: BinaryIO) -> Any:
    """The value of a pickle. Raises Unsafe or Malformed, and nothing else, whatever the bytes are."""
    try:
        return plain(Reader(handle, encoding="latin-1").load(), {})
    except (Unsafe, Malformed):
        raise
    except MemoryError:
        raise Malformed("it asks for more memory than a file of its size needs") from None
    except Exception as error:  # damaged pickles raise nearly anything, from ValueError to KeyError
        raise Malformed(f"it is damaged ({type(error).__name__}: {error})") from None


def plain(value: Any, seen: dict[int, Any]) -> Any:
    """The value with arrays in place of their stand-ins. Raises Malformed where anything else is in it."""
    if isinstance(value, str | bytes | int | float | bool | None | TensorRef):
        return value
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, _Array):
        if value.values is None:
            raise Malformed("it holds an array without values")
        return value.values
    if isinstance(value, dict):
        made: Any = {}
        seen[id(value)] = made
        made.update((name, plain(item, seen)) for name, item in value.items() if isinstance(name, str | int))
        return made
    if isinstance(value, list | tuple | set | frozenset):
        seen[id(value)] = made = []
        made.extend(plain(item, seen) for item in value)
        return made
    if isinstance(value, _Marker):
        return value.name
    raise Malformed(f"it holds a value that is no number, text or tensor ({type(value).__name__})")
