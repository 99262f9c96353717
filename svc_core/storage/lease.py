"""The right to do one piece of work, held by one job at a time: an object that its holder renews while it works.

A lease is alive while its version keeps changing. Who wants it watches that for one term by its own clock, so that
machines whose clocks differ agree, and a lease that a killed job left behind costs its successor one term.
"""

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from svc_core import files
from svc_core.errors import BadInput, ConfigError, Conflict, SvcError, Transient
from svc_core.storage.store import ABSENT, Condition, Store, Version

TERM_S = 20.0
_RENEWALS_PER_TERM = 5
_GIVE_UP_S = 3.0


class Lease:
    """Held until `release`; renewed by a thread of its own. `waited`: another job had it before."""

    def __init__(self, store: Store, key: str, term_s: float, acquired: "_Acquired") -> None:
        self._store, self._key, self._term_s, self._version = store, key, term_s, acquired.version
        self.waited = acquired.waited
        self._turn = 0
        self._ended = threading.Event()
        self._lost: str | None = None
        self._thread = threading.Thread(target=self._renew, name="svc-lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises Conflict where somebody took the lease over: then this job must not write any more."""
        if self._lost:
            raise Conflict(self._lost)

    def release(self) -> None:
        """Gives the lease up; where the store does not answer at once it is left to run out."""
        self._ended.set()
        self._thread.join(timeout=_GIVE_UP_S)
        if not self._lost and not self._thread.is_alive():
            ending = threading.Thread(target=self._remove, name="svc-lease-end", daemon=True)
            ending.start()
            ending.join(timeout=_GIVE_UP_S)

    def _remove(self) -> None:
        with suppress(SvcError):
            self._store.delete([self._key])

    def _renew(self) -> None:
        while not self._ended.wait(self._term_s / _RENEWALS_PER_TERM):
            self._turn += 1
            try:
                self._version = _write(self._store, self._key, self._turn, self._version)
            except Conflict:
                self._lost = f"{self._store.name}/{self._key} was taken over by another job: run the same command again"
                return
            except Transient:  # the next turn may get through
                continue


@contextmanager
def hold(
    store: Store, key: str, *, wait: bool, say: Callable[[str], None] = lambda _: None, term_s: float = TERM_S
) -> Iterator[Lease]:
    """The lease at `key` while open.

    Args:
        wait: whether to wait for a living holder to end its work; else that is a Conflict.
        say: hears once why this takes long.
        term_s: after so many seconds without a renewal a lease counts as left behind.
    Raises:
        Conflict: another job holds it, alive.
        ConfigError: the store ignores conditions, so nobody can hold anything.
    """
    lease = Lease(store, key, term_s, _acquire(store, key, wait, say, term_s))
    try:
        yield lease
    finally:
        lease.release()


def at_work(store: Store, prefix: str, own: str, term_s: float = TERM_S) -> list[str]:
    """The keys of living leases below `prefix`, without `own`; takes up to half a term where there are any."""

    def look() -> dict[str, Version]:
        return {stored.key: stored.version for stored in store.list(prefix) if stored.key != own}

    before = look()
    if not before:
        return []
    time.sleep(2 * term_s / _RENEWALS_PER_TERM)
    return sorted(key for key, version in look().items() if before.get(key) != version)


class _Acquired(NamedTuple):
    version: Version
    waited: bool


def _acquire(store: Store, key: str, wait: bool, say: Callable[[str], None], term_s: float) -> _Acquired:
    told = False
    seen: Version | None = None
    since_s = time.monotonic()
    while True:
        facts = store.head(key)
        condition: Condition = ABSENT
        if facts is not None:
            if facts.version != seen:
                if seen is not None and not wait:
                    raise Conflict(f"{_holder(store, key)} is at work on {store.name}: wait for it, or end it first")
                seen, since_s = facts.version, time.monotonic()
            if time.monotonic() - since_s < term_s:
                if not told:
                    say(f"waiting for {_holder(store, key)}, or {term_s:.0f} s to see that it is gone")
                    told = True
                time.sleep(min(1.0, term_s / 10))
                continue
            condition = facts.version
        try:
            version = _write(store, key, 0, condition)
        except Conflict:
            continue
        if condition is ABSENT:
            _check_conditions(store, key)
        return _Acquired(version, told)


def _check_conditions(store: Store, key: str) -> None:
    """What has just been written must not be writable as absent once more. Raises ConfigError where it is."""
    try:
        _write(store, key, 0, ABSENT)
    except Conflict:
        return
    store.delete([key])
    raise ConfigError(
        f"{store.name} ignores If-None-Match, so jobs there would overwrite each other: use another store or a newer "
        "version of it (svc-jobs doctor tests this)"
    )


def _write(store: Store, key: str, turn: int, condition: Condition) -> Version:
    # Random, so that every renewal has another ETag even where that is an md5.
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "turn": turn, "nonce": secrets.token_hex(8)}
    data = json.dumps(holder).encode()
    return store.write(key, data, files.sha256_bytes(data), condition)


def _holder(store: Store, key: str) -> str:
    try:
        holder = json.loads(b"".join(store.read(key).pieces))
        return f"another job (process {holder['pid']} on {holder['host']}, {key.rpartition('/')[2]})"
    except (BadInput, ValueError, KeyError):
        return f"another job ({key.rpartition('/')[2]})"
