"""What training says of itself: `metrics.jsonl` for programs, TensorBoard events for people, under the same names."""

import json
import math
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from svc_core import files, layout
from svc_core.config import RATE_HZ
from svc_core.training.example import Example
from svc_core.training.step import StepLosses


class MetricsLog:
    """Appends one line per `interval` steps; a loss or norm is its mean over the steps since the line before.

    On opening, lines after `step` are dropped: they are of steps that a checkpoint did not keep.
    """

    def __init__(self, root: Path, voice: str, step: int, interval: int) -> None:
        self._path = root / layout.metrics_key(voice)
        self._interval = interval
        self._sums: dict[str, float] = {}
        self._steps = 0
        files.write_text(self._path, "".join(f"{line}\n" for line in _lines_until(self._path, step)))
        self._events = SummaryWriter(str(root / layout.logs_dir(voice)), purge_step=step + 1)

    def add(self, step: int, losses: StepLosses, facts: dict[str, float]) -> None:
        """Takes one step's losses; `facts` (epoch, learning rate, speed) go into the line as they are."""
        for name, value in losses._asdict().items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._steps += 1
        if step % self._interval == 0:
            means = {name: total / self._steps for name, total in self._sums.items()}
            self._sums, self._steps = {}, 0
            self._write({"step": step, **facts, **means})

    def example(self, step: int, example: Example) -> None:
        """Adds what the network makes of a validation clip, to TensorBoard only."""
        self._events.add_audio("validation", example.samples[None], step, RATE_HZ)
        self._events.add_scalar("validation_mel", example.loss_mel, step)
        self._events.flush()

    def close(self) -> None:
        self._events.close()

    def _write(self, row: dict[str, float]) -> None:
        with self._path.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps({name: _rounded(value) for name, value in row.items()}) + "\n")
        for name, value in row.items():
            if name != "step":
                self._events.add_scalar(name, value, int(row["step"]))


def _lines_until(path: Path, step: int) -> list[str]:
    """The lines up to a step; a last line that a kill has torn is of no step."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if row["step"] <= step:
            kept.append(line)
    return kept


def _rounded(value: float) -> float:
    """Six significant digits: more are noise, and the file is read by people too."""
    if value == 0 or isinstance(value, int):
        return value
    return round(value, 5 - math.floor(math.log10(abs(value))))
