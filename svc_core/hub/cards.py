"""README.md of the data sets, in the Hub's form: a YAML head, then Markdown. Facts in, text out."""

import html
import json
import shlex
from collections.abc import Mapping, Sequence

from svc_core import layout
from svc_core.hub import contents
from svc_core.hub.client import Hub
from svc_core.hub.contents import Contents
from svc_core.hub.repos import Repo
from svc_core.hub.sharing import OwnerFacts

_NOT_STATED = "Not stated. Owner: put a LICENSE.txt beside the recordings and push again."
_NO_CONSENT = "No consent of the speaker is recorded here: do not publish or share this."
_SHOWN_HASHES = 20


def raw_card(repo: Repo, made: Contents, hub: Hub, heard: Sequence[str], owner: OwnerFacts) -> bytes:
    count = sum(entry.key.startswith(f"{layout.RAW}/") for entry in made.entries)
    about = f"{count} recordings of {_name(repo)} as they were uploaded, below `{contents.AUDIO}/`."
    made_from = "From nothing: these are the originals. Their true names stand in `svc-jobs.json`."
    return _card(repo, made, hub, owner, {"": about, "## Made from": made_from}, heard=heard, head=["viewer: false"])


def sliced_card(repo: Repo, made: Contents, hub: Hub, owner: OwnerFacts, settings: Mapping[str, str]) -> bytes:
    clips = sum(len(entry.members) for entry in made.entries)
    about = (
        f"{clips} clips of {_name(repo)}, 44.1 kHz mono PCM16, cut from {len(made.entries)} recordings. "
        "Columns: audio, speaker, source, offset_s, seconds, split, clip, sha256."
    )
    load = (
        f'```python\nfrom datasets import load_dataset\n\nload_dataset("{repo.id}", split="train", streaming=True)\n```'
    )
    heard = [one.path for one in made.files if one.path.startswith(f"{contents.EXAMPLES}/")]
    head = ["configs:", "- config_name: default", "  data_files:", "  - split: train", "    path: data/train-*.parquet"]
    texts = {
        "": about,
        "## Load": load,
        "## Settings": _table(["setting", "value"], settings),
        **_sources(made, "source"),
    }
    return _card(repo, made, hub, owner, texts, heard=heard, head=head)


def features_card(repo: Repo, made: Contents, hub: Hub, owner: OwnerFacts, models: Mapping[str, str]) -> bytes:
    """`models` names, by part, what the workspace made it with at the last push."""
    clips = [entry for entry in made.entries if "wav" in entry.inputs]
    parts = sorted({name for entry in clips for name in entry.inputs if name != "wav"})
    about = (
        f"What training reads of {len(clips)} clips of {_name(repo)} beside their sound: {', '.join(parts)}, in tar "
        f"files below `{contents.SHARDS}/`. The files are torch tensors (weights_only) and plain numpy arrays."
    )
    prints = {
        name: ", ".join(f"`{value}`" for value in sorted({one.inputs[name] for one in clips if name in one.inputs}))
        for name in parts
    }
    prints |= {f"{part}, at the last push with": f"`{name}`" for part, name in models.items()}
    pinned = [entry.key.rpartition("/")[2].removesuffix(".json") for entry in made.entries if "wav" not in entry.inputs]
    prints |= {f"pretrained file of {name}": f"`{contents.PINS}/{name}.json`" for name in pinned}
    texts = {"": about, "## Settings": _table(["part", "fingerprint of its settings"], prints)}
    return _card(repo, made, hub, owner, texts, heard=[], head=["viewer: false"])


def _card(
    repo: Repo,
    made: Contents,
    hub: Hub,
    owner: OwnerFacts,
    texts: Mapping[str, str],
    *,
    heard: Sequence[str],
    head: Sequence[str],
) -> bytes:
    namespace = repo.namespace
    command = f"svc-jobs hub pull {repo.kind} --speaker {shlex.quote(repo.name)} --namespace {namespace} -w WORKSPACE"
    use = (
        f"```\n{command}\n```\n\nIt checks each file against `{contents.FILE}`, which lists them all with their sha256."
    )
    sections = dict(texts)
    if heard:
        sounds = (f'<audio controls src="{hub.url(repo)}/resolve/main/{path}"></audio>' for path in heard)
        sections["## Examples"] = "\n\n".join(sounds)
    sections |= {
        "## Use": use,
        "## Content": f"{len(made.files)} files, {made.size} bytes, format {made.format} of svc-jobs.",
        "## Licence": f"```\n{owner.licence.replace('```', '')}\n```" if owner.licence else _NOT_STATED,
        "## Consent": _consent(owner),
    }
    title = f"# {repo.kind}: {_name(repo)}"
    body = [title, *(f"{name}\n\n{text}" if name else text for name, text in sections.items())]
    return ("\n".join(_head(owner, head)) + "\n\n" + "\n\n".join(body) + "\n").encode("utf-8")


def _head(owner: OwnerFacts, more: Sequence[str]) -> list[str]:
    licence = ["license: other"] if owner.licence else []
    return [
        "---",
        *licence,
        "task_categories:",
        "- audio-to-audio",
        "tags:",
        "- svc-jobs",
        "- voice-conversion",
        *more,
        "---",
    ]


def _name(repo: Repo) -> str:
    return html.escape(json.dumps(repo.name, ensure_ascii=False))


def _consent(owner: OwnerFacts) -> str:
    given = owner.consent
    if given is None:
        return _NO_CONSENT
    if given.withdrawn_on is not None:
        return f"Withdrawn on {given.withdrawn_on.isoformat()}: do not use this."
    uses = ", ".join(use.value for use in given.uses)
    trade = "commercial use included" if given.commercial else "no commercial use"
    return f"{html.escape(given.basis, quote=False)}. For: {uses}; {trade}. A statement of the owner, not a proof."


def _sources(made: Contents, name: str) -> dict[str, str]:
    rows = {f"`{html.escape(entry.key)}`": f"`{entry.inputs[name]}`" for entry in made.entries[:_SHOWN_HASHES]}
    left = len(made.entries) - len(rows)
    more = f"\n\nAnd {left} more, see `{contents.FILE}`." if left > 0 else ""
    return {"## Made from": _table(["recording", "sha256"], rows) + more}


def _table(columns: Sequence[str], rows: Mapping[str, str]) -> str:
    lines = [f"| {' | '.join(columns)} |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name.replace('|', '&#124;')} | {value} |" for name, value in rows.items())])
