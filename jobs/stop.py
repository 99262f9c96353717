"""SIGTERM and SIGINT: a stage ends at once with its finished work kept; training ends after the step it is in."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from svc_core.errors import Preempted


class Stop:
    """Whether somebody asked this process to stop. `at_once` decides what the signal does meanwhile."""

    def __init__(self) -> None:
        self._requested = False
        self._deferred = False

    def requested(self) -> bool:
        return self._requested

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """While open, a signal only sets the flag; the work inside looks at it and ends by itself."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        first, self._requested = not self._requested, True
        if first and not self._deferred:
            name = signal.Signals(number).name
            raise Preempted(f"told to stop ({name}): finished work is kept, run the same command again to go on")
