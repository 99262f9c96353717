"""What goes wrong on the way between a workspace and the Hub: busy, broken, killed and told to stop."""

import signal
import subprocess
import sys

import pytest
from hub_workspace import content, repo_of, wavs

from svc_core.errors import BadInput, Damaged, Transient
from svc_core.hub import Hub, client, pull_features, pull_raw, pull_sliced, push_features, push_raw, push_sliced, status


@pytest.mark.parametrize("status_code", [429, 500, 503])
@pytest.mark.parametrize(
    "pattern", [r"GET .*/tree/", r"POST .*/commit/", r"POST .*objects/batch", r"GET /api/datasets/[^/]+/[^/]+$"]
)
def test_a_busy_hub_is_waited_for_as_it_asks(hub_server, hub, made, empty, status_code, pattern):
    hub_server.faults.answer(pattern, status_code, times=2, headers={"Retry-After": "0"})
    push_sliced(made.root, made.speaker, hub)
    assert hub_server.faults.left == 0
    hub_server.faults.answer("GET .*/resolve/", status_code, times=2, headers={"Retry-After": "0"})
    pull_sliced(empty, made.speaker, hub)
    assert wavs(empty) == wavs(made.root)


def test_a_hub_that_stays_away_is_transient(hub_server, hub_here, made):
    impatient = Hub(hub_server.namespace, patience_s=0.2)
    hub_server.faults.answer("POST .*/commit/", 503, times=1000)
    with pytest.raises(Transient, match="run the same command again"):
        push_raw(made.root, made.speaker, impatient)


def test_a_wait_is_said_once(hub_server, hub_here, made, monkeypatch):
    monkeypatch.setattr(client, "QUIET_S", 0)
    heard = []
    hub_server.faults.answer("POST .*/commit/", 503, times=3, headers={"Retry-After": "0"})
    push_raw(made.root, made.speaker, Hub(hub_server.namespace, patience_s=60, notice=heard.append))
    assert len(heard) == 1
    assert "asking again, for up to" in heard[0]


def test_a_wait_longer_than_our_patience_is_not_begun(hub_server, hub_here, made):
    hub_server.faults.answer("POST .*/commit/", 503, times=1000, headers={"Retry-After": "3600"})
    with pytest.raises(Transient):
        push_raw(made.root, made.speaker, Hub(hub_server.namespace, patience_s=5))


def test_broken_transfers_are_gone_on_with(hub_server, hub, made, empty):
    hub_server.faults.cut_upload("PUT ", 1000, times=2)
    hub_server.faults.drop("POST .*/commit/", times=1)
    push_features(made.root, made.speaker, hub)
    hub_server.faults.cut(r"GET .*shards/", 1000, times=2)
    hub_server.faults.drop(r"GET .*shards/", times=1)
    pull_features(empty, made.speaker, hub)
    assert hub_server.faults.left == 0
    assert content(empty, "data/44k").items() <= content(made.root, "data/44k").items()
    assert status(empty, "features", made.speaker, hub).same


def test_a_commit_whose_answer_is_lost_is_found_to_be_made(hub_server, hub, made):
    hub_server.faults.lose_answer("POST .*/commit/", times=1)
    push_sliced(made.root, made.speaker, hub)
    there = repo_of(hub_server, hub, "sliced", made.speaker)
    assert sum(commit.title.startswith("svc-jobs") for commit in there.commits()) == 1
    assert status(made.root, "sliced", made.speaker, hub).same


def test_a_push_that_was_killed_goes_on_and_sends_nothing_twice(hub_server, hub, made, empty):
    given = ["--speaker", made.speaker, "--namespace", hub.namespace, "-w", str(made.root)]
    victim = subprocess.Popen([sys.executable, "-W", "ignore", "-m", "jobs", "hub", "push", "raw", *given])
    hub_server.faults.before("POST .*/commit/", victim.kill)
    hub_server.faults.drop("POST .*/commit/")
    assert victim.wait(60) != 0
    there = repo_of(hub_server, hub, "raw", made.speaker)
    sent = list(there.uploads)
    assert sent
    with pytest.raises(BadInput, match="is empty"):
        pull_raw(empty, made.speaker, hub)
    push_raw(made.root, made.speaker, hub)
    assert there.uploads == sent, "large files were there already"
    pull_raw(empty, made.speaker, hub)
    assert content(empty, "raw") == content(made.root, "raw")
    assert not list(made.root.glob(".tmp-*"))


def test_a_push_that_is_told_to_stop_stops_and_goes_on_later(hub_server, hub, made, svc_jobs_process):
    given = ["--speaker", made.speaker, "--namespace", hub.namespace, "-w", str(made.root)]
    process = svc_jobs_process("hub", "push", "raw", *given)
    hub_server.faults.before("POST .*/commit/", lambda: process.send_signal(signal.SIGTERM))
    hub_server.faults.answer("POST .*/commit/", 503, times=1000)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "told to stop" in err
    hub_server.faults.clear()
    assert not push_raw(made.root, made.speaker, hub).already


def test_a_damaged_download_is_refused(hub_server, hub, made, empty):
    push_sliced(made.root, made.speaker, hub)
    hub_server.faults.garble(r"GET .*data/train-", times=10)
    with pytest.raises(Damaged, match="not what its manifest says"):
        pull_sliced(empty, made.speaker, hub)
    assert wavs(empty) == {}
    hub_server.faults.clear()
    pull_sliced(empty, made.speaker, hub)
    assert wavs(empty) == wavs(made.root)
