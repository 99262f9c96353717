"""Clips that lie on the Hub alone: sent by slice from memory, brought back for the stages that read them."""

import json
import shutil

import pytest
from small_run import SETTINGS, content

WEIGHTS = ("logs/44k/alice/G_6.pth", "logs/44k/alice/D_6.pth", "models/alice")


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
    for stage in (["train", *through], ["evaluate", *through], ["report", "-w", root]):
        ran = svc_jobs(*stage)
        assert ran.code == 0, ran.err
    assert "2 of 2 validation clips are not here" in ran.err
    page = root / "reports/alice/index.html"
    silent = page.stat().st_size
    for stage in (["publish", "-w", root], ["report", *through]):
        ran = svc_jobs(*stage)
        assert ran.code == 0, ran.err
        assert not list(root.rglob("data/**/*.wav"))
    assert page.stat().st_size > 2 * silent, "the sound is in it now"
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


@pytest.mark.parametrize(("status", "times", "code"), [(403, 1, 78), (412, 3, 75)])
def test_clips_that_could_not_be_sent_are_made_again(svc_jobs, hub_here, prepared, monkeypatch, status, times, code):
    monkeypatch.setattr("svc_core.hub.push.TRIES", 3)
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


def on_hub(hub) -> dict:
    """By recording, the clips that the manifest names: key -> sha256."""
    there = json.loads(hub.repo("dataset", "tester/sliced-alice").files()["svc-jobs.json"])
    return {one["key"]: {item["key"]: item["sha256"] for item in one["members"]} for one in there["entries"]}


def recorded(root) -> dict:
    """By recording, the clips that the workspace's records name."""
    records = [json.loads(path.read_text()) for path in root.rglob("manifests/slice/*/*.json")]
    return {
        one["source"]["key"]: {clip["file"]["key"]: clip["file"]["sha256"] for clip in one["clips"]} for one in records
    }


def test_a_shard_that_is_late_leaves_what_another_sent_with_new_settings(svc_jobs, hub_here, prepared, monkeypatch):
    from jobs.hub import workspace as hub_workspace

    through = ("-w", prepared, "--hub", hub_here.namespace)
    assert svc_jobs("slice", *through).code == 0
    assert svc_jobs("prepare", "-w", prepared, "--target-lufs", "-35").code == 0
    push = hub_workspace.push_sliced

    def after_the_other(*mine):
        """The other shard is done while this one's records of before still name its old clips."""
        monkeypatch.setattr(hub_workspace, "push_sliced", push)
        assert svc_jobs("slice", *through, "--shard", "0", "--shards", "2").code == 0
        return push(*mine)

    monkeypatch.setattr(hub_workspace, "push_sliced", after_the_other)
    assert svc_jobs("slice", *through, "--shard", "1", "--shards", "2").code == 0
    assert on_hub(hub_here) == recorded(prepared)
    assert svc_jobs("filelists", "-w", prepared).code == 0
    assert svc_jobs("features", *through, "--device", "cpu").code == 0


def test_shards_in_one_folder_wait_for_each_other(svc_jobs, svc_jobs_process, hub_here, prepared):
    through = ("-w", prepared, "--hub", hub_here.namespace)
    for stage in (["slice"], ["features", "--device", "cpu"]):
        started = [svc_jobs_process(*stage, *through, "--shard", number, "--shards", 2) for number in range(2)]
        said = [process.communicate(timeout=240) for process in started]
        assert [process.returncode for process in started] == [0, 0], said
        assert on_hub(hub_here) == recorded(prepared)
        assert svc_jobs("filelists", "-w", prepared).code == 0
    assert not list(prepared.rglob("data/**/*.wav"))


