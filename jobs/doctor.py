"""doctor: what the stages need, checked on this machine; each finding says what to do."""

import os
import platform
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Literal

from jobs.console import Console, counted
from jobs.failures import Answered
from jobs.session import find_config
from jobs.workspace import FolderWorkspace
from svc_core import files
from svc_core.errors import ConfigError, SvcError
from svc_core.registry import ENCODERS
from svc_core.storage.opening import check_place

FREE_BYTES = 5 * 2**30
SHM_BYTES = 1 * 2**30
SLICE_PACKAGES = ("av", "numpy", "soundfile", "soxr")
TRAIN_PACKAGES = ("huggingface_hub", "onnxruntime", "pyworld", "safetensors", "swift_f0", "tensorboard", "transformers")
BUCKET_BUDGET_S = 10.0
_SUBJECT_CHARS = 26
_COLOURS = {"ok": "green", "note": "yellow", "fail": "bold red"}


@dataclass(frozen=True)
class Finding:
    subject: str
    level: Literal["ok", "note", "fail"]
    text: str


def examine(workspace: str | None, console: Console) -> None:
    """Prints every finding. Raises Answered (78) where one of them is a failure, ConfigError for no workspace's name.

    Args:
        workspace: a folder, or `s3://bucket/prefix`, which gets a few small probe objects that are removed again.
    """
    if workspace is not None:
        check_place(workspace)
    conclude(_findings(workspace), console)


def conclude(findings: Iterable[Finding], console: Console) -> None:
    """Prints each finding as it comes, and answers with all of them. Raises Answered (78) where one is a failure."""
    found = []
    for finding in findings:
        _show(finding, console)
        found.append(finding)
    facts = {"findings": [asdict(finding) for finding in found]}
    failures = [f"{finding.subject}: {finding.text}" for finding in found if finding.level == "fail"]
    if failures:
        raise Answered("; ".join(failures), ConfigError.exit_code, facts)
    console.result({"status": "done", "exit_code": 0, **facts})


def _show(finding: Finding, console: Console) -> None:
    if console.json_mode or console.quiet:
        return
    if not sys.stdout.isatty():
        console.say(f"{finding.level:<4}  {finding.subject:<{_SUBJECT_CHARS}}  {finding.text}")
        return
    from rich.console import Console as Rich
    from rich.table import Table
    from rich.text import Text

    row = Table.grid(padding=(0, 2))
    row.add_column(width=4, style=_COLOURS[finding.level])
    row.add_column(width=_SUBJECT_CHARS)
    row.add_row(finding.level, Text(finding.subject), Text(finding.text))
    Rich().print(row)


def _findings(workspace: str | None) -> Iterator[Finding]:
    version = metadata.version("svc-jobs")
    yield Finding("svc-jobs", "ok", f"{version} on Python {platform.python_version()}, {os.cpu_count()} CPUs")
    yield from _packages(SLICE_PACKAGES, "fail", "pip install svc-jobs")
    yield from _packages(TRAIN_PACKAGES, "note", "stages from features on need pip install 'svc-jobs[train]'")
    yield from _torch()
    yield _shared_memory()
    if workspace is not None and "://" in workspace:
        yield from _bucket(workspace)
    elif workspace is not None:
        yield from _workspace(Path(workspace).expanduser())


def _packages(names: tuple[str, ...], level: Literal["note", "fail"], cure: str) -> Iterator[Finding]:
    for name in names:
        try:
            import_module(name)
        except ImportError as error:
            yield Finding(name, level, f"cannot be imported ({error}): {cure}")
            return
    yield Finding(f"{names[0]} and {len(names) - 1} more", "ok", "import")


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except ImportError:
        yield Finding("torch", "note", "not installed: stages from features on need pip install 'svc-jobs[train]'")
        return
    yield Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        yield Finding("GPU", "ok", f"{names}; torch was built for {' '.join(torch.cuda.get_arch_list())}")
    else:
        yield Finding("GPU", "note", "torch sees none: --device cuda would exit 78, training on the CPU is slow")


def _shared_memory() -> Finding:
    shm = Path("/dev", "shm")
    if not shm.is_dir():
        return Finding("shared memory", "note", "absent on this system: loader workers use files instead")
    free = shutil.disk_usage(shm).free
    if free < SHM_BYTES:
        return Finding(
            "shared memory", "note", f"{free / 2**20:.0f} MiB free: loader workers want 1 GiB, mount a larger one"
        )
    return Finding("shared memory", "ok", f"{free / 2**30:.1f} GiB free")


def _bucket(url: str) -> Iterator[Finding]:
    from svc_core.storage import probe
    from svc_core.storage.s3 import S3Store

    try:
        store = S3Store.open_url(url, BUCKET_BUDGET_S)
    except SvcError as error:
        yield Finding("bucket", "fail", str(error))
        return
    for check in probe.examine(store):
        yield Finding(check.subject, check.level, check.text)


def _workspace(root: Path) -> Iterator[Finding]:
    if not root.is_dir():
        yield Finding("workspace", "fail", f"{root} is no folder: create it and put recordings into raw/<speaker>/")
        return
    probe = root / f".svc-jobs-doctor-{os.getpid()}"
    try:
        files.write_bytes(probe, b"probe")
        probe.unlink()
        yield Finding("workspace", "ok", f"{root} can be written")
    except OSError as error:
        yield Finding("workspace", "fail", f"{root} cannot be written ({error.strerror}): change its owner or mode")
    free = shutil.disk_usage(root).free
    level: Literal["ok", "note"] = "ok" if free >= FREE_BYTES else "note"
    yield Finding(
        "disk", level, f"{free / 2**30:.1f} GiB free; an hour of speech needs about 2.3 GB, a full checkpoint 1.2 GB"
    )
    yield from _config_and_encoder(root)


def _config_and_encoder(root: Path) -> Iterator[Finding]:
    try:
        config = find_config(FolderWorkspace(root))
    except SvcError as error:
        yield Finding("config", "fail", str(error))
        return
    if config is None:
        yield Finding("config", "note", "none yet: prepare writes it")
        return
    yield Finding(
        "config",
        "ok",
        f"voice {config.svc_jobs.voice!r}, {counted(len(config.spk), 'speaker')}, encoder {config.encoder}",
    )
    if ENCODERS[config.encoder].model is None or "torch" not in sys.modules:
        return
    from svc_core.features import models

    try:
        yield Finding("encoder", "ok", f"{models.locate(config.encoder)}")
    except SvcError as error:
        yield Finding("encoder", "fail", str(error))
