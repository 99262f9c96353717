"""README.md of the data sets, in the Hub's form: a YAML head, then Markdown. Facts in, text out."""

import html
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

from svc_core import layout, licence
from svc_core.hub import contents
from svc_core.hub.client import Hub
from svc_core.hub.contents import Contents
from svc_core.hub.repos import Repo
from svc_core.hub.sharing import OwnerFacts
from svc_core.raw import is_companion

_NOT_STATED = "Not stated. Owner: put a LICENSE file beside the recordings and push again."
_NO_CONSENT = "No consent of the speaker is recorded here: do not publish or share this."
_SHOWN_HASHES = 20
_TITLES = {"raw": "recordings", "sliced": "clips", "features": "sidecars of the clips"}
_MARKS = re.compile(r"[`*_\[\]#~]")


def raw_card(repo: Repo, made: Contents, hub: Hub, heard: Sequence[str], owner: OwnerFacts) -> bytes:
    names = [entry.key for entry in made.entries if entry.key.startswith(f"{layout.RAW}/")]
    beside = sum(is_companion(name) for name in names)
    about = f"{len(names) - beside} recordings of {_name(repo)} as they were uploaded, below `{contents.AUDIO}/`"
    about += f", with {beside} {'file' if beside == 1 else 'files'} that lay beside them." if beside else "."
    made_from = "From nothing: these are the originals. Their true names stand in `svc-jobs.json`."
    return _card(repo, made, hub, owner, _Page({"": about, "## Made from": made_from}, heard, ["viewer: false"]))


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
    return _card(repo, made, hub, owner, _Page(texts, heard, head))


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
    cut = Repo("sliced", repo.namespace, repo.name)
    texts = {
        "": about,
        "## Settings": _table(["part", "fingerprint of its settings"], prints),
        "## Made from": f"The clips that `{cut.id}` is for; `{contents.FILE}` names each with its sha256.",
    }
    return _card(repo, made, hub, owner, _Page(texts, [], ["viewer: false"]))


class _Page(NamedTuple):
    """What differs between the kinds: sections by title, paths of sounds to hear, and lines of the YAML head."""

    texts: Mapping[str, str]
    heard: Sequence[str]
    head: Sequence[str]


def _card(repo: Repo, made: Contents, hub: Hub, owner: OwnerFacts, page: _Page) -> bytes:
    namespace = repo.namespace
    command = f"svc-jobs hub pull {repo.kind} --speaker {shlex.quote(repo.name)} --namespace {namespace} -w WORKSPACE"
    use = (
        f"```\n{command}\n```\n\nIt checks each file against `{contents.FILE}`, which lists them all with their sha256."
    )
    sections = dict(page.texts)
    if page.heard:
        sounds = (f'<audio controls src="{hub.url(repo)}/resolve/main/{quote(path)}"></audio>' for path in page.heard)
        sections["## Examples"] = "\n\n".join(sounds)
    sections |= {
        "## Use": use,
        "## Content": f"{len(made.files)} files, {made.size / 1e6:.1f} MB, format {made.format} of svc-jobs.",
        "## Licence": licence.quoted(owner.licence) if owner.licence else _NOT_STATED,
        "## Consent": _consent(owner),
    }
    title = f"# {_name(repo)}: {_TITLES[repo.kind]}"
    body = [title, *(f"{name}\n\n{text}" if name else text for name, text in sections.items())]
    return ("\n".join(_head(owner, page.head)) + "\n\n" + "\n\n".join(body) + "\n").encode("utf-8")


def _head(owner: OwnerFacts, more: Sequence[str]) -> list[str]:
    stated = ["license: other"] if owner.licence else []
    return [
        "---",
        *stated,
        "task_categories:",
        "- audio-to-audio",
        "tags:",
        "- svc-jobs",
        "- voice-conversion",
        *more,
        "---",
    ]


def _name(repo: Repo) -> str:
    """The speaker, without what Markdown or HTML would act on."""
    return _MARKS.sub(r"\\\g<0>", html.escape(repo.name, quote=False))


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
