"""The README.md of a release, in the Hub's form: a YAML head, then Markdown. Text in, text out."""

import html
import shlex

from svc_core.config import Config
from svc_core.conversion.facts import Facts

# The content encoders of our registry that 4.1 has under the same name.
_KNOWN_TO_41 = ("vec768l12", "vec256l9")
_HEAD = """---
tags:
- voice-conversion
- so-vits-svc
pipeline_tag: audio-to-audio
---"""
_CONSENT = "**Not for publication.** No consent of the speakers is recorded. Whoever publishes this voice must have it."
_DEMO = (
    "**For demonstration only.** Its content encoder, `mel-bands`, lets the source's own voice through; a real voice "
    "needs `contentvec-768l12` or another encoder with weights."
)
_LICENCE = (
    "Not stated. Owner: put a LICENSE file beside this one. Publishing again keeps it, and writes this README anew."
)
_METRICS = {
    "mel_distance": "mel distance, natural logarithm",
    "f0_error_cents": "f0 error, cents",
    "voicing_error": "frames voiced in one only, share",
    "loudness_error_db": "loudness error, dB",
}


def model_card(facts: Facts, config: Config) -> str:
    """What the voice is, how to use it, and what it may not be used for."""
    about = (
        f"A so-vits-svc 4.1-compatible voice-conversion model, step {facts.step}: it turns a recording of anybody into "
        "a speaker below, with the recording's words, timing and melody."
    )
    demo = [_DEMO] if facts.demo_only else []
    sections = {
        f"# {html.escape(facts.voice)}": [about, _CONSENT, *demo],
        "## Speakers": [_speakers(facts, config)],
        "## Use": [_command(config), _elsewhere(config)],
        "## Settings": [_settings(config)],
        "## Validation": [_metrics(facts) if facts.metrics else "Not evaluated."],
        "## Licence": [_LICENCE],
    }
    parts = [_HEAD, *(part for title, texts in sections.items() for part in (title, *texts))]
    return "\n\n".join(parts) + "\n"


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


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(html.escape(cell).replace("|", "&#124;") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
