"""What a broken network and a failing server do to a bucket: everything arrives, or the reason is told."""

import hashlib
import logging
import os
import random
import re
import threading
import time
from collections import Counter

import pytest
from servers.plugin import s3_servers
from servers.processes import ACCESS_KEY, SECRET_KEY
from servers.proxy import Fault, breaking

from svc_core.errors import BadInput, ConfigError, Conflict, Damaged, SvcError, Transient
from svc_core.storage.s3 import S3Store
from svc_core.storage.store import ABSENT
from svc_core.storage.transfer import Item, fetch, send

PASSING = [fault for fault in Fault if fault is not Fault.HANG]
SMALL_FILES, LARGE_FILES = 300, 2


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(params=s3_servers())
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def through(server, aws):
    """A store behind a proxy with a rule."""
    opened = []

    def open_through(rule, prefix: str, budget_s: float = 60.0, **more):
        context = breaking(server.port, rule)
        proxy = context.__enter__()
        opened.append(context)
        aws(server, proxy.endpoint)
        return proxy, S3Store.open_url(f"s3://workspaces/faults/{os.getpid()}/{prefix}", budget_s, **more)

    yield open_through
    for context in opened:
        context.__exit__(None, None, None)


def make_files(folder, small: int, large: int = 0) -> dict[str, str]:
    folder.mkdir()
    hashes = {}
    for number in range(small + large):
        size = 20_000 + number if number < small else (17 << 20) + number
        data = random.Random(number).randbytes(size)
        (folder / f"{number}.bin").write_bytes(data)
        hashes[f"{number}.bin"] = sha256(data)
    return hashes


def every(share: float):
    """Breaks this share of the requests, with every kind in turn."""
    chance, kinds, lock = random.Random(7), iter(PASSING * 10_000), threading.Lock()

    def rule(request):
        with lock:
            return next(kinds) if chance.random() < share else None

    return rule


def test_all_files_arrive_whatever_breaks_on_the_way(through, tmp_path):
    hashes = make_files(tmp_path / "in", SMALL_FILES, LARGE_FILES)
    proxy, store = through(every(0.15), "mixed")
    told = []
    items = [Item(key, tmp_path / "in" / key) for key in hashes]
    sent = {moved.key: moved.sha256 for moved in send(store, items, on_bytes=told.append)}
    up = proxy.injected.copy()
    items = [Item(key, tmp_path / "out" / key, hashes[key]) for key in hashes]
    fetched = {moved.key: moved.sha256 for moved in fetch(store, items, on_bytes=told.append)}
    counts = f"{len(hashes)} files, {proxy.requests} requests, injected {dict(proxy.injected)}, up {dict(up)}"
    arrived = {path.name: sha256(path.read_bytes()) for path in (tmp_path / "out").iterdir()}
    assert sent == fetched == arrived == hashes, counts
    assert set(proxy.injected) == {fault.value for fault in PASSING}, counts
    assert sum(told) == 2 * sum(path.stat().st_size for path in (tmp_path / "in").iterdir()), counts


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.value)
def test_each_fault_is_survived_in_each_kind_of_request(through, tmp_path, fault):
    (tmp_path / "large").write_bytes(bytes(range(256)) * (70 << 10))
    content = sha256((tmp_path / "large").read_bytes())
    seen = Counter()

    def first_of_each(request):
        kind = (request.method, "uploads" in request.target, "list-type" in request.target, request.size > 0)
        seen[kind] += 1
        return fault if seen[kind] == 1 else None

    proxy, store = through(first_of_each, f"each-{fault.name}")
    store.write("large", tmp_path / "large", content)
    store.write("small", b"small", sha256(b"small"), ABSENT)
    assert store.head("small").sha256 == sha256(b"small")
    assert sorted(item.key for item in store.list()) == ["large", "small"]
    list(fetch(store, [Item("large", tmp_path / "back", content), Item("small", tmp_path / "small")]))
    assert sha256((tmp_path / "back").read_bytes()) == content
    store.delete(["large", "small"])
    assert list(store.list()) == [], proxy.injected
    assert proxy.injected[fault.value] >= 5, proxy.injected


def test_a_conditional_write_whose_answer_was_lost_is_no_conflict_with_ourselves(through):
    def lose_writes(request):
        return Fault.LOST_ANSWER if request.method == "PUT" and next(losses) else None

    losses = iter([True, False, False, True, False, False, False])
    proxy, store = through(lose_writes, "lost")
    first = store.write("k", b"1", sha256(b"1"), ABSENT)
    assert first == store.head("k").version
    with pytest.raises(Conflict):
        store.write("k", b"1", sha256(b"1"), ABSENT)  # equal bytes, and yet another's write
    second = store.write("k", b"2", sha256(b"2"), first)
    assert second == store.head("k").version
    assert proxy.injected == {"answer lost": 2}


