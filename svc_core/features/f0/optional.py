"""Packages that only some rows need, imported when such a row is built."""

import contextlib
import io
from importlib import import_module
from types import ModuleType

from svc_core.errors import ConfigError


def package(module: str, extra: str) -> ModuleType:
    """The module. Raises ConfigError where it, or the torchaudio that it imports, is absent or does not fit torch."""
    try:
        # Some of them print at import; stdout belongs to the command's own output.
        with contextlib.redirect_stdout(io.StringIO()):
            return import_module(module)
    except (ImportError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"{module.partition('.')[0]} cannot be imported ({reason}): run pip install 'svc-jobs[{extra}]' beside the "
            "CUDA build of torch, the only one that torchaudio 2.11.0 fits, or choose another f0_predictor"
        ) from error
