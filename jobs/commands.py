"""Every command of `svc-jobs`, thin: parse, open the workspace, call the stage, answer."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs import argo
from jobs.console import Console, StageResult
from jobs.inputs import local_files
from jobs.session import Session, making_folder, open_workspace
from jobs.settings import with_convert_options, with_settings
from jobs.stop import Stop

_WORKSPACE = typer.Option(
    "--workspace",
    "-w",
    envvar="SVC_WORKSPACE",
    help="Folder or s3://bucket/prefix that holds raw/ and gets everything else.",
)
Workspace = Annotated[str, _WORKSPACE]
OptionalWorkspace = Annotated[str | None, _WORKSPACE]
Scratch = Annotated[
    str | None,
    typer.Option(
        "--scratch",
        envvar="SVC_SCRATCH",
        help="With a bucket: folder for the files in work, emptied at the end; default: the system's temporary folder.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; progress as JSON lines on stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Also say what is passed over, and show tracebacks.")]
Speakers = Annotated[
    list[str] | None, typer.Option("--speaker", help="Speaker (a folder of raw/); repeat for several; default: all.")
]
Voice = Annotated[str | None, typer.Option("--voice", help="Name of the model; needed once, with several speakers.")]
Shard = Annotated[int, typer.Option("--shard", help="Which part of the work, counted from 0.")]
Shards = Annotated[int, typer.Option("--shards", help="Into how many parts the work is divided.")]
Device = Annotated[
    str, typer.Option("--device", help="cuda (fails without a GPU), cpu, or auto (a GPU where there is one).")
]
ClipsOnHub = Annotated[
    str | None,
    typer.Option(
        "--hub",
        help="Your user or organisation on the Hugging Face Hub: clips lie there in sliced-S, and none stays here.",
    ),
]
Base = Annotated[str | None, typer.Option("--base", help="G_0.pth,D_0.pth of a model to fine-tune from.")]


def begin(workspace: str, scratch: str | None, json_: bool, quiet: bool, verbose: bool) -> Session:
    stop = Stop()
    stop.install()
    console = Console(json_, quiet, verbose)
    return Session(open_workspace(workspace, console, scratch), console, stop)


def answer(console: Console, result: StageResult) -> None:
    """The end of a command that is one stage."""
    console.stage(result)
    conclude(console, result)


def conclude(console: Console, result: StageResult) -> None:
    """What a command of one stage leaves for machines, its line being shown."""
    argo.write_outputs(result.message, result.facts)
    console.result({"status": "done", "exit_code": 0, **asdict(result)})


def _answer_on_hub(
    session: Session, namespace: str | None, stage: Callable[[Session], StageResult], *, makes_clips: bool = False
) -> None:
    """As `answer`, the session's clips being on the Hub where a namespace is given."""
    if namespace is None:
        return answer(session.console, stage(session))
    from jobs.hub.access import open_hub
    from jobs.hub.workspace import clips_from_hub, clips_to_hub

    opened = clips_to_hub if makes_clips else clips_from_hub
    with opened(session, open_hub(session.console, namespace)) as there:
        result = stage(there)
    return answer(session.console, result)


@with_settings
def prepare(
    workspace: Workspace,
    speaker: Speakers = None,
    voice: Voice = None,
    scratch: Scratch = None,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    *,
    changes: dict[str, Any],
) -> None:
    from jobs.stages.prepare import prepare as stage

    session = begin(workspace, scratch, json_, quiet, verbose)
    answer(session.console, stage(session, speaker or [], voice, changes))


