"""Made speech, and the clips that came of it."""

from pathlib import Path

import numpy as np


def talk(duration_s: float, rate_hz: int, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """[n] float32: noise under syllables, a pause of 0.5 s with quiet room noise after every 2.5 s."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    talking = (time_s % 3 < 2.5) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time_s))
    noise = rng.standard_normal(len(time_s))
    return (level * talking * noise + 1e-4 * noise).astype(np.float32)


def wavs(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in (root / "data").rglob("*") if path.is_file())
