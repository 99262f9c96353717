"""A torch network through ONNX Runtime: exported once per machine, kept beside the Hub's cache."""

import io
import mmap
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from huggingface_hub import constants
from torch import nn

from svc_core import files
from svc_core.features.encoders import onnx_int8
from svc_core.features.encoders.encoder import RATE_HZ

_EXPORT_VERSION = 1  # raise it when the export below changes
_OPSET = 17


def runner(key: str, load: Callable[[], nn.Module], *, int8: bool) -> Callable[[np.ndarray], np.ndarray]:
    """The function audio [T] -> content [D, N] of the network that `load` gives and `key` identifies.

    `load` is called only where the export is not in the cache. Threads: as many as torch has now.
    """
    path = _path(f"{key}-{'int8' if int8 else 'fp32'}")
    session = _cached_session(path) or _export(path, load, int8=int8)

    def run(audio: np.ndarray) -> np.ndarray:
        return session.run(None, {"audio": audio[None]})[0][0]

    return run


def _path(key: str) -> Path:
    name = f"{key}-torch{torch.__version__.partition('+')[0]}-v{_EXPORT_VERSION}.onnx"
    return Path(constants.HF_HOME) / "svc-jobs" / name


def _cached_session(path: Path) -> onnxruntime.InferenceSession | None:
    if not path.is_file():
        return None
    try:
        return _session(path)
    except Exception:  # a damaged file: onnxruntime's own classes share no base but this, and it is made anew
        return None


def _export(path: Path, load: Callable[[], nn.Module], *, int8: bool) -> onnxruntime.InferenceSession:
    try:
        _write(load(), path, int8=int8)
        return _session(path)
    except OSError:  # a read-only cache, as in a container: this process still gets its network
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / path.name
            _write(load(), temporary, int8=int8)
            return _session(temporary)


def _write(network: nn.Module, path: Path, *, int8: bool) -> None:
    """The graph at `path`, its weights in a file beside it, which ONNX Runtime maps into memory.

    The exporter would put both into one message and copy it several times: 2.4 GB at its peak for HuBERT base.
    """
    model = onnx.load_from_string(_graph(network))
    state = network.state_dict()
    tensors = {one.name: state[one.name].numpy() for one in model.graph.input if one.name in state}
    inputs = [one for one in model.graph.input if one.name not in state]
    if int8:
        tensors = onnx_int8.quantise(model.graph, tensors)
    weights = path.with_suffix(".weights")
    with files.replacing(weights) as temp, temp.open("wb") as handle:
        for name, values in tensors.items():
            handle.write(bytes(-handle.tell() % mmap.ALLOCATIONGRANULARITY))
            model.graph.initializer.append(_outside(name, values, weights.name, handle.tell()))
            handle.write(np.ascontiguousarray(values).tobytes())
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    files.write_bytes(path, model.SerializeToString())


def _outside(name: str, values: np.ndarray, file: str, offset: int) -> onnx.TensorProto:
    kind = onnx.helper.np_dtype_to_tensor_dtype(values.dtype)
    tensor = onnx.TensorProto(name=name, dims=values.shape, data_type=kind)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", file), ("offset", offset), ("length", values.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _graph(network: nn.Module) -> bytes:
    """The network without its weights, which become inputs by the names of its state dict."""
    buffer = io.BytesIO()
    # The tracer warns of its own age, and of shape checks whose outcome it takes as given.
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, RATE_HZ),),
            buffer,  # type: ignore[arg-type]  # documented for the path, taken as a file by this exporter
            input_names=["audio"],
            output_names=["content"],
            dynamic_axes={"audio": {1: "samples"}, "content": {2: "frames"}},
            opset_version=_OPSET,
            dynamo=False,
            export_params=False,
            do_constant_folding=False,
        )
    return buffer.getvalue()


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
