"""models: the pretrained files behind encoders and f0 predictors."""

from typing import Annotated

import typer

from jobs.console import Console
from svc_core.features import models
from svc_core.registry import ENCODERS, F0_PREDICTORS

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)
Names = Annotated[list[str], typer.Argument(help="Encoder or f0 predictor, as `models list` names it.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@app.command("list", help="List every encoder and f0 predictor, and where its file lies on this machine.")
def list_command(json_: Json = False) -> None:
    console, rows = Console(json_), models.list_models()
    cells = [[row.name, row.kind, row.summary, row.source, row.path or ""] for row in rows]
    console.table(["name", "kind", "what it is", "source", "on this machine"], cells)
    console.result({"status": "done", "exit_code": 0, "models": [row.model_dump() for row in rows]})


@app.command(help="Fetch models from the Hub, or from its mirror (HF_ENDPOINT), into its cache (HF_HOME).")
def fetch(names: Names, json_: Json = False) -> None:
    console, found = Console(json_), []
    for name in names:
        located = models.fetch(name)
        console.say(f"{name}: {located.weights} ({located.sha256})" if located else f"{name} needs no model file")
        found.append({"name": name, "path": str(located.weights) if located else None})
    console.result({"status": "done", "exit_code": 0, "models": found})


@app.command(help="Hash models on this machine against what the registry expects; no network is used.")
def verify(names: Names, json_: Json = False) -> None:
    console, found = Console(json_), []
    for name in names:
        located = models.verify(name)
        expected = (ENCODERS.get(name) or F0_PREDICTORS[name]).model
        against = "as the registry expects" if expected and expected.sha256 else "the registry pins no hash yet"
        console.say(f"{name}: {located.sha256} ({against})")
        found.append({"name": name, "path": str(located.weights), "sha256": located.sha256})
    console.result({"status": "done", "exit_code": 0, "models": found})
