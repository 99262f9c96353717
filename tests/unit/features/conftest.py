"""Signals of the goldens, by name."""

import numpy as np
import pytest


@pytest.fixture
def golden_signal(golden):
    """The float32 signal [T] at 44.1 kHz that the golden arrays of that name were made from."""

    def load(name: str) -> np.ndarray:
        if name in ("synth", "speech"):
            return golden("inputs")[f"{name}_44k"].astype(np.float32) / np.float32(32768)
        return golden("f0")[f"wav_{name}"]

    return load
