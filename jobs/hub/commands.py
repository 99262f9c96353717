"""hub: parts of a workspace to and from repositories of the Hugging Face Hub."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from jobs.commands import Json, Quiet, Scratch, Verbose, Workspace, begin
from jobs.console import Console, StageResult
from jobs.hub.access import brought, open_hub, sent
from jobs.session import Session, making_folder
from svc_core import hub as hubs
from svc_core import layout
from svc_core.errors import ConfigError
from svc_core.hub import Kind

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)
What = Annotated[str, typer.Argument(metavar="KIND", help="raw, sliced, features or model.")]
Speaker = Annotated[str, typer.Option("--speaker", help="Speaker; for a model, its voice.")]
Namespace = Annotated[
    str, typer.Option("--namespace", envvar="SVC_HUB_NAMESPACE", help="Your user or organisation on the Hub.")
]
Revision = Annotated[
    str | None, typer.Option("--revision", help="Branch, tag or commit; default: main as it is at the start.")
]
_PAIRS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "raw": (hubs.push_raw, hubs.pull_raw),
    "sliced": (hubs.push_sliced, hubs.pull_sliced),
    "features": (hubs.push_features, hubs.pull_features),
    "model": (hubs.push_model, hubs.pull_model),
}


@app.command(help="Send what the repository lacks: raw-S, sliced-S, features-S, or the model S. Repeating it goes on.")
def push(
    kind: What,
    speaker: Speaker,
    namespace: Namespace,
    workspace: Workspace,
    private: Annotated[
        bool, typer.Option("--private/--public", help="What a new repository becomes; public needs consent.")
    ] = True,
    scratch: Scratch = None,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    session, found = begin(workspace, scratch, json_, quiet, verbose), _kind(kind)
    hub = open_hub(session.console, namespace, private=private)
    pushed = _PAIRS[found][0](session.workspace, speaker, hub)
    _answer(session.console, sent(pushed))


@app.command(help="Bring what the workspace lacks from the repository, at one commit, each file checked.")
def pull(
    kind: What,
    speaker: Speaker,
    namespace: Namespace,
    workspace: Workspace,
    revision: Revision = None,
    scratch: Scratch = None,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    found = _kind(kind)
    with making_folder(workspace):
        session = begin(workspace, scratch, json_, quiet, verbose)
        hub = open_hub(session.console, namespace)
        with session.workspace.holding("hub", f"{found}-{layout.slug(speaker)}"):
            pulled = _PAIRS[found][1](session.workspace, speaker, hub, revision)
    _answer(session.console, brought(pulled))


@app.command(help="Say what the repository holds, at which commit, and what differs from the workspace.")
def status(
    kind: What,
    speaker: Speaker,
    namespace: Namespace,
    workspace: Workspace,
    revision: Revision = None,
    scratch: Scratch = None,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    session, found = begin(workspace, scratch, json_, quiet, verbose), _kind(kind)
    seen = hubs.status(session.workspace, found, speaker, open_hub(session.console, namespace), revision)
    _say_status(session, seen)
    session.console.result({"status": "done", "exit_code": 0, "same": seen.same, **seen.model_dump()})


def _kind(text: str) -> Kind:
    for kind in hubs.KINDS:
        if kind == text:
            return kind
    raise ConfigError(f"{text!r} is no kind of repository: give one of {', '.join(hubs.KINDS)}")


def _say_status(session: Session, seen: hubs.Status) -> None:
    console = session.console
    if seen.revision is None:
        console.say(f"{seen.repo} does not exist, or this token may not see it")
    else:
        console.say(f"{seen.repo} at {seen.revision}: {seen.files} files, {seen.bytes / 1e6:.1f} MB")
    lists = {"only here": seen.only_here, "only there": seen.only_there, "different": seen.different}
    for name, keys in lists.items():
        for key in keys:
            console.detail(f"{name}: {key}")
    counts = ", ".join(f"{len(keys)} {name}" for name, keys in lists.items())
    more = "" if seen.same or console.verbose else "; -v lists them"
    console.say(f"{seen.equal} equal, {counts}{more}")


def _answer(console: Console, result: StageResult) -> None:
    console.say(result.message)
    console.result({"status": "done", "exit_code": 0, **result.facts})
