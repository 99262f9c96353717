"""The README.md of a release, in the Hub's form: a YAML head, then Markdown. Text in, text out."""

import html
import shlex
from collections.abc import Sequence
from typing import NamedTuple

from svc_core import licence
from svc_core.config import Config
from svc_core.consent import Consent
from svc_core.conversion.facts import Facts
from svc_core.evaluation.evaluate import CheckpointScore

# The content encoders of our registry that 4.1 has under the same name.
_KNOWN_TO_41 = ("vec768l12", "vec256l9")
_HEAD = """---
tags:
- voice-conversion
- so-vits-svc
pipeline_tag: audio-to-audio
---"""
_NO_CONSENT = (
    "**Not for publication.** The consent of every speaker to share this model is not recorded. Whoever publishes this "
    "voice must have it."
)
_CONSENT = (
    "The speakers agreed to the following, which is also in `consent.json`. It is what the owner of the model says, "
    "not a proof. Use the voice for nothing else, and never to pass as the speaker."
)
_SLIM = (
    "`model-slim.safetensors` converts too, in less than half the bytes: float16, and without the tensors that only "
    "training needs."
)
_DEMO = (
    "**For demonstration only.** Its content encoder, `mel-bands`, lets the source's own voice through; a real voice "
    "needs `contentvec-768l12` or another encoder with weights."
)
_NO_LICENCE = "Not stated. Owner: put a LICENSE file beside this one and publish again."
_EXAMPLES = "Validation clips of the speakers, which training did not hear, as this model sings them."
_MADE_FROM = (
    "`facts.json` names the checkpoint, and the lists of clips that it was trained and measured on, by sha256. "
    "`SHA256SUMS` has that of every file here: `sha256sum --check SHA256SUMS`."
)
_UNSCORED = "Not evaluated."
_METRICS = {
    "mel_distance": "mel distance, natural logarithm",
    "f0_error_cents": "f0 error, cents",
    "voicing_error": "frames voiced in one only, share",
    "loudness_error_db": "loudness error, dB",
}


class Said(NamedTuple):
    """What a release may say beside its facts.

    `scores` are of every checkpoint that was evaluated; `consents` those of all speakers, or none; `examples` names of
    sound files beside the card; `licence` the owner's text.
    """

    scores: Sequence[CheckpointScore] = ()
    consents: Sequence[Consent] = ()
    examples: Sequence[str] = ()
    licence: str | None = None


def model_card(facts: Facts, config: Config, said: Said) -> str:
    """What the voice is, how to use it, and what it may not be used for."""
    consents, scores = said.consents, said.scores
    about = (
        f"A so-vits-svc 4.1-compatible voice-conversion model, step {facts.step}: it turns a recording of anybody into "
        "a speaker below, with the recording's words, timing and melody."
    )
    demo = [_DEMO] if facts.demo_only else []
    sections = {
        f"# {html.escape(facts.voice)}": [about, *([] if consents else [_NO_CONSENT]), *demo],
        **({"## Consent": [_CONSENT, _consents(consents)]} if consents else {}),
        "## Speakers": [_speakers(facts, config)],
        **({"## Examples": [_EXAMPLES, *map(_sound, said.examples)]} if said.examples else {}),
        "## Use": [_command(config), _SLIM, _elsewhere(config)],
        "## Made from": [_MADE_FROM],
        "## Settings": [_settings(config)],
        "## Validation": [_metrics(facts), *([_scores(scores)] if scores else [])] if facts.metrics else [_UNSCORED],
        "## Licence": [licence.quoted(said.licence) if said.licence else _NO_LICENCE],
    }
    head = _HEAD.replace("---", "---\nlicense: other", 1) if said.licence else _HEAD
    parts = [head, *(part for title, texts in sections.items() for part in (title, *texts))]
    return "\n\n".join(parts) + "\n"


def _sound(name: str) -> str:
    return f'<audio controls src="{name}"></audio> [{name}]({name})'


def _speakers(facts: Facts, config: Config) -> str:
    rows = [["name", "id", "training clips", "seconds", "median f0, Hz"]]
    for name, number in config.spk.items():
        one = facts.speakers.get(name)
        figures = [str(one.clips), f"{one.seconds:.0f}", f"{one.median_f0_hz or 0:.0f}"] if one else ["0", "0", "0"]
        rows.append([name, str(number), *figures])
    return _table(rows)


def _command(config: Config) -> str:
    speaker = shlex.quote(next(iter(config.spk)))
    return f"```\nsvc-jobs convert song.flac --model . --speaker {speaker} --transpose auto\n```"


def _elsewhere(config: Config) -> str:
    if config.model.speech_encoder in _KNOWN_TO_41:
        return "so-vits-svc 4.1 opens `G_*.pth` with `config.json`."
    return f"so-vits-svc 4.1 does not have the content encoder `{config.model.speech_encoder}`: use svc-jobs."


def _settings(config: Config) -> str:
    features = config.svc_jobs.features
    return _table(
        [
            ["setting", "value"],
            ["network preset", config.svc_jobs.preset],
            ["content encoder", f"{config.encoder} ({features.encoder_backend}, {features.encoder_precision})"],
            ["f0 predictor", features.f0_predictor],
            ["hears the volume envelope", "yes" if config.model.vol_embedding else "no"],
            ["training precision", config.precision],
            *([f"sha256 of {name}", digest] for name, digest in sorted(features.weights_sha256.items())),
        ]
    )


def _metrics(facts: Facts) -> str:
    rows = [[title, str(facts.metrics.get(name))] for name, title in _METRICS.items()]
    return _table([["mean over frames of the validation clips", "value"], *rows])


def _scores(scores: Sequence[CheckpointScore]) -> str:
    rows = [["checkpoint, step", *_METRICS.values()]]
    for one in scores:
        figures = one.metrics.model_dump(mode="json") if one.metrics else {}
        rows.append([str(one.step), *(str(figures.get(name, "no sound")) for name in _METRICS)])
    return _table(rows)


def _consents(consents: Sequence[Consent]) -> str:
    rows = [["speaker", "consent", "allows", "commercial use", "evidence"]]
    for one in consents:
        allowed = ", ".join(use.value for use in one.uses)
        rows.append([one.speaker, one.basis, allowed, "yes" if one.commercial else "no", one.evidence or "none named"])
    return _table(rows)


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(_cell(text) for text in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _cell(text: str) -> str:
    """One line, without what Markdown or HTML would act on."""
    return html.escape(" ".join(text.split())).replace("|", "&#124;")
