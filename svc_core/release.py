"""Door of the publish stage: a checkpoint -> the folder that others use, whole or absent.

    models/<voice>/model.safetensors        the generator's tensors, float32
    models/<voice>/model-slim.safetensors   float16, without the posterior encoder, which only training needs
    models/<voice>/G_<step>.pth             the same as model.safetensors in so-vits-svc 4.1's file
    models/<voice>/config.json              4.1's schema, with ours under `svc_jobs`
    models/<voice>/facts.json               step, metrics, speakers with their median pitch, hashes
    models/<voice>/report.json              the scores of every checkpoint that was evaluated
    models/<voice>/consent.json             who agreed, where every speaker's consent to share the model is recorded
    models/<voice>/example-<n>.flac         validation clips as it sings them, where consent to share recordings is, too
    models/<voice>/README.md                model card
    models/<voice>/SHA256SUMS               of all the others

Nothing in it depends on when or where it was made.
"""

import io
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from svc_core import checkpoint, consent, files, layout, licence, manifest
from svc_core import config as configs
from svc_core.checkpoint import Entry
from svc_core.config import Config
from svc_core.consent import Consent, Use
from svc_core.conversion.facts import FACTS_FILE, Facts, speaker_facts, training_clips
from svc_core.conversion.voice import CONFIG_FILE, SLIM_FILE, WEIGHTS_FILE
from svc_core.conversion.weights import read_tensors, slim
from svc_core.errors import BadInput, ConfigError, from_os_error
from svc_core.evaluation.evaluate import CheckpointScore, Evaluation
from svc_core.features.models import read_pin
from svc_core.model_card import Said, model_card
from svc_core.swap import recover, swapped_in

# Changes when equal inputs would give other files.
RELEASE_VERSION = 3
CARD_FILE = "README.md"
REPORT_FILE = "report.json"
_NAMES = frozenset(
    (WEIGHTS_FILE, SLIM_FILE, CONFIG_FILE, FACTS_FILE, REPORT_FILE, consent.FILE, CARD_FILE, layout.SUMS_NAME)
)
EXAMPLES = 2


class ReleaseFile(manifest.Record):
    name: str
    sha256: str
    size: int


class Release(manifest.Record):
    """A release as it stands; `folder` is its key. `already`: nothing had to be done.

    `lacking` says of each speaker why their consent does not allow to share the model; empty: it may be published.
    """

    voice: str
    step: int
    folder: str
    files: list[ReleaseFile]
    already: bool
    lacking: dict[str, str]


class Scores(manifest.Record):
    """`report.json`: without recordings and times, which the pages below reports/ hold."""

    format: int = 1
    voice: str
    released_step: int
    checkpoints: tuple[CheckpointScore, ...]


class Consents(manifest.Record):
    """`consent.json`: each speaker's record as it was given."""

    format: int = 1
    speakers: tuple[Consent, ...]


class _Example(manifest.Record):
    """A validation clip as the released checkpoint sings it, under its key in the workspace."""

    key: str
    sha256: str


class _Content(manifest.Record):
    """All that a release says beside its weights; equal exactly when a new one would say the same."""

    facts: Facts
    config: Config
    scores: tuple[CheckpointScore, ...]
    consents: tuple[Consent, ...]
    examples: tuple[_Example, ...]
    licence: str | None


def publish(root: Path, voice: str, config: Config, choice: Evaluation | int) -> Release:
    """Releases the best checkpoint of an evaluation, or the one of a step.

    Files of the folder that are not ours (the owner's LICENSE) are kept. Without the consent of every speaker it is
    written all the same, and its card says that it is not for publication.

    Raises:
        BadInput: the checkpoint, a list or a sidecar is missing or damaged, or was evaluated as another.
        ConfigError: the checkpoint has other speakers than the config, a consent record is damaged, or the folder
            cannot be written.
        Transient: the disk is full; an earlier release stays.
    """
    key = layout.release_dir(voice)
    folder = root / key
    try:
        entry = _entry(root, voice, choice)
        lacking = consent.lacking(root, config.spk, Use.SHARE_MODEL)
        content = _content(root, voice, config, entry, choice, may_share=not lacking)
        recover(folder)
        already = _stands(folder, content.facts)
        if not already:
            tensors = _tensors(root, entry, config)
            with swapped_in(folder) as fresh:
                _fill(fresh, content, tensors, _example_sounds(root, content.examples))
                _keep_foreign(folder, fresh)
        made = [
            ReleaseFile(name=name, sha256=sha256, size=(folder / name).stat().st_size)
            for name, sha256 in read_sums(folder).items()
        ]
    except OSError as error:
        raise from_os_error(error, error.filename or folder) from error
    return Release(voice=voice, step=entry.step, folder=key, files=made, already=already, lacking=lacking)


