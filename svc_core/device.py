"""Where tensors live: the one place that turns a setting into a device."""

import torch

from svc_core.errors import ConfigError


def resolve_device(name: str) -> torch.device:
    """The device for `cuda`, `cpu` or `auto` (a GPU where torch sees one).

    Raises ConfigError for another name, and for `cuda` where torch sees no GPU: work that was meant for a GPU must
    not crawl on a CPU unnoticed.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device {name!r} is unknown: use cuda, auto or cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is cuda, but torch sees no GPU: run where there is one, or use device auto or cpu")
    wants_gpu = name == "cuda" or (name == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if wants_gpu else "cpu")
