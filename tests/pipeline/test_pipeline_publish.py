"""publish with consent, without, and after it was withdrawn; the slim file converts."""

import json

import soundfile


def published(svc_jobs, workspace) -> dict:
    ran = svc_jobs("publish", "-w", workspace, "--json")
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


def test_the_slim_file_converts(svc_jobs, copied, tmp_path):
    sizes = []
    for name in ("model.safetensors", "model-slim.safetensors"):
        model, output = copied / "models/alice" / name, tmp_path / f"{name}.wav"
        song = copied.parent / "song.wav"
        ran = svc_jobs("convert", song, "--model", model, "--speaker", "alice", "--device", "cpu", "-o", output)
        assert ran.code == 0, ran.err
        sizes.append(soundfile.info(output).frames)
    assert sizes[0] == sizes[1] > 0
