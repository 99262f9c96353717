"""The Hub beside a run: a fresh machine ends where the first one did, and what is cached is not made again."""

import json
import shutil

import pytest
from small_run import SETTINGS, content

DATA = ("data/44k", "data/prep/filelists")
WEIGHTS = ("logs/44k/alice/G_6.pth", "logs/44k/alice/D_6.pth", "models/alice")


def with_hub(svc_jobs, hub, root, *more):
    return svc_jobs("run", "-w", root, "--speaker", "alice", *SETTINGS, "--hub", hub.namespace, *more)


def stages(ran) -> dict[str, str]:
    return {stage["stage"]: stage["message"] for stage in json.loads(ran.out)["stages"]}


@pytest.fixture
def first(svc_jobs, hub_here, copied):
    """A finished workspace of a speaker who agreed, with all of it on the Hub."""
    assert svc_jobs("consent", "-w", copied, "--speaker", "alice", "--own-voice").code == 0
    ran = with_hub(svc_jobs, hub_here, copied)
    assert ran.code == 0, ran.err
    return copied


def test_a_run_leaves_all_its_parts_on_the_hub(first, hub_here):
    found = {name: set(hub_here.repo(*name).files()) for name in hub_here.state.repos}
    assert {name for _, name in found} == {
        f"tester/{name}" for name in ("raw-alice", "sliced-alice", "features-alice", "alice")
    }
    assert all("svc-jobs.json" in files and "README.md" in files for files in found.values())
    assert all(hub_here.repo(*name).private for name in found)
    assert hub_here.repo("model", "tester/alice").tags.keys() == {"step-6"}


def test_a_fresh_machine_with_only_recordings_on_the_hub_makes_the_same_model(svc_jobs, hub_here, first, tmp_path):
    for part in ("sliced-alice", "features-alice"):
        del hub_here.state.repos["dataset", f"tester/{part}"]
    fresh = tmp_path / "not there yet" / "w"
    ran = with_hub(svc_jobs, hub_here, fresh)
    assert ran.code == 0, ran.err
    assert content(fresh, "raw", *DATA) == content(first, "raw", *DATA)
    assert content(fresh, *WEIGHTS) == content(first, *WEIGHTS)


def test_a_machine_with_everything_cached_goes_straight_to_training(svc_jobs, hub_here, first, tmp_path):
    fresh = tmp_path / "second"
    ran = with_hub(svc_jobs, hub_here, fresh, "--json")
    assert ran.code == 0, ran.err
    said = stages(ran)
    assert said["slice"].startswith("already done")
    assert said["features"].startswith("already done")
    assert said["train"].startswith("trained: step 6")
    assert content(fresh, *DATA) == content(first, *DATA)
    assert content(fresh, *WEIGHTS) == content(first, *WEIGHTS)


def test_with_other_settings_only_what_still_fits_is_taken(svc_jobs, hub_here, first, tmp_path):
    fresh = tmp_path / "second"
    ran = with_hub(svc_jobs, hub_here, fresh, "--f0", "harvest", "--steps", "2", "--json")
    assert ran.code == 0, ran.err
    assert stages(ran)["slice"].startswith("already done")
    assert stages(ran)["features"].startswith("extracted")
    kept = {key: value for key, value in content(first, "data/44k").items() if not key.endswith((".f0.npy", ".uv.npy"))}
    assert kept.items() <= content(fresh, "data/44k").items()


# A right that is missing, and somebody who is faster at every try.
@pytest.mark.parametrize(("status", "times", "code"), [(403, 1, 78), (412, 3, 75)])
def test_pushes_that_fail_are_said_at_the_end_and_made_up_for(
    svc_jobs, hub_here, copied, monkeypatch, status, times, code
):
    monkeypatch.setattr("svc_core.hub.push.TRIES", 3)
    hub_here.faults.answer("POST .*sliced-alice.*commit", status, times=times)
    ran = with_hub(svc_jobs, hub_here, copied)
    assert ran.code == code
    assert "1 push to the Hub failed" in ran.err
    assert "features-alice" in ran.out, "the later stages were done and sent"
    assert with_hub(svc_jobs, hub_here, copied).code == 0
    assert "svc-jobs.json" in hub_here.repo("dataset", "tester/sliced-alice").files()


def test_recordings_that_came_only_in_part_are_not_taken_for_all(svc_jobs, hub_here, first, tmp_path):
    fresh = tmp_path / "second"
    hub_here.faults.answer("(GET|HEAD) .*raw-alice/.*take(%20| )2", 403, times=4)
    assert with_hub(svc_jobs, hub_here, fresh, "--steps", "2").code == 78
    assert 0 < len(list((fresh / "raw/alice").iterdir())) < 3
    hub_here.faults.clear()
    ran = with_hub(svc_jobs, hub_here, fresh, "--steps", "2", "--json")
    assert ran.code == 0, ran.err
    assert content(fresh, "raw") == content(first, "raw")
    assert "3 recordings" in stages(ran)["prepare"]


def test_without_consent_the_model_stays_here(svc_jobs, hub_here, copied):
    ran = with_hub(svc_jobs, hub_here, copied)
    assert ran.code == 0
    assert "the model stays here, consent is lacking (alice: none is recorded)" in ran.out
    assert ("model", "tester/alice") not in hub_here.state.repos


def test_a_read_only_token_is_said_before_any_work(svc_jobs, hub_here, recordings, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", hub_here.read_token)
    root = recordings()
    ran = with_hub(svc_jobs, hub_here, root)
    assert ran.code == 78
    assert "can only read" in ran.err
    assert hub_here.read_token not in ran.err
    assert not (root / "data").exists()


def test_a_damaged_cache_is_refused_and_the_stage_does_its_work(svc_jobs, hub_here, first, tmp_path):
    hub_here.faults.garble(r"GET .*data/train-", times=10)
    fresh = tmp_path / "second"
    ran = with_hub(svc_jobs, hub_here, fresh, "--steps", "2", "--json")
    assert ran.code == 0, ran.err
    assert "is not what its manifest says" in ran.err
    assert stages(ran)["slice"].startswith("sliced")
    assert content(fresh, *DATA) == content(first, *DATA)


@pytest.mark.parametrize("kind", ["raw", "sliced", "features", "model"])
def test_each_part_moves_by_hand_too(svc_jobs, hub_here, first, tmp_path, kind):
    given = (kind, "--speaker", "alice", "--namespace", "tester")
    there = tmp_path / "by hand"
    ran = svc_jobs("hub", "pull", *given, "-w", there, "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["files"] > 0
    ran = svc_jobs("hub", "status", *given, "-w", there, "--json")
    assert json.loads(ran.out)["same"] is True
    ran = svc_jobs("hub", "push", *given, "-w", there, "--json")
    if kind == "model":
        assert ran.code == 78, "consent travels with the recordings, and they are not here"
        shutil.copytree(first / "consents", there / "consents")
        ran = svc_jobs("hub", "push", *given, "-w", there, "--json")
    assert json.loads(ran.out)["already"] is True
    assert svc_jobs("hub", "pull", "clips", *given[1:], "-w", there).code == 78
