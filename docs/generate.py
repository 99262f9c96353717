"""Writes docs/cli.md and docs/config.md from the code; --check fails where they differ.

python -m docs.generate [--check]
"""

import sys
from pathlib import Path
from typing import Any

import click

from jobs.cli import COMMANDS, app, load_command
from jobs.settings import SETTINGS, Setting
from svc_core.config import Config
from svc_core.settings import PRESETS

HERE = Path(__file__).parent
NOTE = "<!-- Written by `make docs` from the code; edit the code instead. -->\n"


def cli_page() -> str:
    import typer

    root = typer.main.get_command(app)
    parts = ["# The command line\n", NOTE, _block(root, "svc-jobs")]
    for name in COMMANDS:
        command = load_command(name)
        parts += [f"## {name}\n", _block(command, f"svc-jobs {name}")]
        if hasattr(command, "commands"):
            for sub, inner in command.commands.items():
                parts += [f"### {name} {sub}\n", _block(inner, f"svc-jobs {name} {sub}")]
    return "\n".join(parts)


def _block(command: click.Command, name: str) -> str:
    with command.make_context(name, [], resilient_parsing=True, terminal_width=110, max_content_width=110) as context:
        return f"```text\n{command.get_help(context).rstrip()}\n```\n"


def config_page() -> str:
    flags = {row.path: row for row in SETTINGS}
    rows: list[str] = []
    _rows(Config, "", flags, rows)
    head = (
        "# The config\n\n"
        + NOTE
        + "\n`app/configs/44k/config_colab_<voice>.json` holds so-vits-svc 4.1's blocks `train`,"
        " `data`, `model` and `spk`,\nand ours under `svc_jobs`. `prepare` and `run` write it; a valid edit by hand is"
        " the new setting.\n\n| field | default | flag | what it is |\n|---|---|---|---|\n"
    )
    return head + "\n".join(rows) + "\n\n## Presets\n\n" + _presets()


def _rows(block: Any, prefix: str, flags: dict[str, Setting], rows: list[str]) -> None:
    for name, field in block.model_fields.items():
        path = f"{prefix}{name}"
        if hasattr(field.annotation, "model_fields"):
            _rows(field.annotation, f"{path}.", flags, rows)
            continue
        default = "required" if field.is_required() else f"`{_json(field.get_default(call_default_factory=True))}`"
        flag = ""
        if row := flags.get(path):
            flag, default = f"`{row.flag}`", row.default or default
        rows.append(f"| `{path}` | {default} | {flag} | {field.description or ''} |")


def _presets() -> str:
    lines = ["| preset | differs from the defaults by |", "|---|---|"]
    for name, blocks in PRESETS.items():
        changes = [
            f"`{block}.{field}` {_json(value)}" for block, fields in blocks.items() for field, value in fields.items()
        ]
        lines.append(f"| `{name}` | {', '.join(changes)} |")
    return "\n".join(lines) + "\n"


def _json(value: Any) -> str:
    import json

    return json.dumps(value)


def main() -> int:
    pages = {"cli.md": cli_page(), "config.md": config_page()}
    stale = [name for name, text in pages.items() if not (HERE / name).is_file() or (HERE / name).read_text() != text]
    if "--check" in sys.argv:
        if stale:
            print(f"{', '.join(stale)} differ from the code: run make docs")  # noqa: T201
        return bool(stale)
    for name in stale:
        (HERE / name).write_text(pages[name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
