"""The way of every command to the Hub, and what a push or a pull leaves to say."""

from jobs.console import Console, StageResult, counted
from svc_core.hub import Hub, Pulled, Pushed


def open_hub(console: Console, namespace: str, *, private: bool = True) -> Hub:
    """The Hub that the library's variables lead to, without its own bars and warnings on stderr."""
    from huggingface_hub import logging
    from huggingface_hub.utils import disable_progress_bars

    logging.set_verbosity_error()
    disable_progress_bars()
    hub = Hub(namespace, private=private, notice=console.warn)
    hub.check_online()
    return hub


def sent(pushed: Pushed) -> StageResult:
    where = f"{pushed.repo}, now at {pushed.revision[:12]}"
    message = f"already there: {where}" if pushed.already else f"pushed: {_size(pushed)} to {where}"
    return StageResult("hub", pushed.files, int(pushed.already), message, pushed.model_dump())


def brought(pulled: Pulled) -> StageResult:
    where = f"{pulled.repo} at {pulled.revision[:12]}"
    message = f"pulled: {_size(pulled)} from {where}" if pulled.files else f"already here: all of {where}"
    return StageResult("hub", pulled.files, pulled.skipped, message, pulled.model_dump())


def _size(moved: Pushed | Pulled) -> str:
    return f"{counted(moved.files, 'file')}, {moved.bytes / 1e6:.1f} MB"