def read_sums(folder: Path) -> dict[str, str]:
    """Name -> sha256 of a release's SHA256SUMS; empty where it is absent or damaged."""
    try:
        lines = (folder / layout.SUMS_NAME).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return {}
    pairs = [line.partition("  ") for line in lines]
    return {name: digest for digest, gap, name in pairs if gap and name == Path(name).name}


def _entry(root: Path, voice: str, choice: Evaluation | int) -> Entry:
    step = choice if isinstance(choice, int) else choice.best_step
    entries = checkpoint.read_history(root, voice)
    entry = next((one for one in entries if one.step == step), None)
    if entry is None:
        kept = ", ".join(str(one.step) for one in entries) or "none"
        raise BadInput(f"there is no checkpoint of step {step} (kept: {kept}): run evaluate again, or name a kept step")
    if not isinstance(choice, int) and choice.best.generator_sha256 != entry.generator.sha256:
        raise BadInput(f"{entry.generator.key} is not the file that was evaluated: run evaluate again")
    if entry.generator.check(root) is None:
        raise BadInput(f"{entry.generator.key} is missing or damaged: restore it, or run evaluate again")
    return entry


def _with_pins(root: Path, config: Config) -> Config:
    """The config with the content of the pretrained models that the voice was made with: others give other sounds."""
    features = config.svc_jobs.features
    pins = {name: pin.sha256 for name in (config.encoder, features.f0_predictor) if (pin := read_pin(root, name))}
    values = config.model_dump(mode="json")
    values["svc_jobs"]["features"]["weights_sha256"] = {**pins, **features.weights_sha256}
    return configs.parse(values, "the config of the release")


def _content(
    root: Path, voice: str, config: Config, entry: Entry, choice: Evaluation | int, *, may_share: bool
) -> _Content:
    released = _with_pins(root, config)
    agreed = [consent.read(root, speaker) for speaker in config.spk] if may_share else []
    records = tuple(record for record in agreed if record is not None)
    content = _Content(
        facts=_facts(root, voice, released, entry, choice),
        config=released,
        scores=() if isinstance(choice, int) else tuple(choice.checkpoints),
        consents=records,
        examples=() if isinstance(choice, int) else _examples(root, choice, records),
        licence=_licence(root / layout.release_dir(voice)),
    )
    inputs = manifest.fingerprint(RELEASE_VERSION, content)
    return content.model_copy(update={"facts": content.facts.model_copy(update={"inputs": inputs})})


def _examples(root: Path, choice: Evaluation, consents: Sequence[Consent]) -> tuple[_Example, ...]:
    """None without every speaker's consent to share recordings: what is said in a clip can be heard in them."""
    if not consents or not all(Use.SHARE_RECORDINGS in one.uses for one in consents):
        return ()
    whole = (one.made for one in choice.audio if one.made.check(root) is not None)
    return tuple(_Example(key=one.key, sha256=one.sha256) for one in whole)[:EXAMPLES]


def _licence(folder: Path) -> str | None:
    """The owner's, who put it beside an earlier release."""
    names = sorted(path.name for path in folder.iterdir() if licence.is_licence(path.name)) if folder.is_dir() else []
    return licence.text_of((folder / names[0]).read_bytes()) if names else None


def _facts(root: Path, voice: str, config: Config, entry: Entry, choice: Evaluation | int) -> Facts:
    speakers = speaker_facts(root, training_clips(root))
    lists = {key: files.sha256_file(root / key) for key in (layout.TRAIN_LIST, layout.VAL_LIST)}
    best = None if isinstance(choice, int) else choice.best.metrics
    metrics = best.model_dump(mode="json") if best else {}
    return Facts(
        voice=voice,
        step=entry.step,
        epoch=entry.epoch,
        speakers=speakers,
        metrics=metrics,
        demo_only=config.encoder == "mel-bands",
        hashes={**lists, entry.generator.key: entry.generator.sha256},
        inputs="",
    )


