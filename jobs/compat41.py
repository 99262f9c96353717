"""export41 and import41: to a tree that so-vits-svc 4.1 trains from, and from one; models of 4.1 as plain weights."""

from pathlib import Path
from typing import Annotated

import typer

from jobs import reads
from jobs.commands import Json, OptionalWorkspace, Quiet, Scratch, Verbose, Voice, Workspace, begin
from jobs.console import Console, counted
from svc_core.errors import BadInput, ConfigError

_SHOWN = 5


def export41(
    target: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write; new, empty, or an earlier export.")],
    workspace: Workspace,
    scratch: Scratch = None,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    from svc_core.compat41.export import check_names, export

    session = begin(workspace, scratch, json_, quiet, verbose)
    console, config, lists = session.console, session.config(), session.filelists()
    check_names(lists)
    session.workspace.bring(reads.training(lists))
    made = export(session.root, config, lists, target.expanduser().resolve())
    for note in made.notes:
        console.say(note)
    for name in made.kept:
        console.warn(f"{target / name} is no longer part of the export, but was changed: it is left there")
    verb = "exported" if made.written or made.removed else "already done"
    clips, written = counted(made.clips, "clip"), counted(made.written, "file")
    console.say(f"{verb}: {clips} to {target}, {written} written, {made.removed} removed")
    facts = {"clips": made.clips, "written": made.written, "removed": made.removed, "kept": made.kept}
    console.result({"status": "done", "exit_code": 0, "folder": str(target), **facts, "notes": made.notes})


def import41(
    source: Annotated[
        Path, typer.Argument(metavar="PATH", help="Folder that 4.1 trains from, or a G_*.pth or D_*.pth of anybody.")
    ],
    workspace: OptionalWorkspace = None,
    voice: Voice = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="With a model: the .pth or .safetensors to write.")
    ] = None,
    scratch: Scratch = None,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    console, source = Console(json_, quiet, verbose), source.expanduser()
    if source.is_dir():
        if workspace is None or output is not None:
            raise ConfigError(f"{source} is a folder: name the workspace to fill with -w, and no -o")
        return _import_tree(source, workspace, voice, scratch, console)
    if not source.exists():
        raise BadInput(f"{source} does not exist: give a folder that 4.1 trains from, or a G_*.pth")
    if output is None:
        raise ConfigError(f"{source} is a file: name the .pth or .safetensors for its weights with -o")
    return _import_model(source, output.expanduser(), console)


def _import_model(source: Path, output: Path, console: Console) -> None:
    from svc_core.compat41.weights import import_weights

    plain = import_weights(source, output)
    for name in plain.taken:
        console.detail(f"taken: {name}")
    beside = f"; left out: {', '.join(plain.left_out)}" if plain.left_out else ""
    console.say(f"imported: {len(plain.taken)} tensors of {source} to {plain.output}{beside}")
    console.result({"status": "done", "exit_code": 0, **plain.model_dump()})


def _import_tree(source: Path, workspace: str, voice: str | None, scratch: str | None, console: Console) -> None:
    from jobs.session import find_config, making_folder, open_workspace
    from svc_core.compat41.tree import import_tree

    with making_folder(workspace):
        place = open_workspace(workspace, console, scratch)
        with place.holding("prepare"):
            if find_config(place) is not None:
                raise ConfigError(f"{place.name} is a voice's workspace already: name an empty one with -w")
            made = import_tree(source, place.root, voice)
            place.take(made.keys)
    for note in made.notes:
        console.say(note)
    for sentence in made.left_out[:_SHOWN]:
        console.warn(f"not taken: {sentence}")
    if len(made.left_out) > _SHOWN:
        console.warn(f"not taken: {len(made.left_out) - _SHOWN} more; --json lists them")
    name = made.config.svc_jobs.voice
    console.say(
        f"imported: {counted(made.clips, 'clip')} of {', '.join(made.config.spk)} as the voice {name}; "
        f"svc-jobs run -w {place.name} makes their sidecars anew"
    )
    facts = {"voice": name, "clips": made.clips, "speakers": made.config.spk, "left_out": made.left_out}
    console.result({"status": "done", "exit_code": 0, **facts, "notes": made.notes})
