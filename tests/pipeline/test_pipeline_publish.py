"""publish with consent, without, and after it was withdrawn; to the Hub too; the slim file converts."""

import json
import secrets
import shutil

import pytest
import soundfile
from servers.processes import BUCKET


def published(svc_jobs, workspace, *more) -> dict:
    ran = svc_jobs("publish", "-w", workspace, "--json", *more)
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_consent_comes_and_goes_and_the_release_with_it(svc_jobs, copied):
    before = published(svc_jobs, copied)
    assert before["message"].startswith("already done")
    assert "not for publication, consent is lacking (alice: none is recorded)" in before["message"]
    assert before["facts"]["may_be_published"] is False

    assert svc_jobs("consent", "-w", copied, "--speaker", "alice", "--own-voice", "--on", "2025-05-04").code == 0
    with_consent = published(svc_jobs, copied)
    assert with_consent["message"].startswith("published")
    assert with_consent["message"].endswith("with the consent of every speaker")
    assert "consent.json" in with_consent["facts"]["sha256"]
    assert published(svc_jobs, copied)["message"].startswith("already done")

    assert svc_jobs("consent", "-w", copied, "--speaker", "alice", "--withdraw").code == 0
    after = published(svc_jobs, copied)
    assert "it was withdrawn on" in after["message"]
    assert after["facts"]["sha256"] == before["facts"]["sha256"]


def test_a_release_goes_to_the_hub_where_consent_allows_it(svc_jobs, hub_here, copied):
    ran = svc_jobs("publish", "-w", copied, "--hub", "tester")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[-1].strip().startswith("hub  the model stays here, consent is lacking (alice: none is")
    assert not hub_here.state.repos

    assert svc_jobs("consent", "-w", copied, "--speaker", "alice", "--own-voice").code == 0
    sent = published(svc_jobs, copied, "--hub", "tester")["facts"]["hub"]
    there = hub_here.repo("model", "tester/alice")
    assert there.private
    assert there.tags == {"step-6": sent["revision"]}
    ours = {path.name: path.read_bytes() for path in (copied / "models/alice").iterdir()}
    assert ours.items() <= there.files().items()
    assert there.files().keys() - ours.keys() == {"svc-jobs.json"}
    assert published(svc_jobs, copied, "--hub", "tester")["facts"]["hub"]["already"] is True


def test_the_card_quotes_the_licence_and_lets_clips_be_heard_where_that_was_agreed(svc_jobs, copied):
    folder = copied / "models/alice"
    (folder / "LICENSE").write_text("CC BY-NC 4.0\n```\n# not a title\n")
    assert published(svc_jobs, copied)["message"].startswith("published")
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlicense: other\n")
    assert card.endswith("## Licence\n\n```\nCC BY-NC 4.0\n\n# not a title\n```\n")
    assert published(svc_jobs, copied)["message"].startswith("already done")

    consent = ("consent", "-w", copied, "--speaker", "alice", "--own-voice")
    assert svc_jobs(*consent).code == 0
    published(svc_jobs, copied)
    assert not list(folder.glob("*.flac")), "what was said in them was not given away"
    assert svc_jobs(*consent, "--use", "share-model", "--use", "share-recordings").code == 0
    assert "example-1.flac" in published(svc_jobs, copied)["facts"]["sha256"]
    sung = [path.read_bytes() for path in (copied / "reports/alice/audio").iterdir()]
    assert (folder / "example-1.flac").read_bytes() in sung
    assert '<audio controls src="example-1.flac">' in (folder / "README.md").read_text()
    assert svc_jobs(*consent, "--withdraw").code == 78
    assert svc_jobs("consent", "-w", copied, "--speaker", "alice", "--withdraw").code == 0
    published(svc_jobs, copied)
    assert not list(folder.glob("*.flac"))


def test_the_hub_of_publish_can_stand_in_the_environment(svc_jobs, hub_here, copied, monkeypatch):
    assert svc_jobs("consent", "-w", copied, "--speaker", "alice", "--own-voice").code == 0
    monkeypatch.setenv("SVC_HUB", "tester")
    ran = svc_jobs("publish", "-w", copied)
    assert "pushed: 10 files" in ran.out, ran.err
    hub_here.faults.answer("POST .*/commit/", 403, times=1)
    hub_here.state.repos.clear()
    assert svc_jobs("publish", "-w", copied).code == 78
    assert svc_jobs("publish", "-w", copied).code == 0


def test_a_release_in_a_bucket_goes_to_the_hub_too(svc_jobs, hub_here, copied, seaweed, aws):
    aws(seaweed)
    url = f"s3://{BUCKET}/publish-{secrets.token_hex(4)}"
    assert svc_jobs("workspace", "sync", copied, url).code == 0
    assert svc_jobs("consent", "-w", url, "--speaker", "alice", "--own-voice").code == 0
    assert not published(svc_jobs, url, "--hub", "tester")["facts"]["hub"]["already"]
    assert {"README.md", "consent.json", "SHA256SUMS"} < hub_here.repo("model", "tester/alice").files().keys()
    again = published(svc_jobs, url, "--hub", "tester")
    assert again["message"].startswith("already done")
    assert again["facts"]["hub"]["already"] is True


@pytest.mark.parametrize(("token", "namespace"), [("read_token", "tester"), ("token", "somebody")])
def test_who_may_not_push_is_told_before_any_work(svc_jobs, hub_here, copied, monkeypatch, token, namespace):
    monkeypatch.setenv("HF_TOKEN", getattr(hub_here, token))
    shutil.rmtree(copied / "models")
    ran = svc_jobs("publish", "-w", copied, "--hub", namespace)
    assert ran.code == 78
    assert "give HF_TOKEN" in ran.err
    assert not (copied / "models").exists()


def test_consent_that_came_after_the_release_is_not_enough(svc_jobs, hub_here, copied):
    """It travels with the model, so the release must carry it."""
    assert svc_jobs("consent", "-w", copied, "--speaker", "alice", "--own-voice").code == 0
    given = ("hub", "push", "model", "--speaker", "alice", "--namespace", "tester", "-w", copied)
    ran = svc_jobs(*given)
    assert ran.code == 78
    assert "run publish again" in ran.err
    assert svc_jobs("publish", "-w", copied).code == 0
    assert svc_jobs(*given).code == 0
    assert svc_jobs("consent", "-w", copied, "--speaker", "alice", "--withdraw").code == 0
    assert "withdrawn" in svc_jobs(*given).err


def test_the_slim_file_converts(svc_jobs, copied, tmp_path):
    sizes = []
    for name in ("model.safetensors", "model-slim.safetensors"):
        model, output = copied / "models/alice" / name, tmp_path / f"{name}.wav"
        song = copied.parent / "song.wav"
        ran = svc_jobs("convert", song, "--model", model, "--speaker", "alice", "--device", "cpu", "-o", output)
        assert ran.code == 0, ran.err
        sizes.append(soundfile.info(output).frames)
    assert sizes[0] == sizes[1] > 0