def slice_(
    workspace: Workspace,
    shard: Shard = 0,
    shards: Shards = 1,
    hub: ClipsOnHub = None,
    scratch: Scratch = None,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    from jobs.stages.slice import slice_recordings

    session = begin(workspace, scratch, json_, quiet, verbose)
    _answer_on_hub(session, hub, lambda there: slice_recordings(there, shard, shards), makes_clips=True)


def filelists(
    workspace: Workspace, scratch: Scratch = None, json_: Json = False, quiet: Quiet = False, verbose: Verbose = False
) -> None:
    from jobs.stages.filelists import make_filelists

    session = begin(workspace, scratch, json_, quiet, verbose)
    answer(session.console, make_filelists(session))


def features(
    workspace: Workspace,
    shard: Shard = 0,
    shards: Shards = 1,
    device: Device = "auto",
    hub: ClipsOnHub = None,
    scratch: Scratch = None,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    from jobs.stages.features import extract_features

    session = begin(workspace, scratch, json_, quiet, verbose)
    _answer_on_hub(session, hub, lambda there: extract_features(there, shard, shards, device))


def train(
    workspace: Workspace,
    base: Base = None,
    device: Device = "auto",
    hub: ClipsOnHub = None,
    scratch: Scratch = None,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    from jobs.stages.train import train as stage

    session = begin(workspace, scratch, json_, quiet, verbose)
    _answer_on_hub(session, hub, lambda there: stage(there, device, base))


def evaluate(
    workspace: Workspace,
    device: Device = "auto",
    hub: ClipsOnHub = None,
    scratch: Scratch = None,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    from jobs.stages.evaluate import evaluate as stage

    session = begin(workspace, scratch, json_, quiet, verbose)
    _answer_on_hub(session, hub, lambda there: stage(there, device))


@with_convert_options
def convert(
    inputs: Annotated[list[str], typer.Argument(help="Audio files of any format and rate; paths or s3:// URLs.")],
    speaker: Annotated[str, typer.Option("--speaker", help="Target speaker, by name or id.")],
    workspace: OptionalWorkspace = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="A release folder or a G_*.pth; default: the workspace's best.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="config.json of a G_*.pth given by --model.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Output file (.wav or .flac) or folder; default: converted/<voice>/ of the workspace, with --model "
            "the current folder.",
        ),
    ] = None,
    device: Device = "auto",
    scratch: Scratch = None,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    *,
    options: dict[str, Any],
) -> None:
    from jobs.stages.convert import ConvertRequest, convert_files

    Stop().install()
    console = Console(json_, quiet, verbose)
    place = open_workspace(workspace, console, scratch) if workspace is not None else None
    sources = local_files(inputs, scratch)
    request = ConvertRequest(sources, {"speaker": speaker, **options}, device, model, config, output)
    answer(console, convert_files(console, place, request))


def publish(
    workspace: Workspace,
    hub: Annotated[
        str | None,
        typer.Option(
            "--hub",
            envvar="SVC_HUB",
            help="Your user or organisation on the Hugging Face Hub: the release becomes its private model, named as "
            "the voice and tagged with the step, where each speaker's consent allows it.",
        ),
    ] = None,
    scratch: Scratch = None,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    from jobs.stages.publish import publish as stage

    session = begin(workspace, scratch, json_, quiet, verbose)
    if not hub:
        return answer(session.console, stage(session))
    from jobs.hub.release import publish_there

    return conclude(session.console, publish_there(session, hub))


def report(
    workspace: Workspace,
    hub: ClipsOnHub = None,
    scratch: Scratch = None,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    from jobs.stages.report import write_report

    session = begin(workspace, scratch, json_, quiet, verbose)
    _answer_on_hub(session, hub, lambda there: write_report(there))


@with_settings
def run(
    workspace: Workspace,
    speaker: Speakers = None,
    voice: Voice = None,
    base: Base = None,
    convert: Annotated[
        list[str] | None,
        typer.Option(
            "--convert",
            help="Audio (path or s3:// URL) to convert at the end; repeat for several; default: a validation clip.",
        ),
    ] = None,
    hub: Annotated[
        str | None,
        typer.Option(
            "--hub",
            envvar="SVC_HUB",
            help="Your user or organisation on the Hugging Face Hub: its private repositories are asked before a stage "
            "works, and get what is new.",
        ),
    ] = None,
    device: Device = "auto",
    scratch: Scratch = None,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    *,
    changes: dict[str, Any],
) -> None:
    from jobs.pipeline import NoCache, RunRequest, run_all

    if hub:
        from jobs.hub.access import open_hub
        from jobs.hub.cache import HubCache

    with making_folder(workspace) if hub else nullcontext():
        session = begin(workspace, scratch, json_, quiet, verbose)
        cache = HubCache(session, open_hub(session.console, hub), speaker or []) if hub else NoCache()
        request = RunRequest(speaker or [], voice, changes, base, local_files(convert or [], scratch), device)
        stages = [asdict(result) for result in run_all(session, request, cache)]
    session.console.result({"status": "done", "exit_code": 0, "stages": stages})


def doctor(
    workspace: OptionalWorkspace = None,
    cluster: Annotated[
        bool,
        typer.Option("--cluster", help="Check a cluster instead: Argo, chart, rights, nodes, bucket."),
    ] = False,
    namespace: Annotated[
        str | None, typer.Option("-n", "--namespace", help="With --cluster: where the chart is installed.")
    ] = None,
    context: Annotated[str | None, typer.Option("--context", help="With --cluster: context of the kubeconfig.")] = None,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    if cluster:
        from jobs.cluster.commands import doctor as examine_cluster

        return examine_cluster(namespace, context, Console(json_, quiet, verbose))
    from jobs.doctor import examine

    return examine(workspace, Console(json_, quiet, verbose))