def test_the_network_may_be_away_for_a_while(through, tmp_path):
    hashes = make_files(tmp_path / "in", 40)
    proxy, store = through(lambda request: None, "away")
    moving = send(store, (Item(key, tmp_path / "in" / key) for key in hashes))
    done = [next(moving)]
    with proxy.away():
        time.sleep(2)
    done += moving
    assert {moved.key for moved in done} == set(hashes), proxy.injected


@pytest.mark.parametrize(
    ("fault", "words"),
    [(Fault.ERROR_500, "answered 500"), (Fault.SLOW_DOWN, "answered 503"), (Fault.CUT_REQUEST, "cut"),
     (Fault.LOST_ANSWER, "cut")],
    ids=str,
)  # fmt: skip
def test_what_lasts_is_transient_and_says_why(through, fault, words):
    _, store = through(lambda request: fault, "lasting", budget_s=1.0)
    asks = (
        lambda: store.read("k"),
        lambda: store.head("k"),
        lambda: list(store.list()),
        lambda: store.write("k", b"", sha256(b"")),
        lambda: store.write("k", b"1", sha256(b"1"), ABSENT),
    )
    for ask in asks:
        with pytest.raises(Transient, match=words) as caught:
            ask()
        assert not isinstance(caught.value, Conflict)


def test_nobody_at_home_is_transient(through):
    proxy, store = through(lambda request: None, "nobody", budget_s=0.5)
    with proxy.away(), pytest.raises(Transient, match=r"refused|cannot be reached|cut"):
        store.head("k")


def test_an_outage_is_said_once_while_it_lasts(through, monkeypatch):
    monkeypatch.setattr("svc_core.storage.s3._NOTICE_AFTER_S", 0.0)
    said: list[str] = []
    proxy, store = through(lambda request: None, "outage", budget_s=1.0, notice=said.append)
    for outages in (1, 2):
        with proxy.away(), pytest.raises(Transient):
            list(store.list())
        assert len(said) == outages, "once, however often it was tried"
        assert re.fullmatch(rf"{re.escape(store.name)}: .*: trying again for up to 1 s", said[-1])
        assert list(store.list()) == []


def test_wrong_bytes_that_stay_wrong_are_named_with_both_hashes(through, tmp_path):
    _, store = through(lambda request: Fault.WRONG_BYTES if request.method == "GET" else None, "wrong")
    store.write("bad/key.wav", b"content", sha256(b"content"))
    with pytest.raises(Damaged) as caught:
        list(fetch(store, [Item("bad/key.wav", tmp_path / "out" / "x")]))
    assert "bad/key.wav" in str(caught.value)
    assert sha256(b"content") in str(caught.value)
    assert str(caught.value).count("sha256") == 1
    assert list((tmp_path / "out").iterdir()) == [], "something half-visible stayed"


def test_an_object_of_other_content_is_damage_and_absence_is_bad_input(through, tmp_path):
    _, store = through(lambda request: None, "other")
    store.write("k", b"content", sha256(b"content"))
    with pytest.raises(Damaged, match=sha256(b"expected")):
        list(fetch(store, [Item("k", tmp_path / "x", sha256(b"expected"))]))
    with pytest.raises(BadInput, match="absent"):
        list(fetch(store, [Item("absent", tmp_path / "x")]))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [({"AWS_SECRET_ACCESS_KEY": "wrong" * 8}, "secret key does not fit"),
     ({"AWS_ACCESS_KEY_ID": "AKIDWRONG00000000000"}, "access key is not known"),
     ({"AWS_SESSION_TOKEN": "tokenNobodyShouldSee"}, ""),
     ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "no AWS credentials were found"),
     ({"AWS_PROFILE": "nowhere"}, "nowhere"),
     ({"AWS_SKIP_SIGNATURE": "true"}, "do not allow")],
    ids=["secret", "access key", "token", "none", "profile", "anonymous"],
)  # fmt: skip
def test_no_credential_reaches_an_error_a_name_or_a_log(server, aws, monkeypatch, caplog, change, words):
    aws(server)
    for name, value in change.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    said = []
    with caplog.at_level(logging.DEBUG):
        for reason in refusals(said):
            assert isinstance(reason, ConfigError), reason
            assert words in str(reason)
    everything = "\n".join([*said, *(record.getMessage() for record in caplog.records)])
    secrets = {SECRET_KEY, ACCESS_KEY, *(value for name, value in change.items() if "KEY" in name or "TOKEN" in name)}
    assert [secret for secret in secrets - {None} if secret in everything] == []


def refusals(said: list[str]):
    """The errors of every kind of request; appends all texts that there are to `said`."""
    try:
        store = S3Store.open_url("s3://workspaces/x", 2.0)
    except ConfigError as error:
        said += [str(error), repr(error), repr(error.__cause__)]
        yield error
        return
    said += [store.name, repr(store), str(vars(store))]
    for ask in (
        lambda: store.read("k"),
        lambda: store.head("k"),
        lambda: list(store.list()),
        lambda: store.write("k", b"", sha256(b"")),
    ):
        with pytest.raises(SvcError) as caught:
            ask()
        said += [str(caught.value), repr(caught.value), repr(caught.value.__cause__)]
        yield caught.value