def test_clips_of_older_settings_that_lie_here_are_not_mistaken_for_the_new(svc_jobs, hub_here, prepared):
    through = ("-w", prepared, "--hub", hub_here.namespace)
    assert svc_jobs("slice", "-w", prepared).code == 0
    old = {path: path.read_bytes() for path in prepared.rglob("data/44k/**/*.wav")}
    assert svc_jobs("prepare", "-w", prepared, "--target-lufs", "-35").code == 0
    assert svc_jobs("slice", *through).code == 0
    assert not list(prepared.rglob("data/44k/**/*.wav"))
    for path, data in old.items():  # as a killed stage would have left them
        path.write_bytes(data)
    assert svc_jobs("filelists", "-w", prepared).code == 0
    ran = svc_jobs("features", *through, "--device", "cpu")
    assert ran.code == 0, ran.err


def test_stages_that_read_leave_the_workspace_s_own_clips_alone(svc_jobs, hub_here, prepared, monkeypatch):
    assert svc_jobs("slice", "-w", prepared, "--hub", hub_here.namespace).code == 0
    assert svc_jobs("slice", "-w", prepared).code == 0
    own = content(prepared, "data/44k/alice")
    assert svc_jobs("filelists", "-w", prepared).code == 0
    monkeypatch.setenv("HF_TOKEN", hub_here.read_token)
    ran = svc_jobs("features", "-w", prepared, "--hub", hub_here.namespace, "--device", "cpu")
    assert ran.code == 0, ran.err
    assert own.items() <= content(prepared, "data/44k/alice").items()


def test_a_shard_that_was_deleted_on_the_hub_is_made_again(svc_jobs, hub_here, prepared):
    through = ("-w", prepared, "--hub", hub_here.namespace)
    assert svc_jobs("slice", *through).code == 0
    repo = hub_here.repo("dataset", "tester/sliced-alice")
    repo.commit("by hand", delete=[path for path in repo.files() if path.startswith("data/")])
    assert svc_jobs("filelists", "-w", prepared).code == 0
    assert svc_jobs("features", *through, "--device", "cpu").code == 66
    ran = svc_jobs("slice", *through)
    assert (ran.code, "sliced" in ran.out) == (0, True)
    assert svc_jobs("features", *through, "--device", "cpu").code == 0


def test_a_recording_without_clips_any_more_takes_its_old_ones_along(svc_jobs, hub_here, prepared):
    through = ("-w", prepared, "--hub", hub_here.namespace)
    assert svc_jobs("slice", *through).code == 0
    assert svc_jobs("prepare", "-w", prepared, "--threshold-db", "-1", "--poison-share", "1").code == 0
    assert svc_jobs("slice", *through).code == 0
    assert on_hub(hub_here) == recorded(prepared)
    assert not any(on_hub(hub_here).values())


def test_a_clip_that_is_not_what_the_manifest_says_is_refused(svc_jobs, hub_here, prepared):
    through = ("-w", prepared, "--hub", hub_here.namespace)
    assert svc_jobs("slice", *through).code == 0
    assert svc_jobs("filelists", "-w", prepared).code == 0
    repo = hub_here.repo("dataset", "tester/sliced-alice")
    there = json.loads(repo.files()["svc-jobs.json"])
    there["entries"][0]["members"][0]["sha256"] = "0" * 64
    repo.commit("by hand", {"svc-jobs.json": json.dumps(there).encode()})
    record = next(path for path in prepared.rglob("manifests/slice/*/*.json") if "take-0" in path.name)
    plan = prepared / "data/prep/manifests/filelists/plan.json"
    for path in (record, plan):
        told = json.loads(path.read_text())
        clips = told["clips"]
        wrong = there["entries"][0]["members"][0]["key"]
        for clip in clips:
            clip["file"]["sha256"] = "0" * 64 if clip["file"]["key"] == wrong else clip["file"]["sha256"]
        path.write_text(json.dumps(told))
    ran = svc_jobs("features", *through, "--device", "cpu")
    assert (ran.code, "is not what its manifest says" in ran.err) == (66, True), ran.err
