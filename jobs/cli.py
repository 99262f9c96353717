"""The command line's door: names the commands without importing them, and turns errors into exit codes."""

import os
import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from jobs import argo

# Each command's first line of help stands here, so that `svc-jobs --help` imports none of their code.
COMMANDS = {
    "run": "All stages in order, from raw recordings to a trained voice, converted audio and a report.",
    "prepare": "Find the speakers and recordings, write speaker ids, config and slice plan.",
    "slice": "Cut recordings into 44.1 kHz clips: slice, trim, normalise and resample in one pass.",
    "filelists": "Write the train and validation lists.",
    "features": "Write the five sidecars of every listed clip.",
    "train": "Train until the set number of steps, from the newest checkpoint on.",
    "evaluate": "Measure every checkpoint on the validation clips and name the best.",
    "convert": "Convert audio files to a speaker's voice.",
    "consent": "Record who agreed that a speaker's voice is used and for what; publishing needs it.",
    "publish": "Write the release: safetensors, a 4.1 model file, config, model card, hashes.",
    "report": "Write one HTML page of everything that exists.",
    "hub": "Push and pull parts of a workspace to and from the Hugging Face Hub.",
    "export41": "Write the clips and sidecars as a folder that so-vits-svc 4.1 trains from.",
    "import41": "Take over a folder that so-vits-svc 4.1 trains from, or the weights of a .pth of anybody.",
    "workspace": "List, compare, copy, verify and clean up a workspace, in a folder or a bucket.",
    "doctor": "Check this machine and the workspace for what the stages need.",
    "submit": "On Kubernetes: run a speaker's stages as an Argo workflow, and show them until the end.",
    "status": "On Kubernetes: list the workflows, or show one with its stages and its bucket.",
    "logs": "On Kubernetes: print the logs of a workflow's stages.",
    "cancel": "On Kubernetes: end a workflow; its stages save what they have.",
    "models": "List, fetch and verify pretrained encoders and f0 predictors.",
}

# Where a command stands, if not in jobs.commands: a function of its name, or an `app` with commands of its own.
MODULES = {
    "models": "jobs.models",
    "workspace": "jobs.workspace_commands",
    "hub": "jobs.hub.commands",
    "consent": "jobs.consent",
    "export41": "jobs.compat41",
    "import41": "jobs.compat41",
    **dict.fromkeys(("submit", "status", "logs", "cancel"), "jobs.cluster.commands"),
}


class LazyGroup(TyperGroup):
    """Lists stubs; the real command is imported when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name]) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, stub, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if stub and name else stub, rest


def load_command(name: str) -> Any:
    """The real command, a `TyperCommand` or `TyperGroup`."""
    place = import_module(MODULES.get(name, "jobs.commands"))
    if hasattr(place, "app"):
        place.app.info.help = COMMANDS[name]
        return typer.main.get_command(place.app)
    real = typer.Typer(add_completion=False, rich_markup_mode=None)
    real.command(name, help=COMMANDS[name])(getattr(place, {"slice": "slice_"}.get(name, name)))
    return typer.main.get_command(real)


app = typer.Typer(cls=LazyGroup, add_completion=False, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def svc_jobs() -> None:
    """From raw recordings of a speaker to a trained so-vits-svc 4.1-compatible voice model.

    Exit codes: 0 done, 2 a flag does not parse, 66 bad input, 70 our bug or diverged training, 75 try again
    (preempted, disk full, network), 78 configuration.
    """


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code; errors end as one sentence on stderr."""
    # Before any library that reports on its use is imported; who wants that can say so.
    for name in ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ.setdefault(name, "1")
    argo.expect_to_be_killed()
    try:
        typer.main.get_command(app).main(arguments, prog_name="svc-jobs")
    except SystemExit as ended:  # how typer reports a flag that does not parse, and success
        code = ended.code if isinstance(ended.code, int) else 0
        argo.write_failure("the command line does not parse: the log says where" if code == 2 else "")
        return code
    except Exception as error:
        from jobs.failures import report_failure

        return report_failure(error, arguments)
    return 0
