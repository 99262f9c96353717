"""Pretrained files behind encoders and f0 predictors: where they lie, and that a workspace keeps to the same ones.

Looked up in this order: the package that ships them; the folder `$SVC_MODELS/<name>/`, as a Hub snapshot or
save_pretrained lays it out, or just the file; the Hub and its cache. `<name>` is the row's name in the registry. What a
workspace first uses is written down as its pin, and every later use must have the same content.
"""

import os
import secrets
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from svc_core import files, layout
from svc_core.errors import ConfigError, Transient, from_os_error
from svc_core.features import download
from svc_core.manifest import Record
from svc_core.registry import ENCODERS, F0_PREDICTORS, EncoderRow, F0Row, ModelFile

FOLDER_VARIABLE = "SVC_MODELS"
_SAFETENSORS = "model.safetensors"


@dataclass(frozen=True)
class Located:
    """A model's weights on this machine; `config` is the config.json that describes them, where there is one."""

    name: str
    weights: Path
    config: Path | None = None
    repo: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.weights}"

    @cached_property
    def sha256(self) -> str:
        """Of the weights; read once, which takes about a second per GB."""
        return files.sha256_file(self.weights)


class Pin(Record):
    """The file that a workspace was made with: its origin on the Hub if it came from there, its name, its content."""

    repo: str | None
    revision: str | None
    file: str
    sha256: str


class ModelStatus(Record):
    """One row for `svc-jobs models list`; `path` is None where the file is not on this machine."""

    name: str
    kind: Literal["encoder", "f0 predictor"]
    summary: str
    source: str
    path: str | None


def obtain(name: str, wanted_sha256: str | None = None, root: Path | None = None) -> Located | None:
    """The model behind a row, fetched if need be and checked; None for a row that needs none.

    Its content must be what the registry, `wanted_sha256` (a setting) and the pin of the workspace `root` say; the
    first use in a workspace writes the pin.

    Raises:
        ConfigError: absent, or another content than expected (both hashes are named).
        Transient: the network or the Hub failed.
    """
    pin = read_pin(root, name) if root else None
    located = locate(name, pin)
    if located is None:
        return None
    _check_content(located, wanted_sha256)
    if root and pin is None:
        pin = _write_pin(root, located)
    if root and pin and pin.sha256 != located.sha256:
        raise ConfigError(
            f"this workspace was made with {name} {pin.sha256}, but {located.weights} is {located.sha256}: bring the "
            f"first file back, or delete {layout.model_pin(name)} to make the features anew with the second"
        )
    return located


def locate(name: str, pin: Pin | None = None) -> Located | None:
    """Finds the model of a row without reading it, on the Hub if it must; None for a row that needs none.

    Raises ConfigError where it is absent (which model, where it was looked for, what to do), Transient where the
    network or the Hub failed.
    """
    model = _row(name).model
    if model is None:
        return None
    if local := _on_this_machine(name, model, pin):
        return local
    if model.repo is None:
        raise _absent(name, f"put {model.file} into {_places(name)}")
    revision, names = _hub_names(model, pin)
    try:
        found = download.download(model.repo, names, revision, with_config=name in ENCODERS)
    except ConfigError as error:
        raise _absent(
            name, f"run svc-jobs models fetch {name} with network, or fill {_places(name)} ({error})"
        ) from error
    return _from_hub(name, model.repo, found)


def fetch(name: str) -> Located | None:
    """Brings the model of a row onto this machine and checks it against the registry. Raises as `obtain` does."""
    return obtain(name)


def verify(name: str, wanted_sha256: str | None = None, root: Path | None = None) -> Located:
    """Hashes the model of a row on this machine, without network. Raises ConfigError where it is absent or another."""
    model = _row(name).model
    if model is None:
        raise ConfigError(f"{name} needs no model file: there is nothing to verify")
    pin = read_pin(root, name) if root else None
    located = _on_this_machine(name, model, pin)
    if located is None:
        raise _absent(name, f"run svc-jobs models fetch {name}, or fill {_places(name)}")
    _check_content(located, wanted_sha256)
    if pin and pin.sha256 != located.sha256:
        raise ConfigError(f"{located.weights} is {located.sha256}, but the workspace was made with {pin.sha256}")
    return located


def list_models() -> list[ModelStatus]:
    """Every row of both registries, without network and without hashing."""
    return [_status(name) for name in (*ENCODERS, *F0_PREDICTORS)]


def read_pin(root: Path, name: str) -> Pin | None:
    return Pin.read(root / layout.model_pin(name))


