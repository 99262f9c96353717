import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.storage.crew import in_order, in_threads, interruptibly


@given(st.lists(st.integers(), max_size=60), st.integers(1, 8))
def test_every_item_gives_its_result_once(items, workers):
    assert list(in_order(lambda item: item + 1, items, workers)) == [item + 1 for item in items]
    assert sorted(in_threads(lambda item: item + 1, items, workers)) == sorted(item + 1 for item in items)


def test_few_items_are_held_however_many_there_are():
    drawn = itertools.count(1)
    results = in_threads(lambda item: item, drawn, 4)
    for taken in range(1, 200):
        next(results)
        assert int(repr(drawn)[len("count(") : -1]) <= taken + 41
    results.close()


def test_the_first_error_stops_the_rest():
    begun = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 3:
            raise ValueError("three")
        return item

    with pytest.raises(ValueError, match="three"):
        list(in_threads(work, range(10_000), 2))
    assert len(begun) < 200


def test_threads_are_daemons_and_events_are_heard_by_the_reader():
    from queue import SimpleQueue

    events, heard = SimpleQueue(), []

    def work(item: int) -> bool:
        events.put(item)
        return threading.current_thread().daemon

    def hear(event: int) -> None:
        heard.append((event, threading.current_thread()))

    assert all(in_threads(work, range(50), 4, events, hear))
    assert sorted(event for event, _ in heard) == list(range(50))
    assert {thread for _, thread in heard} == {threading.main_thread()}


def test_the_main_thread_only_waits():
    assert interruptibly(threading.current_thread) is not threading.main_thread()
    with pytest.raises(KeyError):
        interruptibly(lambda: {}["absent"])
