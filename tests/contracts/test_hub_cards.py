"""The README.md of each kind, as a person would read it."""

import re
from urllib.parse import unquote

import pytest
from hub_workspace import agree, repo_of

from svc_core.hub import push_features, push_raw, push_sliced

PUSHES = {"raw": push_raw, "sliced": push_sliced, "features": push_features}


@pytest.fixture
def cards(hub_server, hub, made):
    """By kind, the text of the card; of a speaker who agreed."""
    agree(made.root, made.speaker)
    for push in PUSHES.values():
        push(made.root, made.speaker, hub)
    return {kind: repo_of(hub_server, hub, kind, made.speaker).files()["README.md"].decode() for kind in PUSHES}


@pytest.mark.parametrize("kind", PUSHES)
def test_a_card_says_what_from_what_and_how(cards, made, kind):
    card = cards[kind]
    assert card.startswith("---\nlicense: other\n")
    for words in ("CC BY 4.0", "the owner's own voice", f"svc-jobs hub pull {kind}", made.speaker, "svc-jobs.json"):
        assert words in card
    for title in ("Made from", "Use", "Content", "Licence", "Consent"):
        assert f"\n## {title}\n" in card


def test_a_card_counts_recordings_apart_from_what_lies_beside_them(cards):
    assert "\n3 recordings of Zoë" in cards["raw"]
    assert "with 1 file that lay beside them." in cards["raw"]


def test_settings_stand_on_the_cards(cards):
    assert "slice.max_length_ms | 5000" in cards["sliced"]
    assert "dio" in cards["features"]


def test_what_a_card_lets_hear_is_there_under_that_address(hub_server, hub, made, cards):
    for kind, count in (("raw", 2), ("sliced", 3), ("features", 0)):
        there = repo_of(hub_server, hub, kind, made.speaker).files()
        sounds = re.findall(r'<audio controls src="[^"]*/resolve/main/([^" ]+)"', cards[kind])
        assert len(sounds) == count
        assert {unquote(sound) for sound in sounds} <= there.keys()


def test_a_name_cannot_act_on_a_card(hub_server, hub, tmp_path):
    name = "<b>*x* `y` [z]"
    (tmp_path / "raw" / name).mkdir(parents=True)
    (tmp_path / "raw" / name / "a.wav").write_bytes(b"RIFF")
    push_raw(tmp_path, name, hub)
    title = next(line for line in repo_of(hub_server, hub, "raw", name).files()["README.md"].decode().splitlines()
                 if line.startswith("# "))  # fmt: skip
    assert title == r"# &lt;b&gt;\*x\* \`y\` \[z\]: recordings"
