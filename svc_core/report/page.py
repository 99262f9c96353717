"""Door of the report stage: one HTML page that needs no other file, from whatever exists."""

import base64
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from statistics import mean
from typing import Any

import jinja2
import torch

from svc_core import files, layout
from svc_core.audio import io
from svc_core.config import RATE_HZ, Config
from svc_core.model.spectral import linear_spectrogram, log_mel
from svc_core.report import plots
from svc_core.report.collect import Facts, collect

EMBED_BYTES = 4 << 20
MEDIA = {".wav": "audio/wav", ".flac": "audio/flac"}


def write_report(root: Path, config: Config) -> Path:
    """Writes `reports/<voice>/index.html` and returns its path."""
    facts = collect(root, config)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("svc_core.report", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    html = environment.get_template("page.html.j2").render(
        facts=facts,
        tiles=_tiles(facts),
        speakers=_speakers(facts),
        losses=_left_out(facts),
        lists=_lists(facts),
        plots=_plots(facts),
        training=_training(facts),
        checkpoints=_checkpoints(facts),
        validation_clips=len(facts.evaluation.clips) if facts.evaluation else 0,
        pairs=_pairs(root, facts),
        converted=_converted(root, facts),
        config_json=config.model_dump_json(indent=2),
        version=metadata.version("svc-jobs"),
    )
    path = root / layout.reports_dir(facts.voice) / "index.html"
    files.write_text(path, html)
    return path
