"""Consent: recorded, withdrawn, required; never guessed."""

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core import consent, layout
from svc_core.consent import Consent, Use
from svc_core.errors import ConfigError

DAY = date(2025, 5, 4)


def of(speaker: str, **changes) -> Consent:
    facts = {"own_voice": True, "given_by": None, "uses": consent.USUAL_USES, "commercial": False, "given_on": DAY}
    return Consent(speaker=speaker, **{**facts, **changes})


def test_what_is_written_is_read_back(tmp_path):
    made = of("Böb", own_voice=False, given_by="contract 17", evidence="https://example.org/17")
    consent.write(tmp_path, made)
    assert consent.read(tmp_path, "Böb") == made
    assert (tmp_path / "consents" / "Böb.json").is_file()
    assert consent.read(tmp_path, "alice") is None
    consent.require(tmp_path, ["Böb"])


def test_equal_records_are_equal_bytes(tmp_path):
    consent.write(tmp_path, of("a"))
    first = (tmp_path / "consents/a.json").read_bytes()
    consent.write(tmp_path, of("a"))
    assert (tmp_path / "consents/a.json").read_bytes() == first


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"withdrawn_on": date(2025, 6, 7)}, "it was withdrawn on 2025-06-07"),
        ({"uses": (Use.TRAINING,)}, "it does not allow share-model"),
    ],
)
def test_who_is_missing_is_named_with_the_command(tmp_path, changes, reason):
    consent.write(tmp_path, of("alice"))
    consent.write(tmp_path, of("bob", **changes))
    with pytest.raises(ConfigError) as refused:
        consent.require(tmp_path, ["alice", "bob", "carol"])
    text = str(refused.value)
    assert f"(bob: {reason}; carol: none is recorded)" in text
    assert "svc-jobs consent -w WORKSPACE --speaker bob --own-voice" in text
    assert "alice" not in text
    assert consent.lacking(tmp_path, ["alice", "bob"], Use.SHARE_MODEL) == {"bob": reason}


def test_recordings_need_their_own_word(tmp_path):
    consent.write(tmp_path, of("alice"))
    with pytest.raises(ConfigError, match="does not allow share-recordings"):
        consent.require(tmp_path, ["alice"], Use.SHARE_RECORDINGS)


@pytest.mark.parametrize("damage", ["", "{}", '{"speaker": "alice"}', "[]"])
def test_a_damaged_record_is_no_consent_and_no_absence(tmp_path, damage):
    path = tmp_path / layout.consent_key("alice")
    path.parent.mkdir()
    path.write_text(damage)
    with pytest.raises(ConfigError, match="no consent record of 'alice'"):
        consent.read(tmp_path, "alice")


def test_a_record_of_somebody_else_is_refused(tmp_path):
    consent.write(tmp_path, of("bob"))
    (tmp_path / "consents/bob.json").rename(tmp_path / "consents/alice.json")
    with pytest.raises(ConfigError, match="no consent record of 'alice'"):
        consent.require(tmp_path, ["alice"])


@given(own=st.booleans(), by=st.none() | st.text(), uses=st.lists(st.sampled_from(Use), unique=True))
def test_any_record_survives_json_or_is_refused(own, by, uses):
    facts = {"own_voice": own, "given_by": by, "uses": uses}
    if own == (by is not None):
        with pytest.raises(ValueError, match="own voice"):
            of("a", **facts)
        return
    made = of("a", **facts)
    assert Consent.model_validate(json.loads(made.model_dump_json())) == made
    assert (consent.problem(made, Use.SHARE_MODEL) is None) == (Use.SHARE_MODEL in uses)


def test_the_command_that_is_named_allows_what_was_wanted_and_the_usual(tmp_path):
    with pytest.raises(ConfigError) as refused:
        consent.require(tmp_path, ["carol"], Use.SHARE_RECORDINGS)
    for use in Use:
        assert f"--use {use.value}" in str(refused.value)