def _row(name: str) -> EncoderRow | F0Row:
    if row := ENCODERS.get(name) or F0_PREDICTORS.get(name):
        return row
    raise ConfigError(f"{name!r} is no encoder or f0 predictor: use one of {', '.join((*ENCODERS, *F0_PREDICTORS))}")


def _on_this_machine(name: str, model: ModelFile, pin: Pin | None) -> Located | None:
    if model.package:
        return _in_package(name, model.package, model.file)
    if in_folder := _in_folder(name, model, pin):
        return in_folder
    if model.repo is None:
        return None
    revision, names = _hub_names(model, pin)
    found = download.cached(model.repo, names, revision, with_config=name in ENCODERS)
    return _from_hub(name, model.repo, found) if found else None


def _in_package(name: str, package: str, file: str) -> Located | None:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    weights = Path(spec.origin).parent / file
    return Located(name, weights) if weights.is_file() else None


def _in_folder(name: str, model: ModelFile, pin: Pin | None) -> Located | None:
    if not (base := os.environ.get(FOLDER_VARIABLE)):
        return None
    folder = Path(base) / name
    for file in dict.fromkeys([pin.file] if pin else []) | dict.fromkeys(_weights_names(model)):
        if (folder / file).is_file():
            config = folder / download.CONFIG
            return Located(name, folder / file, config if config.is_file() else None)
    return None


def _weights_names(model: ModelFile) -> list[str]:
    """Names that the weights may have, the best first: safetensors holds no code at all."""
    is_torch = model.file == "pytorch_model.bin"
    return [_SAFETENSORS, model.file] if is_torch else [model.file]


def _hub_names(model: ModelFile, pin: Pin | None) -> tuple[str | None, list[str]]:
    """Revision and file names to ask the Hub for: the pinned ones where the pin came from there."""
    if pin and pin.repo == model.repo:
        return pin.revision, [pin.file]
    return model.revision, _weights_names(model)


def _from_hub(name: str, repo: str, found: download.HubFiles) -> Located:
    return Located(name, found.weights, found.config, repo, found.commit)


def _check_content(located: Located, wanted_sha256: str | None) -> None:
    hub_says = download.expected_sha256(located.weights) if located.repo else None
    if hub_says and hub_says != located.sha256:
        download.discard(located.weights)
        raise Transient(
            f"{located.weights} was damaged on its way (it is {located.sha256}, the Hub says {hub_says}) and was "
            "removed: run the same command again"
        )
    known = _row(located.name).model
    expectations = {"the registry": known.sha256 if known else None, "svc_jobs.features.weights_sha256": wanted_sha256}
    for who, expected in expectations.items():
        if expected and expected != located.sha256:
            raise ConfigError(
                f"{located.weights} is {located.sha256}, but {who} wants {expected} for {located.name}: "
                "bring that file, or correct the setting"
            )


def _write_pin(root: Path, located: Located) -> Pin:
    """Writes the pin unless another process was faster; returns the one that stands."""
    pin = Pin(repo=located.repo, revision=located.revision, file=located.weights.name, sha256=located.sha256)
    path = root / layout.model_pin(located.name)
    temp = path.with_name(f"{files.TEMP_PREFIX}{os.getpid()}-{secrets.token_hex(4)}.json")
    try:
        pin.write(temp)
        try:
            os.link(temp, path)  # unlike a rename, it fails where the name exists
        except FileExistsError:
            if (standing := Pin.read(path)) is None:
                raise ConfigError(f"{path} is damaged: delete it to pin {located.name} again") from None
            return standing
        finally:
            temp.unlink(missing_ok=True)
    except OSError as error:
        raise from_os_error(error, path) from error
    return pin


def _status(name: str) -> ModelStatus:
    row = _row(name)
    kind: Literal["encoder", "f0 predictor"] = "encoder" if name in ENCODERS else "f0 predictor"
    if row.model is None:
        return ModelStatus(name=name, kind=kind, summary=row.summary, source="needs none", path=None)
    located = _on_this_machine(name, row.model, None)
    source = f"package {row.model.package}" if row.model.package else row.model.repo or "bring your own"
    path = str(located.weights) if located else None
    return ModelStatus(name=name, kind=kind, summary=row.summary, source=source, path=path)


def _absent(name: str, what_to_do: str) -> ConfigError:
    row = _row(name)
    if row.model and row.model.package:
        return ConfigError(
            f"{name} needs the package {row.model.package}, which is not here: run pip install 'svc-jobs[{row.extra}]'"
        )
    return ConfigError(f"the weights of {name} are not on this machine: {what_to_do}")


def _places(name: str) -> str:
    base = os.environ.get(FOLDER_VARIABLE)
    return str(Path(base) / name) if base else f"${FOLDER_VARIABLE}/{name} ({FOLDER_VARIABLE} is not set)"
