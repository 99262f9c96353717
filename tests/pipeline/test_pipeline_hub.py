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
@pytest.mark.parametrize(("status", "times", "code"), [(403, 1, 78), (412, 12, 75)])
def test_pushes_that_fail_are_said_at_the_end_and_made_up_for(svc_jobs, hub_here, copied, status, times, code):
    hub_here.faults.answer("POST .*sliced-alice.*commit", status, times=times)
    ran = with_hub(svc_jobs, hub_here, copied)
    assert ran.code == code
    assert "1 push to the Hub failed" in ran.err
    assert "features-alice" in ran.out, "the later stages were done and sent"
    assert with_hub(svc_jobs, hub_here, copied).code == 0
    assert "svc-jobs.json" in hub_here.repo("dataset", "tester/sliced-alice").files()


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


def test_clips_go_straight_to_the_hub_and_later_stages_bring_them_from_there(svc_jobs, hub_here, finished, tmp_path):
    root = tmp_path / "through"
    shutil.copytree(finished / "raw", root / "raw")
    settings = SETTINGS[: SETTINGS.index("--device")]
    through = ("-w", root, "--hub", hub_here.namespace)
    for stage in (["prepare", "-w", root, *settings], ["slice", *through], ["filelists", "-w", root]):
        ran = svc_jobs(*stage)
        assert ran.code == 0, ran.err
        assert not list(root.rglob("data/**/*.wav"))
    ran = svc_jobs("features", *through, "--device", "cpu")
    assert ran.code == 0, ran.err
    assert not list(root.rglob("data/**/*.wav"))
    assert not list(root.rglob(".tmp-*"))
    commit = hub_here.repo("dataset", "tester/sliced-alice").branches["main"]
    assert json.loads((root / "data/prep/manifests/hub/sliced-alice.json").read_text())["pulled"] == commit
    sidecars = {key: one for key, one in content(finished, "data/44k").items() if not key.endswith(".wav")}
    assert content(root, "data/44k") == sidecars
    for stage in (["train", *through], ["evaluate", *through], ["publish", "-w", root], ["report", *through]):
        ran = svc_jobs(*stage)
        assert ran.code == 0, ran.err
        assert not list(root.rglob("data/**/*.wav"))
    assert content(root, *WEIGHTS) == content(finished, *WEIGHTS)
    for stage in ("slice", "features", "train", "evaluate", "report"):
        assert "already done" in svc_jobs(stage, *through).out
    assert svc_jobs("hub", "pull", "sliced", "--speaker", "alice", "--namespace", "tester", "-w", root).code == 0
    assert content(root, "data/44k") == content(finished, "data/44k")


@pytest.fixture
def prepared(svc_jobs, finished, tmp_path):
    root = tmp_path / "through"
    shutil.copytree(finished / "raw", root / "raw")
    settings = ["--preset", "toy", "--encoder", "mel-bands", "--f0", "dio"]
    assert svc_jobs("prepare", "-w", root, *settings).code == 0
    return root


def test_slicing_through_writes_no_clip_and_no_record_of_one_that_is_not_sent(
    svc_jobs, hub_here, prepared, monkeypatch
):
    from jobs.hub import workspace as hub_workspace

    # A shard is full with every recording, and memory before it.
    monkeypatch.setattr(hub_workspace, "SHARD_BYTES", 1)
    seen, push = [], hub_workspace.push_sliced

    def watched(*given):
        seen.append((list(prepared.rglob("data/**/*.wav")), len(list(prepared.rglob("manifests/slice/*/*.json")))))
        return push(*given)

    monkeypatch.setattr(hub_workspace, "push_sliced", watched)
    ran = svc_jobs("slice", "-w", prepared, "--hub", hub_here.namespace)
    assert ran.code == 0, ran.err
    assert seen == [([], 0), ([], 1), ([], 2)]
    there = hub_here.repo("dataset", "tester/sliced-alice").files()
    assert len(json.loads(there["svc-jobs.json"])["entries"]) == 3
    assert not list(prepared.rglob(".tmp-*"))


def test_where_most_recordings_are_poison_the_others_are_sent_all_the_same(svc_jobs, hub_here, prepared):
    for number in (1, 2):
        (prepared / f"raw/alice/take {number}.flac").write_bytes(b"fLaC but no more")
    assert svc_jobs("slice", "-w", prepared, "--hub", hub_here.namespace).code == 66
    there = hub_here.repo("dataset", "tester/sliced-alice").files()
    assert [one["key"] for one in json.loads(there["svc-jobs.json"])["entries"]] == ["raw/alice/take 0.flac"]
    assert len(list(prepared.rglob("manifests/slice/*/*.json"))) == 3


@pytest.mark.parametrize(("status", "times", "code"), [(403, 1, 78), (412, 12, 75)])
def test_clips_that_could_not_be_sent_are_made_again(svc_jobs, hub_here, prepared, status, times, code):
    hub_here.faults.answer("POST .*/commit/", status, times=times)
    assert svc_jobs("slice", "-w", prepared, "--hub", hub_here.namespace).code == code
    assert not list(prepared.rglob("manifests/slice/*/*.json"))
    ran = svc_jobs("filelists", "-w", prepared)
    assert (ran.code, "run slice first" in ran.err) == (66, True)
    assert svc_jobs("slice", "-w", prepared, "--hub", hub_here.namespace).code == 0
    assert svc_jobs("filelists", "-w", prepared).code == 0
    assert "already done" in svc_jobs("slice", "-w", prepared, "--hub", hub_here.namespace).out


def test_a_recording_that_another_machine_cut_otherwise_meanwhile_is_said(
    svc_jobs, hub_here, prepared, tmp_path, monkeypatch
):
    from jobs.hub import workspace as hub_workspace

    other = tmp_path / "other"
    shutil.copytree(prepared, other)
    assert svc_jobs("prepare", "-w", other, "--max-length-ms", "2000").code == 0
    assert svc_jobs("slice", "-w", other).code == 0
    given, push = ("--speaker", "alice", "--namespace", hub_here.namespace), hub_workspace.push_sliced

    def overtaken(*mine):
        """The other's commit lands after ours, and before it is looked at whether ours stands."""
        push(*mine)
        assert svc_jobs("hub", "push", "sliced", *given, "-w", other).code == 0

    monkeypatch.setattr(hub_workspace, "push_sliced", overtaken)
    ran = svc_jobs("slice", "-w", prepared, "--hub", hub_here.namespace)
    assert ran.code == 75, ran.err
    assert "was replaced on the Hub by another machine meanwhile: run slice again" in ran.err
    assert not list(prepared.rglob("manifests/slice/*/*.json"))
    monkeypatch.setattr(hub_workspace, "push_sliced", push)
    assert svc_jobs("slice", "-w", prepared, "--hub", hub_here.namespace).code == 0


def test_clips_that_lie_here_already_are_sent_and_removed(svc_jobs, hub_here, prepared):
    assert svc_jobs("slice", "-w", prepared).code == 0
    assert list(prepared.rglob("data/44k/**/*.wav"))
    stray = prepared / "data/44k/alice/wavs/mine.wav"
    stray.write_bytes(b"not from a recording")
    ran = svc_jobs("slice", "-w", prepared, "--hub", hub_here.namespace)
    assert ran.code == 0, ran.err
    assert "already done" in ran.out
    assert list(prepared.rglob("data/44k/**/*.wav")) == [stray]