def _tensors(root: Path, entry: Entry, config: Config) -> dict[str, Tensor]:
    """Each tensor apart and contiguous: shared ones are listed by every name they have. Raises ConfigError."""
    tensors = read_tensors(root / entry.generator.key)
    rows = len(tensors.get(checkpoint.SPEAKER_TABLE, ()))
    if rows != config.model.n_speakers:
        raise ConfigError(
            f"{entry.generator.key} was trained with model.n_speakers {rows}, not {config.model.n_speakers}: "
            "train on, then evaluate and publish a newer checkpoint"
        )
    return {name: value.detach().float().clone().contiguous() for name, value in tensors.items()}


def _example_sounds(root: Path, examples: Iterable[_Example]) -> dict[str, bytes]:
    """Name in the release -> flac. Raises BadInput where one is no longer what was evaluated."""
    found = {}
    for number, example in enumerate(examples, 1):
        data = (root / example.key).read_bytes()
        if files.sha256_bytes(data) != example.sha256:
            raise BadInput(f"{example.key} changed while it was read: run evaluate again")
        found[f"example-{number}.flac"] = data
    return found


def _fill(folder: Path, content: _Content, tensors: dict[str, Tensor], examples: dict[str, bytes]) -> None:
    """All the files of a release, the list of their hashes last."""
    facts, config = content.facts, content.config
    _save_tensors(folder / WEIGHTS_FILE, tensors)
    _save_tensors(folder / SLIM_FILE, slim(tensors))
    files.write_bytes(folder / f"G_{facts.step}.pth", _as_41(tensors, config), durable=True)
    configs.save(config, folder / CONFIG_FILE)
    facts.write(folder / FACTS_FILE)
    Scores(voice=facts.voice, released_step=facts.step, checkpoints=content.scores).write(folder / REPORT_FILE)
    if content.consents:
        Consents(speakers=content.consents).write(folder / consent.FILE)
    for name, data in examples.items():
        files.write_bytes(folder / name, data, durable=True)
    said = Said(content.scores, content.consents, tuple(examples), content.licence)
    files.write_text(folder / CARD_FILE, model_card(facts, config, said), durable=True)
    _write_sums(folder, sorted(path.name for path in folder.iterdir()))


def _save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    # One metadata entry at most: safetensors writes several in no fixed order.
    files.write_bytes(path, safetensors.torch.save(tensors, metadata={"format": "pt"}), durable=True)


def _write_sums(folder: Path, names: Sequence[str]) -> None:
    sums = "".join(f"{files.sha256_file(folder / name)}  {name}\n" for name in names)
    files.write_text(folder / layout.SUMS_NAME, sums, durable=True)


def _as_41(tensors: dict[str, Tensor], config: Config) -> bytes:
    """A G file that 4.1 both sings with and trains on from.

    Without optimizer and at iteration 0, because 4.1 takes a file with an optimizer only where the number of tensors
    and speakers is its own, and fails on one without at iteration 2 or later (FORMATS 8).
    """
    content = {
        "model": tensors,
        "iteration": 0,
        "optimizer": None,
        "learning_rate": config.train.learning_rate,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _stands(folder: Path, facts: Facts) -> bool:
    """Whether the folder holds this release, each file as it was written."""
    sums = read_sums(folder)
    if not sums or Facts.read(folder / FACTS_FILE) != facts:
        return False
    return all((folder / name).is_file() and files.sha256_file(folder / name) == sums[name] for name in sums)


def _keep_foreign(folder: Path, fresh: Path) -> None:
    """Copies what is in the folder but not part of its release."""
    ours = {*read_sums(folder), *_NAMES, *(path.name for path in fresh.iterdir())}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name in ours or path.name.startswith(files.TEMP_PREFIX):
            continue
        if path.is_dir():
            shutil.copytree(path, fresh / path.name, symlinks=True)
        else:
            shutil.copy2(path, fresh / path.name)
