"""Who holds the work, and how a successor comes to it."""

import threading

import pytest

from svc_core.errors import ConfigError, Conflict
from svc_core.storage.lease import at_work, hold
from svc_core.storage.memory import MemoryStore

KEY = "data/prep/leases/train.json"
TERM_S = 0.5


@pytest.fixture
def store():
    return MemoryStore()


def take(store, wait, say=lambda _: None):
    return hold(store, KEY, wait=wait, say=say, term_s=TERM_S)


def test_a_lease_is_there_while_it_is_held_and_then_gone(store):
    with take(store, wait=False) as lease:
        assert store.head(KEY)
        lease.check()
        assert not lease.waited
    assert store.head(KEY) is None


def test_a_living_lease_is_refused_to_who_does_not_wait(store):
    with take(store, wait=False):
        second = take(store, wait=False)
        with pytest.raises(Conflict, match=r"process \d+ on .* is at work on memory"):
            second.__enter__()
    assert store.head(KEY) is None


def test_who_waits_comes_next_and_is_told_why(store):
    said: list[str] = []
    with take(store, wait=True):
        waiter = threading.Thread(target=lambda: enter(store, said))
        waiter.start()
        while not said:
            pass
        assert "waiting for another job" in said[0]
        assert "in" not in said
    waiter.join()
    assert said[-1] == "in, after waiting"


def enter(store, said) -> None:
    with take(store, wait=True, say=said.append) as lease:
        said.append("in, after waiting" if lease.waited else "in at once")


def test_a_lease_left_behind_is_taken_over_after_one_term(store):
    data = b'{"host": "gone", "pid": 1, "turn": 0, "nonce": ""}'
    store.write(KEY, data, "")
    with take(store, wait=False) as lease:
        assert lease.waited
        lease.check()


def test_a_holder_that_lost_its_lease_hears_of_it(store):
    with take(store, wait=False) as lease:
        store.write(KEY, b"somebody else's", "")
        with pytest.raises(Conflict, match="taken over by another job"):
            check_until_it_fails(lease)
    assert store.head(KEY), "the other's lease is left alone"


def check_until_it_fails(lease) -> None:
    while True:
        lease.check()


def test_sixteen_jobs_take_turns(store):
    inside, most = [], []

    def work():
        with take(store, wait=True):
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 16


def test_a_store_that_ignores_conditions_is_refused():
    class Careless(MemoryStore):
        def write(self, key, source, sha256, only_if=None):
            return super().write(key, source, sha256)

    careless = Careless()
    with pytest.raises(ConfigError, match="memory ignores If-None-Match"):
        take(careless, wait=True).__enter__()
    assert careless.head(KEY) is None


def test_others_at_work_are_the_living_alone(store):
    own, left, living = (f"data/prep/leases/{name}.json" for name in ("prepare", "slice-0-of-2", "slice-1-of-2"))
    store.write(own, b"", "")
    assert at_work(store, "data/prep/leases/", own, TERM_S) == []
    store.write(left, b"left behind", "")
    with hold(store, living, wait=False, term_s=TERM_S):
        assert at_work(store, "data/prep/leases/", own, TERM_S) == [living]
