"""`svc-jobs consent`: record, show, withdraw, in a folder and in a bucket."""

import json

import pytest

from svc_core import layout


@pytest.fixture
def consent(svc_jobs, recordings):
    root = recordings(count=1, seconds=1.0)

    def call(*arguments: object, workspace: object = root):
        return svc_jobs("consent", "-w", workspace, *arguments)

    call.root = root
    return call


def record(root) -> dict:
    return json.loads((root / layout.consent_key("alice")).read_text())


def test_of_ones_own_voice(consent):
    ran = consent("--speaker", "alice", "--own-voice", "--on", "2025-05-04")
    assert ran.code == 0
    assert "the owner's own voice, 2025-05-04: training, conversion, share-model, not commercially" in ran.out
    assert "not a proof" in ran.out
    assert record(consent.root) == {
        "format": 1,
        "speaker": "alice",
        "own_voice": True,
        "given_by": None,
        "uses": ["training", "conversion", "share-model"],
        "commercial": False,
        "given_on": "2025-05-04",
        "evidence": "",
        "withdrawn_on": None,
    }


def test_given_by_somebody_for_some_uses(consent):
    uses = ["--use", "share-recordings", "--use", "training"]
    ran = consent("--speaker", "alice", "--given-by", "Contract 17", *uses, "--commercial", "--json")
    answer = json.loads(ran.out)
    assert answer["consent"] == record(consent.root)
    assert (answer["consent"]["given_by"], answer["consent"]["uses"]) == (
        "Contract 17",
        ["training", "share-recordings"],
    )
    assert answer["consent"]["commercial"] is True


def test_shown_and_withdrawn(consent):
    assert "no consent of alice is recorded" in consent("--speaker", "alice", "--show").out
    assert consent("--speaker", "alice", "--withdraw").code == 66
    consent("--speaker", "alice", "--own-voice", "--on", "2025-05-04")
    early = consent("--speaker", "alice", "--withdraw", "--on", "2025-05-03")
    assert (early.code, "was given (2025-05-04)" in early.err) == (78, True)
    for partly in (["--withdraw", "--use", "share-model"], ["--show", "--use", "training"]):
        ran = consent("--speaker", "alice", *partly)
        assert (ran.code, "ends every use" in ran.err) == (78, True)
    assert record(consent.root)["withdrawn_on"] is None
    assert consent("--speaker", "alice", "--withdraw", "--on", "2025-06-07").code == 0
    assert consent("--speaker", "alice", "--withdraw", "--on", "2025-06-08").code == 0
    assert record(consent.root)["withdrawn_on"] == "2025-06-07"
    assert "withdrawn on 2025-06-07" in consent("--speaker", "alice", "--show").out
    consent("--speaker", "alice", "--own-voice")
    assert record(consent.root)["withdrawn_on"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--speaker", "alice"], 78, "exactly one of"),
        (["--speaker", "alice", "--own-voice", "--given-by", "x"], 78, "exactly one of"),
        (["--speaker", "alice", "--given-by", " "], 78, "--given-by is empty"),
        (["--speaker", "alice", "--own-voice", "--on", "yesterday"], 78, "YYYY-MM-DD"),
        (["--speaker", "alice", "--own-voice", "--on", "9999-01-01"], 78, "still to come"),
        (["--speaker", "alcie", "--own-voice"], 66, "has no speaker 'alcie' (it has: alice)"),
        (["--speaker", "x/y", "--own-voice"], 78, "holds"),
        (["--speaker", "alice", "--own-voice", "--use", "fun"], 2, "fun"),
    ],
)
def test_mistakes_are_said_in_a_sentence_and_leave_nothing(consent, arguments, code, text):
    ran = consent(*arguments)
    assert ran.code == code
    assert text in ran.err
    assert not (consent.root / "consents").exists()


def test_in_a_bucket(consent, svc_jobs, seaweed, aws, tmp_path):
    aws(seaweed)
    place = f"s3://{seaweed.bucket}/consent"
    assert svc_jobs("workspace", "sync", consent.root, place).code == 0
    ran = consent("--speaker", "alice", "--own-voice", workspace=place)
    assert ran.code == 0, ran.err
    assert consent("--speaker", "alice", "--withdraw", workspace=place).code == 0
    assert json.loads(consent("--speaker", "alice", "--show", "--json", workspace=place).out)["consent"]["withdrawn_on"]
