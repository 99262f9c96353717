"""convert: audio files -> the same in a speaker's voice."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.console import Console, StageResult, counted
from jobs.session import Session, find_config
from jobs.workspace import Workspace
from svc_core import files, layout
from svc_core.conversion.convert import CONVERSION_VERSION, Conversion, convert
from svc_core.conversion.options import ConvertOptions
from svc_core.conversion.record import Converted
from svc_core.conversion.voice import VoiceModel, load_voice
from svc_core.device import resolve_device
from svc_core.errors import BadInput, ConfigError
from svc_core.manifest import FileRecord

SUFFIXES = (".wav", ".flac")
_OTHER_AUDIO = frozenset((".aac", ".aif", ".aiff", ".m4a", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".webm", ".wma"))
"""Whoever names a file like this means no folder."""


@dataclass(frozen=True)
class ConvertRequest:
    inputs: list[Path]
    options: dict[str, Any]
    device: str
    model: Path | None = None
    config: Path | None = None
    output: Path | None = None


def convert_files(console: Console, workspace: Workspace | None, request: ConvertRequest) -> StageResult:
    """Converts every input; a bad one does not keep the others from being done. Raises BadInput naming those."""
    options = ConvertOptions.parse(request.options)
    _check_output(request, options.speaker)
    if workspace is not None and request.model is None and request.output is None:
        made: _Workspace | _Elsewhere = _Workspace(console, workspace, request.device, options)
    else:
        made = _Elsewhere(console, request, _model(workspace, request), options)
    done = skipped = 0
    errors = []
    for source in request.inputs:
        try:
            fresh = made.convert(source)
            done, skipped = done + fresh, skipped + (not fresh)
        except BadInput as error:
            errors.append(str(error))
    if errors:
        raise BadInput("; ".join(errors))
    verb = "converted" if done else "already done"
    message = f"{verb}: {counted(len(request.inputs), 'file')} to {options.speaker}, in {made.place}"
    return StageResult("convert", done, skipped, message, {"outputs": made.outputs})


def check_source(source: Path) -> None:
    """Raises BadInput where it is no file."""
    if not source.is_file():
        raise BadInput(f"{source} does not exist or is no file: give an audio file")


def convert_in_run(session: Session, sources: list[Path], device: str) -> Iterator[StageResult]:
    """What `run` converts: the given files to each speaker, or a validation clip of each speaker to itself."""
    lists = session.filelists()
    for speaker in session.config().spk:
        unseen = [clip.key for clip in lists.clips if clip.side == "val" and clip.speaker == speaker][:1]
        yield _convert_to(session, speaker, sources, [] if sources else unseen, device)


def _convert_to(session: Session, speaker: str, sources: list[Path], unseen: list[str], device: str) -> StageResult:
    workspace, voice = session.workspace, session.config().svc_jobs.voice
    keys = [f"{layout.release_dir(voice)}/{layout.SUMS_NAME}", *unseen]
    request = [speaker, [files.sha256_file(source) for source in sources], CONVERSION_VERSION]
    stage = f"convert-{layout.speaker_slug(speaker)}"
    if standing := workspace.standing(stage, request, keys):
        return standing
    workspace.bring(unseen)
    inputs = sources or [session.root / key for key in unseen]
    result = convert_files(session.console, workspace, ConvertRequest(inputs, {"speaker": speaker}, device))
    workspace.settle(stage, request, [*keys, *result.facts["outputs"]], result)
    return result


class _Workspace:
    """Converts into `converted/<voice>/` with the released model; what is recorded with equal inputs is not redone."""

    def __init__(self, console: Console, workspace: Workspace, device: str, options: ConvertOptions) -> None:
        self._console, self._workspace, self._device, self._options = console, workspace, device, options
        self._root = workspace.root
        config = find_config(workspace)
        if config is None:
            raise ConfigError(f"{workspace.name} has no config: run the earlier stages, or name a model with --model")
        self._voice = config.svc_jobs.voice
        self._release = layout.release_dir(self._voice)
        if f"{self._release}/{layout.SUMS_NAME}" not in workspace.keys(self._release):
            raise ConfigError(f"{workspace.name}/{self._release} holds no release: run publish first, or give --model")
        workspace.bring(workspace.keys(layout.CONVERT_MANIFESTS))
        self._model: VoiceModel | None = None
        self.place = f"{workspace.name}/{layout.converted_dir(self._voice)}"
        self.outputs: list[str] = []

    def convert(self, source: Path) -> bool:
        check_source(source)
        sha256 = files.sha256_file(source)
        key = layout.converted_key(self._voice, source.name, sha256, self._options.speaker, self._options.variant)
        self.outputs.append(key)
        record_path = self._root / layout.convert_manifest(key)
        if self._stands(Converted.read(record_path), sha256):
            return False
        if self._model is None:
            self._workspace.bring(self._workspace.keys(self._release))
            self._model = load_voice(self._root / self._release, device=resolve_device(self._device))
        conversion = _convert(self._console, source, self._root / key, self._model, self._options)
        Converted(
            source=FileRecord.of(source.parent, source.name, conversion.source_sha256),
            release=FileRecord.of(self._root, f"{self._release}/{layout.SUMS_NAME}"),
            output=FileRecord.of(self._root, key, conversion.output_sha256),
            options=self._options,
            conversion=conversion,
        ).write(record_path)
        self._workspace.take([key, layout.convert_manifest(key)])
        return True

    def _stands(self, record: Converted | None, source_sha256: str) -> bool:
        return (
            record is not None
            and record.version == CONVERSION_VERSION
            and record.options == self._options
            and record.source.sha256 == source_sha256
            and self._workspace.check(record.release) is not None
            and self._workspace.check(record.output) is not None
        )


class _Elsewhere:
    """Converts to where the user said, with the model the user named; nothing is recorded."""

    def __init__(self, console: Console, request: ConvertRequest, model: Path, options: ConvertOptions) -> None:
        self._console, self._request, self._options = console, request, options
        self._model = load_voice(model, request.config, device=resolve_device(request.device))
        self.place = str(request.output or Path.cwd())
        self.outputs: list[str] = []

    def convert(self, source: Path) -> bool:
        output = _output_of(self._request, source, self._options.speaker)
        _convert(self._console, source, output, self._model, self._options)
        self.outputs.append(str(output))
        return True


def _convert(console: Console, source: Path, output: Path, model: VoiceModel, options: ConvertOptions) -> Conversion:
    with console.progress("convert", 1, "s of audio") as progress:

        def show(done_s: float, total_s: float) -> None:
            progress.resize(total_s)
            progress.reach(done_s, source.name)

        conversion = convert(source, output, model, options, show)
    for note in conversion.notes:
        console.say(f"{source.name}: {note}")
    return conversion


def _model(workspace: Workspace | None, request: ConvertRequest) -> Path:
    if request.model is not None:
        return request.model
    config = find_config(workspace) if workspace else None
    if workspace is None or config is None:
        raise ConfigError("no model is named: give --model (a release folder or G_*.pth), or -w with a trained voice")
    release = layout.release_dir(config.svc_jobs.voice)
    workspace.bring(workspace.keys(release))
    return workspace.root / release


def _output_of(request: ConvertRequest, source: Path, speaker: str) -> Path:
    """Where a file goes that does not go into a workspace."""
    output = request.output or Path()
    return output if _is_file(output) else output / f"{source.stem}-{layout.speaker_slug(speaker)}.wav"


def _is_file(output: Path) -> bool:
    return output.suffix.lower() in SUFFIXES


def _check_output(request: ConvertRequest, speaker: str) -> None:
    output = request.output
    if output and _is_file(output) and len(request.inputs) > 1:
        raise ConfigError(f"-o {output} is one file for {len(request.inputs)} inputs: give a folder")
    if output and output.suffix.lower() in _OTHER_AUDIO and not output.is_dir():
        raise ConfigError(f"-o {output}: only .wav and .flac are written, name one of these or a folder")
    if request.config and (request.model is None or request.model.is_dir()):
        raise ConfigError("--config belongs to a G_*.pth given with --model")
    if output is None and request.model is None:
        return  # a workspace names its files by their content too
    sources: dict[Path, Path] = {}
    for source in request.inputs:
        target = _output_of(request, source, speaker)
        if (other := sources.setdefault(target, source)) != source:
            raise ConfigError(
                f"{other} and {source} would both become {target}: convert them one by one, or into different folders"
            )
