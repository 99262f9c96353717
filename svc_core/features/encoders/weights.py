"""Weights files of transformers models, read without running any code of theirs, and fitted without gaps."""

from collections.abc import Callable, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from svc_core.errors import ConfigError


def read(path: Path) -> dict[str, Tensor]:
    """Tensors by name. Raises ConfigError where the file is damaged or holds anything but tensors."""
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except safetensors.SafetensorError as error:
        raise _unusable(path, str(error)) from error
    except OSError:
        raise
    except Exception as error:  # torch.load documents no closed set of errors for damaged bytes
        raise _unusable(path, str(error)) from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise _unusable(path, "it holds more than tensors")
    return tensors


def fit(network: nn.Module, tensors: Mapping[str, Tensor], path: Path, is_spare: Callable[[str], bool]) -> None:
    """Gives `network`, built on the meta device, its `tensors` in float32.

    Raises ConfigError where one is missing, of another shape, or left over without being spare: a network with random
    parts must never pass for a trained one.
    """
    needed = network.state_dict()
    missing = sorted(set(needed) - set(tensors))
    left_over = sorted(name for name in set(tensors) - set(needed) if not is_spare(name))
    misfits = [name for name in needed if name in tensors and tensors[name].shape != needed[name].shape]
    for problem, names in (("lacks", missing), ("has unknown", left_over), ("has another shape of", misfits)):
        if names:
            raise _unusable(path, f"it {problem} {names[0]}" + (f" and {len(names) - 1} more" if names[1:] else ""))
    network.load_state_dict({name: tensors[name].float() for name in needed}, assign=True)


def _unusable(path: Path, reason: str) -> ConfigError:
    reason = reason.partition("\n")[0]
    return ConfigError(f"{path} cannot be used as this encoder's weights ({reason}): fetch or copy the right file")
