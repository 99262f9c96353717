"""Door of the report stage: one HTML page that needs no other file, from whatever exists."""

import base64
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import jinja2
import numpy as np
import torch

from svc_core import files, layout, manifest
from svc_core.audio import io
from svc_core.config import RATE_HZ, Config
from svc_core.manifest import FileRecord
from svc_core.model.spectral import linear_spectrogram, log_mel
from svc_core.report.collect import Facts, collect

# Changes when the same facts give another page.
REPORT_VERSION = 1
EMBED_BYTES = 4 << 20
MEDIA = {".wav": "audio/wav", ".flac": "audio/flac"}
LOSSES = ("mel", "kl", "lf0", "fm", "gen", "disc")


class Report(manifest.Record):
    """`report.json`: the page, what it was made from, and its first figures for machines."""

    version: int = REPORT_VERSION
    inputs: str
    page: FileRecord
    figures: dict[str, str]

    def stands(self, root: Path, inputs: str) -> bool:
        return self.version == REPORT_VERSION and self.inputs == inputs and self.page.check(root) is not None


class Written(NamedTuple):
    report: Report
    already: bool


def write_report(root: Path, config: Config) -> Written:
    """Writes `reports/<voice>/index.html`. Parts whose stage has not run stay empty; an unchanged page is left."""
    facts = collect(root, config)
    folder, inputs = layout.reports_dir(facts.voice), facts.fingerprint()
    before = Report.read(root / folder / "report.json")
    if before is not None and before.stands(root, inputs):
        return Written(before, already=True)
    key = layout.report_key(facts.voice)
    files.write_text(root / key, _render(root, facts))
    report = Report(inputs=inputs, page=FileRecord.of(root, key), figures=dict(_tiles(facts)))
    report.write(root / folder / "report.json")
    return Written(report, already=False)


