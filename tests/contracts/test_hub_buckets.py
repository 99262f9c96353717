"""The same from and into a workspace in a bucket, on a real server."""

import json
import secrets

import pytest
from hub_workspace import agree, content
from servers.processes import BUCKET
from test_hub_round_trips import wanted

from svc_core.storage.opening import open_store


@pytest.fixture
def url(seaweed, aws):
    aws(seaweed)
    return f"s3://{BUCKET}/hub-{secrets.token_hex(4)}"


@pytest.mark.parametrize("kind", ["raw", "sliced", "features", "model"])
def test_a_bucket_is_sent_and_filled_like_a_folder(svc_jobs, hub_here, url, made, tmp_path, kind):
    agree(made.root, made.speaker)
    given = (kind, "--speaker", made.speaker, "--namespace", hub_here.namespace, "--json")
    assert svc_jobs("workspace", "sync", made.root, f"{url}/from").code == 0
    ran = svc_jobs("hub", "push", *given, "-w", f"{url}/from")
    assert ran.code == 0, ran.err
    assert svc_jobs("workspace", "verify", "-w", f"{url}/from").code == 0
    assert json.loads(svc_jobs("hub", "push", *given, "-w", made.root).out)["already"], "the folder has the same"
    ran = svc_jobs("hub", "pull", *given, "-w", f"{url}/into")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["files"] == len(wanted(made.root, kind))
    assert json.loads(svc_jobs("hub", "pull", *given, "-w", f"{url}/into").out)["files"] == 0
    assert json.loads(svc_jobs("hub", "status", *given, "-w", f"{url}/into").out)["same"]
    assert svc_jobs("workspace", "sync", f"{url}/into", tmp_path / "back").code == 0
    parts = ("raw", "consents", "data/44k", "models")
    assert content(tmp_path / "back", *parts) == wanted(made.root, kind)


def test_a_stage_in_a_bucket_takes_what_was_pulled_for_its_own(svc_jobs, hub_here, url, made):
    given = ("--speaker", made.speaker, "--namespace", hub_here.namespace)
    for kind in ("raw", "sliced", "features"):
        assert svc_jobs("hub", "push", kind, *given, "-w", made.root).code == 0
        assert svc_jobs("hub", "pull", kind, *given, "-w", url).code == 0
    settings = ["--preset", "toy", "--encoder", "mel-bands", "--f0", "dio", "--max-length-ms", "5000"]
    for stage in (["prepare", *settings], ["slice"], ["filelists"], ["features", "--device", "cpu"]):
        ran = svc_jobs(stage[0], "-w", url, *stage[1:])
        assert ran.code == 0, ran.err
        if stage[0] in ("slice", "features"):
            assert "already done" in ran.out


def test_a_bucket_never_holds_clips_that_go_straight_to_the_hub(svc_jobs, hub_here, url, made):
    given = ("raw", "--speaker", made.speaker, "--namespace", hub_here.namespace)
    assert svc_jobs("hub", "push", *given, "-w", made.root).code == 0
    assert svc_jobs("hub", "pull", *given, "-w", url).code == 0
    settings = ["--preset", "toy", "--encoder", "mel-bands", "--f0", "dio", "--steps", "1", "--batch-size", "2"]
    through = ("-w", url, "--hub", hub_here.namespace)
    for stage in (
        ["prepare", "-w", url, *settings],
        ["slice", *through],
        ["filelists", "-w", url],
        ["features", *through, "--device", "cpu"],
        ["train", *through, "--device", "cpu"],
        ["evaluate", *through, "--device", "cpu"],
    ):
        ran = svc_jobs(*stage)
        assert ran.code == 0, ran.err
        listed = json.loads(svc_jobs("workspace", "ls", "data/44k/", "-w", url, "--json").out)["objects"]
        assert not [one["key"] for one in listed if one["key"].endswith(".wav")]
    assert [one["key"] for one in listed if one["key"].endswith(".soft.pt")]
    store = open_store(url)
    keys = [one.key for one in store.list("data/prep/manifests/slice/")]
    records = [json.loads(b"".join(store.read(key).pieces)) for key in keys]
    stamps = [one["source"]["stamp"] for one in records]
    assert all(stamp.startswith("etag:") for stamp in stamps), "or each recording is fetched to be compared"
    for stage in ("slice", "features", "train", "evaluate"):
        assert "already done" in svc_jobs(stage, *through).out
