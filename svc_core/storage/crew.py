"""Threads that nobody waits for: a process that is told to stop ends at once, whatever the network does.

`concurrent.futures` joins its threads when the interpreter exits, and a thread inside a network call cannot be stopped.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")
WORKERS = 16
_WAITING = 32
_LAST_CALLS_S = 2.0
_Task: TypeAlias = "tuple[Future[Any], Callable[..., Any], tuple[Any, ...]] | None"


class Crew:
    """At most `size` daemon threads, started as they are needed; what was not begun is dropped at `close`."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._tasks: SimpleQueue[_Task] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = threading.Event()

    def submit(self, function: Callable[..., Made], *arguments: Any) -> "Future[Made]":
        future: Future[Made] = Future()
        self._tasks.put((future, function, arguments))
        if len(self._threads) < self._size:
            thread = threading.Thread(target=self._work, name="svc-storage", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def close(self) -> None:
        """Waits a moment for calls that are about to return, never for those that hang.

        A native call that returns while the interpreter ends would abort the process.
        """
        self._closed.set()
        for _ in self._threads:
            self._tasks.put(None)
        deadline_s = time.monotonic() + _LAST_CALLS_S
        for thread in self._threads:
            thread.join(max(deadline_s - time.monotonic(), 0))

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            future, function, arguments = task
            if self._closed.is_set():
                future.cancel()
                continue
            try:
                made = function(*arguments)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(made)
            del task, future, function, arguments  # or the last result stays in memory until the next task comes


@contextmanager
def crew_of(size: int) -> Iterator[Crew]:
    crew = Crew(size)
    try:
        yield crew
    finally:
        crew.close()


def in_order(function: Callable[[Given], Made], items: Iterable[Given], at_once: int) -> Iterator[Made]:
    """Like map, up to `at_once` calls ahead of the reader. The first error stops the rest and is raised."""
    with crew_of(at_once) as crew:
        running: deque[Future[Made]] = deque()
        for item in items:
            running.append(crew.submit(function, item))
            if len(running) >= at_once:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def in_threads(
    function: Callable[[Given], Made],
    items: Iterable[Given],
    workers: int = WORKERS,
    events: "SimpleQueue[Any] | None" = None,
    hear: Callable[[Any], None] | None = None,
) -> Iterator[Made]:
    """Results in the order in which they are ready; the first error stops the rest and is raised.

    Few more items than `workers` are held at a time, however many there are. What calls put into `events` is given to
    `hear` in the reader's own thread.
    """
    ready: SimpleQueue[Any] = events if events is not None else SimpleQueue()

    def next_result() -> Made:
        while not isinstance(event := ready.get(), Future):
            if hear is not None:
                hear(event)
        return event.result()

    with crew_of(workers) as crew:
        held = 0
        for item in items:
            crew.submit(function, item).add_done_callback(ready.put)
            held += 1
            if held >= workers + _WAITING:
                yield next_result()
                held -= 1
        for _ in range(held):
            yield next_result()


def interruptibly(call: Callable[[], Made]) -> Made:
    """Runs `call`; on the main thread in another one, so that a signal is heard while the network hangs."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    with crew_of(1) as crew:
        return crew.submit(call).result()
