"""workspace: what is there, what differs, copying, checking, and removing what nothing refers to."""

import itertools
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from jobs.commands import Json, Quiet, Verbose
from jobs.console import Console, counted
from jobs.stop import Stop
from svc_core.errors import BadInput, ConfigError
from svc_core.storage import compare, places
from svc_core.storage.folder import FolderStore
from svc_core.storage.opening import open_store
from svc_core.storage.store import Store

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)
Workspace = Annotated[
    str, typer.Option("--workspace", "-w", envvar="SVC_WORKSPACE", help="Folder or s3://bucket/prefix.")
]


@app.command(help="List objects: size in bytes, time of the last write, stage, key.")
def ls(
    workspace: Workspace,
    prefix: Annotated[str, typer.Argument(help="Only keys that start with this, such as raw/ or data/44k/.")] = "",
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    console = _begin(json_, quiet, verbose)
    store = _existing(workspace, console)
    found = sorted(store.list(prefix))
    rows = [
        [str(item.version.size), _time(item.modified_s), places.place_of(item.key).stage, item.key] for item in found
    ]
    console.table(["bytes", "written (UTC)", "stage", "key"], _printable(rows))
    total = sum(item.version.size for item in found)
    console.say(f"{counted(len(found), 'file')}, {_size(total)}")
    objects = [
        {
            "key": item.key,
            "bytes": item.version.size,
            "modified_s": item.modified_s,
            **places.place_of(item.key)._asdict(),
        }
        for item in found
    ]
    console.result(_done(files=len(found), bytes=total, objects=objects))


@app.command(help="Sum up per stage and speaker: files, bytes, and minutes of audio where records tell.")
def du(workspace: Workspace, json_: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    from svc_core.storage.ledger import read_ledger

    console = _begin(json_, quiet, verbose)
    store = _existing(workspace, console)
    # Sidecars' records are the many, and say nothing of lengths.
    seconds = read_ledger(store, wanted=lambda key: "/features/" not in key).seconds
    sums: dict[places.Place, _Sum] = defaultdict(_Sum)
    for item in store.list():
        one = sums[places.place_of(item.key)]
        one.files, one.size = one.files + 1, one.size + item.version.size
        one.seconds += seconds.get(item.key, 0.0)
    ordered = sorted(sums.items(), key=lambda pair: (places.STAGES.index(pair[0].stage), pair[0].speaker))
    rows = [
        [
            place.stage,
            place.speaker or "-",
            str(one.files),
            _size(one.size),
            f"{one.seconds / 60:.1f}" if one.seconds else "",
        ]
        for place, one in ordered
    ]
    console.table(["stage", "speaker", "files", "size", "minutes"], rows)
    files, size = sum(one.files for one in sums.values()), sum(one.size for one in sums.values())
    console.say(f"{counted(files, 'file')}, {_size(size)}")
    stages = [
        {**place._asdict(), "files": one.files, "bytes": one.size, "minutes": round(one.seconds / 60, 3) or None}
        for place, one in ordered
    ]
    console.result(_done(files=files, bytes=size, stages=stages))


@app.command(help="Compare two workspaces by size and content; records count as equal when only their stamps differ.")
def diff(
    left: Annotated[str, typer.Argument(metavar="A", help="Folder or s3://bucket/prefix.")],
    right: Annotated[str, typer.Argument(metavar="B", help="Folder or s3://bucket/prefix.")],
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    console = _begin(json_, quiet, verbose)
    found = _compared(console, *(_inventory(console, _existing(place, console)) for place in (left, right)))
    lists = {"only in A": found.only_left, "only in B": found.only_right, "different": found.different}
    for name, keys in lists.items():
        for key in keys:
            console.detail(_printable(f"{name}: {key}"))
    if found.same:
        console.say(f"equal: {counted(len(found.equal), 'file')} on both sides, each with the same content")
    else:
        counts = ", ".join(f"{len(keys)} {name}" for name, keys in lists.items())
        console.say(f"{counts}, {len(found.equal)} equal" + ("" if verbose else "; -v lists them"))
    facts = {"only_a": found.only_left, "only_b": found.only_right, "different": found.different}
    console.result(_done(same=found.same, equal=len(found.equal), **facts))


@app.command(help="Copy what differs from SRC to DST, records last; repeated, it moves only what is missing.")
def sync(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Folder or s3://bucket/prefix to copy from.")],
    target: Annotated[str, typer.Argument(metavar="DST", help="Folder or s3://bucket/prefix; a folder is created.")],
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove from DST what SRC does not have; never below raw/.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    from svc_core.storage.sync import plan_sync

    console = _begin(json_, quiet, verbose)
    here, there = _existing(source, console), open_store(target, console.warn)
    _check_apart(here, there)
    left, right = _inventory(console, here), _inventory(console, there)
    plan = plan_sync(left, right, _compared(console, left, right), delete=delete)
    if dry_run:
        for key in [*plan.copies, *plan.changed_records]:
            console.detail(f"copy {key}")
        for key in plan.deletions:
            console.detail(f"delete {key}")
        numbers = f"{counted(len(plan.copies), 'file')} ({_size(plan.size)})"
        records = counted(len(plan.changed_records), "record")
        console.say(f"would copy {numbers} and {records}, and delete {len(plan.deletions)}; nothing was changed")
        copy = [*plan.copies, *plan.changed_records]
        console.result(_done(dry_run=True, copy=copy, delete=plan.deletions, bytes=plan.size))
        return
    counts = _move(console, plan)
    standing = len(left.objects) - counts["copied"] - counts["recorded"]
    console.say(
        f"{counted(counts['copied'], 'file')} copied ({_size(plan.size)}), "
        f"{counted(counts['recorded'], 'record')} written, {counts['deleted']} deleted, {standing} stood already"
    )
    console.result(_done(dry_run=False, **counts, standing=standing, bytes=plan.size))


@app.command(help="Read every object and compare it with what the records say; exit 66 where something is wrong.")
def verify(workspace: Workspace, json_: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    from svc_core.storage import audit

    console = _begin(json_, quiet, verbose)
    store = _existing(workspace, console)
    sizes = [item.version.size for item in store.list() if not places.is_passing(item.key)]
    with console.progress("verify", sum(sizes) / 1e6, "MB") as progress:
        done = itertools.count(1)
        found = audit.verify(
            store,
            on_bytes=lambda count: progress.advance(count / 1e6),
            on_object=lambda: progress.advance(0, f"{next(done)} of {counted(len(sizes), 'file')}"),
        )
    facts = {"files": found.objects, "bytes": found.size, "unrecorded": found.unrecorded}
    faults = _printable([fault._asdict() for fault in found.faults])
    if not faults:
        console.say(f"{counted(found.objects, 'file')}, {_size(found.size)}: all as recorded")
        console.result(_done(**facts, faults=[]))
        return
    for fault in found.faults:
        console.detail(_printable(str(fault)))
    sentence = (
        f"{store.name}: {len(faults)} of {counted(found.objects, 'file')} or records are wrong, "
        f"the first: {found.faults[0]}; restore them, or remove them and run again (-v lists all)"
    )
    if console.json_mode:
        console.event("error", text=sentence)
        console.result(
            {"status": "error", "exit_code": BadInput.exit_code, "error": sentence, **facts, "faults": faults}
        )
        raise typer.Exit(BadInput.exit_code)
    raise BadInput(sentence)


@app.command(help="Show, and with --delete remove, what nothing refers to; never raw/, never files of your own.")
def gc(
    workspace: Workspace,
    delete: Annotated[bool, typer.Option("--delete", help="Remove them; without it they are only listed.")] = False,
    older_than_s: Annotated[
        float, typer.Option("--older-than-s", min=0, help="Leave what is younger than this many seconds.")
    ] = 3600.0,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    from svc_core.storage import unused

    console = _begin(json_, quiet, verbose)
    store = _existing(workspace, console)
    # Only a write tells the store's clock, and a dry run writes nothing.
    now_s = unused.clock_s(store) if delete else time.time()
    found = unused.find_unused(store, now_s=now_s, older_than_s=older_than_s)
    uploads = _old_uploads(console, workspace, now_s)
    rows = [[_size(item.size), item.reason, item.key] for item in found]
    rows += [["", "upload that was never finished", upload.key] for _, upload in uploads]
    console.table(["size", "why", "key"], rows)
    if delete:
        with console.progress("gc", len(found), "files") as progress:
            for part in unused.remove(store, found):
                progress.advance(len(part))
        for bucket, upload in uploads:
            bucket.abort(upload)
    size = sum(item.size for item in found)
    verb = "removed" if delete else "unused, nothing was removed (--delete does it)"
    console.say(f"{counted(len(found), 'file')}, {_size(size)}, {len(uploads)} unfinished uploads: {verb}")
    keys = [{"key": item.key, "bytes": item.size, "reason": item.reason} for item in found]
    facts = {"unused": keys, "uploads": [upload.key for _, upload in uploads], "bytes": size}
    console.result(_done(deleted=delete, **facts))


@dataclass
class _Sum:
    files: int = 0
    size: int = 0
    seconds: float = 0.0


def _begin(json_: bool, quiet: bool, verbose: bool) -> Console:
    Stop().install()
    return Console(json_, quiet, verbose)


def _existing(place: str, console: Console) -> Store:
    store = open_store(place, console.warn)
    if isinstance(store, FolderStore) and not store.root.is_dir():
        raise BadInput(f"{store.root} is no folder: give a workspace's folder or s3://bucket/prefix")
    return store


def _check_apart(source: Store, target: Store) -> None:
    """Raises ConfigError where one holds the other: a copy would then copy itself."""
    names = [str(store.root.resolve()) if isinstance(store, FolderStore) else store.name for store in (source, target)]
    one, other = (f"{name.rstrip('/')}/" for name in names)
    if one.startswith(other) or other.startswith(one):
        raise ConfigError(f"{source.name} and {target.name} lie within one another: give two places apart")


def _inventory(console: Console, store: Store) -> compare.Inventory:
    with console.progress("read", 0, "records") as progress:
        return compare.take_inventory(store, on_record=progress.advance)


def _compared(console: Console, left: compare.Inventory, right: compare.Inventory) -> compare.Comparison:
    with console.progress("compare", len(left.objects.keys() & right.objects.keys()), "files") as progress:
        return compare.compare(left, right, on_object=progress.advance)


def _move(console: Console, plan: Any) -> dict[str, int]:
    from svc_core.storage.sync import carry_out

    counts = {"copied": 0, "recorded": 0, "deleted": 0}
    total = len(plan.copies) + len(plan.changed_records) + len(plan.deletions)
    with console.progress("sync", plan.size / 1e6, "MB") as progress:
        for step in carry_out(plan, on_bytes=lambda count: progress.advance(count / 1e6)):
            counts[step.what] += 1
            done = sum(counts.values())
            progress.advance(0, f"{done} of {max(done, total)} files")
            console.detail(f"{step.what} {step.key}")
    return counts


def _old_uploads(console: Console, workspace: str, now_s: float) -> list[tuple[Any, Any]]:
    if not workspace.startswith("s3://"):
        return []
    from svc_core.storage.store import parse_url
    from svc_core.storage.uploads import OLD_S, Uploads

    bucket = Uploads(parse_url(workspace))
    try:
        return [(bucket, upload) for upload in bucket.unfinished() if upload.started_s < now_s - OLD_S]
    except ConfigError as error:
        console.warn(f"unfinished uploads were not looked for, grant s3:ListBucketMultipartUploads: {error}")
        return []


def _done(**facts: Any) -> dict[str, Any]:
    return {"status": "done", "exit_code": 0, **_printable(facts)}


def _printable(value: Any) -> Any:
    """The same, with a mark for each byte of a file name that is no text: such files are named too."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(value, list):
        return [_printable(item) for item in value]
    return {name: _printable(item) for name, item in value.items()} if isinstance(value, dict) else value


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def _time(since_1970_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(since_1970_s))
