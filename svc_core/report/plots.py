"""The report's pictures, each an inline PNG: the page needs no script and no second file."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

INK, GRID = "#1f2933", "#e4e7eb"
COLOURS = ("#2563a8", "#c2541b", "#2f7d4f", "#7a4fa3", "#8a6d1d", "#a3325f")
_STYLE: Any = {
    "font.size": 9,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.dpi": 110,
}


def duration_histogram(seconds: Mapping[str, Sequence[float]]) -> str:
    """Clip durations by speaker, as a data URI."""
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(5.2, 2.6), layout="constrained")
        longest = max((value for values in seconds.values() for value in values), default=1.0)
        bins = np.linspace(0, np.ceil(longest), 31)
        for colour, (speaker, values) in zip(_cycle(len(seconds)), seconds.items(), strict=False):
            axes.hist(values, bins=list(bins), color=colour, alpha=0.75, label=speaker)
        axes.set(xlabel="clip length, s", ylabel="clips")
        _legend(axes, len(seconds))
        return _uri(figure)


def pitch_histogram(f0_hz: dict[str, np.ndarray]) -> str:
    """Share of voiced frames by pitch, on a scale of semitones."""
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(5.2, 2.6), layout="constrained")
        bins = 50 * 2 ** (np.arange(0, 55) / 12)
        for colour, (speaker, values) in zip(_cycle(len(f0_hz)), f0_hz.items(), strict=False):
            weights = np.full(len(values), 100 / max(len(values), 1))
            axes.hist(values, bins=list(bins), weights=weights, color=colour, alpha=0.75, label=speaker)
        axes.set_xscale("log", base=2)
        ticks = [65, 110, 220, 440, 880]
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set(xlabel="f0, Hz", ylabel="voiced frames, %")
        _legend(axes, len(f0_hz))
        return _uri(figure)


def loss_curves(metrics: list[dict[str, Any]], names: Sequence[str]) -> str:
    """One small panel per loss over steps: raw values pale, a running mean strong."""
    with plt.rc_context(_STYLE):
        columns = 3
        rows = -(-len(names) // columns)
        figure, grid = plt.subplots(rows, columns, figsize=(9, 2.0 * rows), squeeze=False, layout="constrained")
        steps = [row["step"] for row in metrics]
        for axes, name in zip(grid.flat, names, strict=False):
            values = np.array([row.get(name, np.nan) for row in metrics], dtype=float)
            axes.plot(steps, values, color=COLOURS[0], alpha=0.3, linewidth=1)
            axes.plot(steps, _running_mean(values), color=COLOURS[0], linewidth=1.6)
            axes.set_title(name, fontsize=9, color=INK, loc="left")
        for axes in grid.flat[len(names) :]:
            axes.set_visible(False)
        return _uri(figure)


def spectrogram_pair(recorded: np.ndarray, generated: np.ndarray, titles: tuple[str, str]) -> str:
    """Log-mel spectrograms [M, F] one above the other, on one colour scale."""
    with plt.rc_context({**_STYLE, "axes.grid": False}):
        figure, pair = plt.subplots(2, 1, figsize=(7.2, 3.6), sharex=True, layout="constrained")
        low, high = np.percentile(recorded, 2), recorded.max()
        for axes, picture, title in zip(pair, (recorded, generated), titles, strict=True):
            seconds = picture.shape[1] * 512 / 44_100
            axes.imshow(
                picture,
                origin="lower",
                aspect="auto",
                vmin=low,
                vmax=high,
                cmap="magma",
                extent=(0, seconds, 0, picture.shape[0]),
            )
            axes.set_title(title, fontsize=9, color=INK, loc="left")
            axes.set_ylabel("mel band")
        pair[1].set_xlabel("s")
        return _uri(figure)


def _running_mean(values: np.ndarray) -> np.ndarray:
    width = max(1, len(values) // 20)
    padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge") if len(values) else values
    return np.convolve(padded, np.ones(width) / width, mode="valid") if len(values) else values


def _cycle(count: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(count)]


def _legend(axes: Any, count: int) -> None:
    if 1 < count <= 12:
        axes.legend(fontsize=8)


def _uri(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