def _render(root: Path, facts: Facts) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("svc_core.report", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("page.html.j2").render(
        facts=facts,
        tiles=_tiles(facts),
        speakers=_speakers(facts),
        losses=_left_out(facts),
        lists=_lists(facts),
        plots=_plots(facts),
        training=_training(facts),
        checkpoints=_checkpoints(facts),
        pairs=_pairs(root, facts),
        converted=_converted(root, facts),
        config_json=facts.config.model_dump_json(indent=2),
        version=metadata.version("svc-jobs"),
    )


def _tiles(facts: Facts) -> list[tuple[str, str]]:
    tiles = [("minutes recorded", f"{sum(item.duration_s or 0 for item in facts.recordings) / 60:.1f}")]
    if facts.lists:
        tiles.append(("training clips", str(sum(clip.side == "train" for clip in facts.lists.clips))))
        tiles.append(("validation clips", str(sum(clip.side == "val" for clip in facts.lists.clips))))
    if facts.metrics:
        tiles.append(("training steps", str(facts.metrics[-1]["step"])))
    if facts.evaluation and facts.evaluation.best.metrics:
        tiles.append(("mel distance of the best", f"{facts.evaluation.best.metrics.mel_distance:.3f}"))
    return tiles


def _speakers(facts: Facts) -> list[dict[str, Any]]:
    rows = []
    for speaker in facts.config.spk:
        mine = [record for record in facts.recordings if record.speaker == speaker and not record.error]
        clips = [clip for record in mine for clip in record.clips]
        if not mine:
            continue
        formats = sorted({f"{record.container} {(record.rate_hz or 0) / 1000:g} kHz" for record in mine})
        rows.append(
            {
                "name": speaker,
                "recordings": len(mine),
                "minutes": sum(record.duration_s or 0 for record in mine) / 60,
                "formats": ", ".join(formats),
                "loudness": _mean(record.loudness_lufs for record in mine),
                "gain": _mean(record.gain_db for record in mine),
                "clips": len(clips),
                "kept_minutes": sum(clip.samples for clip in clips) / RATE_HZ / 60,
            }
        )
    return rows


def _left_out(facts: Facts) -> list[dict[str, Any]]:
    """Everything that came in and did not become a clip, grouped by reason."""
    found: dict[str, list[tuple[str, float | None]]] = {}
    for recording in facts.plan.recordings if facts.plan else ():
        if recording.error:
            found.setdefault("unusable file", []).append((recording.error, None))
        elif recording.duplicate_of:
            text = f"{recording.key} equals {recording.duplicate_of}"
            found.setdefault("same content twice, one kept", []).append((text, recording.seconds))
    for ignored in facts.plan.ignored if facts.plan else ():
        found.setdefault(ignored.reason, []).append((ignored.key, None))
    for record in facts.recordings:
        if record.error:
            found.setdefault("unusable file", []).append((record.error, None))
        for piece in record.dropped:
            seconds = (piece.end_ms - piece.start_ms) / 1000
            where = f"{record.source.key} at {piece.start_ms / 1000:.1f} s ({piece.reason})"
            found.setdefault("piece dropped: " + piece.reason.partition(":")[2].strip(), []).append((where, seconds))
    return [
        {
            "reason": reason,
            "count": len(items),
            "seconds": f"{sum(seconds or 0 for _, seconds in items):.1f}" if any(item[1] for item in items) else "",
            "example": items[0][0],
        }
        for reason, items in found.items()
    ]


def _lists(facts: Facts) -> str:
    if not facts.lists:
        return ""
    minutes = {side: facts.lists.seconds(side) / 60 for side in ("train", "val")}
    return f"{minutes['train']:.1f} min to train on, {minutes['val']:.1f} min held out."


def _plots(facts: Facts) -> dict[str, str]:
    from svc_core.report import plots  # matplotlib takes a second to import, and an unchanged page needs none

    seconds: dict[str, list[float]] = {}
    for clip in facts.lists.clips if facts.lists else ():
        seconds.setdefault(clip.speaker, []).append(clip.seconds)
    return {
        "durations": plots.duration_histogram(seconds) if seconds else "",
        "pitch": plots.pitch_histogram(facts.voiced_f0_hz) if facts.voiced_f0_hz else "",
        "losses": plots.loss_curves(facts.metrics, LOSSES) if facts.metrics else "",
    }


def _training(facts: Facts) -> str:
    if not facts.metrics:
        return ""
    first, last = facts.metrics[0], facts.metrics[-1]
    return (
        f"Steps {first['step']} to {last['step']}, {last['steps_per_s']:.2f} steps per second at the end; "
        f"mel loss from {first['mel']:.2f} to {last['mel']:.2f}."
    )


def _checkpoints(facts: Facts) -> list[dict[str, Any]]:
    rows = []
    for score in facts.evaluation.checkpoints if facts.evaluation else ():
        figures = score.metrics
        rows.append(
            {
                "step": score.step,
                "best": facts.evaluation is not None and score.step == facts.evaluation.best_step,
                "mel": f"{figures.mel_distance:.3f}" if figures else "no sound",
                "f0": f"{figures.f0_error_cents:.0f}" if figures and figures.f0_error_cents is not None else "",
                "voicing": f"{100 * figures.voicing_error:.1f}" if figures else "",
                "loudness": f"{figures.loudness_error_db:.1f}" if figures else "",
            }
        )
    return rows


def _pairs(root: Path, facts: Facts) -> list[dict[str, str]]:
    from svc_core.report import plots

    pairs = []
    for item in facts.heard:
        recorded, made = root / item.clip, root / item.made.key
        picture = plots.spectrogram_pair(
            _mel(recorded, facts.config), _mel(made, facts.config), ("as recorded", "as the model says it")
        )
        pairs.append({"name": item.clip, "picture": picture, "recorded": embed(recorded), "generated": embed(made)})
    return pairs


def _mel(path: Path, config: Config) -> Any:
    """Log-mel spectrogram [M, F] of an audio file of ours."""
    samples = torch.from_numpy(np.concatenate(list(io.stream(path))))
    return log_mel(linear_spectrogram(samples[None]), config.data)[0].numpy()


def _converted(root: Path, facts: Facts) -> list[dict[str, str]]:
    rows = []
    for record in facts.conversions:
        done = record.conversion
        rows.append(
            {
                "file": record.output.key,
                "source": done.source,
                "speaker": done.speaker,
                "seconds": f"{done.samples / RATE_HZ:.1f}",
                "transposed": f"{done.transposed_semitones:+g} semitones" if done.transposed_semitones else "no",
                "audio": embed(root / record.output.key),
            }
        )
    return rows


def embed(path: Path) -> str:
    """The file as a data URI, empty where it is too long for a page."""
    if path.stat().st_size > EMBED_BYTES:
        return ""
    return f"data:{MEDIA[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _mean(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{mean(known):.1f}" if known else ""
