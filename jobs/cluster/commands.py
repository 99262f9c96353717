"""The commands for workflows on a cluster, thin: parse, connect, call, answer."""

import sys
import time
from dataclasses import asdict
from typing import Annotated, Any

import typer

from jobs.cluster import table
from jobs.cluster.client import Cluster, connect
from jobs.cluster.outcome import outcome, workspace_of
from jobs.cluster.snapshot import Snapshot, cost, look
from jobs.cluster.workflow import ENDED, Workflow
from jobs.console import Console
from jobs.failures import Answered
from jobs.stop import Stop
from svc_core.errors import ConfigError, Preempted

Namespace = Annotated[
    str | None,
    typer.Option("-n", "--namespace", help="Where the chart is installed; default: the kubeconfig's, else svc."),
]
Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig; default: the current one.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; changes as JSON lines on stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings, errors and the end.")]
Named = Annotated[str, typer.Argument(help="A workflow's name, or a speaker's for the newest workflow of it.")]


def submit(
    speaker: Annotated[str, typer.Argument(help="Folder below raw/; a JSON list of them for svc-speakers.")],
    workspace: Annotated[
        str | None,
        typer.Option("--workspace", "-w", help="s3://bucket/prefix; default: the chart's root, speaker."),
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="Network; default: the chart's.")] = None,
    encoder: Annotated[str | None, typer.Option("--encoder", help="Content encoder; default: the chart's.")] = None,
    f0: Annotated[str | None, typer.Option("--f0", help="f0 predictor; default: the chart's.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Training steps in all; default: the chart's.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="cuda, auto or cpu; default: the chart's.")] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", help="name=value for a parameter of the template; repeat."),
    ] = None,
    template: Annotated[str, typer.Option("--template", help="Workflow template to submit.")] = "svc-speaker",
    watch: Annotated[bool, typer.Option("--watch/--no-watch", help="Show the stages until the end, or return.")] = True,
    namespace: Namespace = None,
    context: Context = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    from jobs.cluster.submit import submit as create

    named = {"workspace": workspace, "preset": preset, "encoder": encoder, "f0": f0, "steps": steps, "device": device}
    given = {name: str(value) for name, value in named.items() if value is not None} | _pairs(parameter or [])
    stop, console = _begin(json_, quiet)
    cluster = connect(namespace, context)
    name = create(cluster, template, speaker, given)
    console.say(f"submitted {name} in namespace {cluster.namespace}")
    if watch:
        _watch_to_the_end(cluster, name, console, stop)
    else:
        console.result({"status": "done", "exit_code": 0, "workflow": name, "namespace": cluster.namespace})


def status(
    workflow: Annotated[
        str | None, typer.Argument(help="A workflow's name, or a speaker's for its newest; default: list all.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show the stages until the end.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    stop, console = _begin(json_, quiet)
    cluster = connect(namespace, context)
    if workflow is None:
        if watch:
            raise typer.BadParameter("--watch needs a workflow or a speaker", param_hint="--watch")
        _list(cluster, console)
        return
    from jobs.cluster.find import find

    name = find(cluster, workflow).name
    if watch:
        _watch_to_the_end(cluster, name, console, stop)
    else:
        _show(cluster, name, console)


def logs(
    workflow: Named,
    stage: Annotated[str | None, typer.Option("--stage", help="Only this stage.")] = None,
    shard: Annotated[int | None, typer.Option("--shard", help="Only this shard, counted from 0.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the workflow ends.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    json_: Annotated[bool, typer.Option("--json", help="Lines as the stages wrote them.")] = False,
) -> None:
    from jobs.cluster.events import readable
    from jobs.cluster.find import find
    from jobs.cluster.logs import Wanted, lines, several

    stop, _ = _begin(json_, False)
    cluster = connect(namespace, context)
    found, wanted = find(cluster, workflow), Wanted(stage, shard)
    prefixed = several(found, wanted)
    with stop.deferred():
        for line in lines(cluster, found, wanted, stop if follow else None):
            text = line.text if json_ else readable(line.text)
            if text is not None:
                print(f"{line.source} | {text}" if prefixed else text, flush=True)  # noqa: T201
    if stop.requested():
        raise Preempted(f"{found.name} goes on without you")


def cancel(
    workflow: Named,
    now: Annotated[bool, typer.Option("--now", help="Remove the pods instead of letting the stages save.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    from jobs.cluster.cancel import cancel as end
    from jobs.cluster.find import find

    _, console = _begin(json_, quiet)
    cluster = connect(namespace, context)
    found = find(cluster, workflow)
    done = end(cluster, found, now=now)
    console.say(done.text)
    answer = {"workflow": found.name, "changed": done.changed, "message": done.text}
    console.result({"status": "done", "exit_code": 0, **answer})


def doctor(namespace: str | None, context: str | None, console: Console) -> None:
    """What `svc-jobs doctor --cluster` does."""
    from jobs.cluster.doctor import findings
    from jobs.doctor import conclude

    Stop().install()
    conclude(findings(connect(namespace, context)), console)


def _begin(json_: bool, quiet: bool) -> tuple[Stop, Console]:
    stop = Stop()
    stop.install()
    return stop, Console(json_, quiet)


def _pairs(given: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    if wrong := [name for name, sign, _ in pairs if not sign or not name]:
        raise ConfigError(f"-p {wrong[0]!r} is not name=value: write -p steps=1000")
    return {name: value for name, _, value in pairs}


def _watch_to_the_end(cluster: Cluster, name: str, console: Console, stop: Stop) -> None:
    """Ends the command as the workflow ended."""
    from jobs.cluster.watch import watch

    last = watch(cluster, name, console, stop)
    ended = outcome(last.workflow)
    if not sys.stdout.isatty() and not console.json_mode:
        console.say(table.costline(last))
    facts = asdict(ended) | _facts(last)
    if ended.exit_code:
        raise Answered(ended.sentence, ended.exit_code, facts)
    if ended.sentence:
        console.say(ended.sentence)
    console.result({"status": "done", **facts})


def _list(cluster: Cluster, console: Console) -> None:
    from jobs.cluster.find import listed

    now_s, rows, facts = time.time(), [], []
    for item in listed(cluster):
        at_work = "" if item.phase in ENDED else _at_work(cluster, item.name)
        known = {"workflow": item.name, "speaker": item.speaker, "template": item.template}
        known["phase"], age_s = item.phase or "Pending", now_s - item.created_s
        rows.append([*(text or "-" for text in known.values()), table.duration(age_s), at_work])
        facts.append({**known, "age_s": round(age_s), "at_work": at_work})
    if rows:
        console.table(["workflow", "speaker", "template", "state", "age", "at work"], rows)
    else:
        console.say(f"namespace {cluster.namespace} has no workflow of svc-jobs: svc-jobs submit SPEAKER makes one")
    console.result({"status": "done", "exit_code": 0, "namespace": cluster.namespace, "workflows": facts})


def _at_work(cluster: Cluster, name: str) -> str:
    from jobs.cluster.stages import rows
    from jobs.cluster.target import Target
    from jobs.cluster.workflow import read_workflow

    value = cluster.find(Target("workflows", cluster.namespace, name))
    if value is None:
        return ""
    workflow = read_workflow(value)
    busy = [row for row in rows(workflow) if row.state in ("running", "pending")]
    return ", ".join(dict.fromkeys(row.stage or row.waiting for row in busy)) or workflow.message


def _show(cluster: Cluster, name: str, console: Console) -> None:
    snapshot = look(cluster, name)
    console.say(table.headline(snapshot))
    console.table(*table.grid(snapshot))
    console.say(table.costline(snapshot))
    for text in snapshot.notes:
        console.warn(text)
    ended = outcome(snapshot.workflow) if snapshot.workflow.ended else None
    if ended and ended.sentence:
        console.say(f"{ended.state}: {ended.sentence}")
    remote = _remote(snapshot.workflow, console)
    console.result({"status": "done", "exit_code": 0, **_facts(snapshot), "bucket": remote})


def _remote(workflow: Workflow, console: Console) -> dict[str, Any] | None:
    workspace, voice = workspace_of(workflow), workflow.parameters.get("speaker", "")
    if not workspace.startswith("s3://") or not voice:
        return None
    from jobs.cluster.remote import look_into

    found = look_into(workspace, voice)
    console.say(str(found))
    return asdict(found)


def _facts(snapshot: Snapshot) -> dict[str, Any]:
    workflow = snapshot.workflow
    return {
        "workflow": workflow.name,
        "namespace": workflow.namespace,
        "speaker": workflow.speaker,
        "phase": workflow.phase,
        "message": workflow.message,
        "workspace": workspace_of(workflow),
        "stages": [table.facts(snapshot, row) for row in snapshot.rows],
        "cost": asdict(cost(snapshot)),
    }
