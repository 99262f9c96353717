"""Names that the Hub takes, for whatever a speaker or a recording is called."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core import layout
from svc_core.errors import ConfigError
from svc_core.hub import Repo
from svc_core.hub.paths import FOLDER_FILES, crowded_folders, hub_path, untaken
from svc_core.hub.repos import check_namespace

# huggingface_hub's own rule for names of repositories.
ALLOWED = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")
SPEAKERS = st.text(min_size=1, max_size=63).filter(lambda name: layout.speaker_problem(name) is None)


@given(SPEAKERS)
def test_every_speaker_has_a_repository_that_the_hub_takes(speaker):
    for kind in ("raw", "sliced", "features", "model"):
        name = Repo(kind, "me", speaker).id.removeprefix("me/")
        assert ALLOWED.fullmatch(name)
        assert "--" not in name
        assert ".." not in name
        assert not name.endswith(".git")


@given(SPEAKERS, SPEAKERS)
def test_two_speakers_never_share_one(one, other):
    assert (Repo("raw", "me", one).id == Repo("raw", "me", other).id) == (one == other)


def test_plain_names_stay_as_they_are():
    assert Repo("raw", "me", "alice").id == "me/raw-alice"
    assert Repo("features", "me", "Bob_2.b").id == "me/features-Bob_2.b"
    assert (Repo("model", "me", "duo").id, Repo("model", "me", "duo").type) == ("me/duo", "model")
    assert Repo("sliced", "me", "Zoë").id == "me/sliced-zoe-c6a12698"
    assert Repo("raw", "me", "alice").type == "dataset"


@pytest.mark.parametrize("name", ["", "a/b", "-a", "a b", "ä", "a" * 97, "a..b"])
def test_what_is_no_namespace_is_said(name):
    with pytest.raises(ConfigError, match="namespace"):
        check_namespace(name)


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="/"), min_size=1, max_size=20))
def test_a_path_has_nothing_that_systems_refuse(name):
    path = hub_path(name, frozenset())
    assert not re.search(r'[\\:*?"<>|\x00-\x1f]', path)
    assert path not in (".", "..", ".git", ".cache")
    assert not path.endswith((" ", "."))


def test_paths_keep_folders_and_letters():
    assert hub_path("day 1/Ünï take.wav", frozenset()) == "day 1/Ünï take.wav"
    assert hub_path("cafe\u0301.wav", frozenset()) == "caf\u00e9.wav"
    assert hub_path("a:b/.git/50%.wav", frozenset()) == "a%3Ab/%2Egit/50%25.wav"


def test_a_crowded_folder_is_divided():
    names = [f"x/{number}.wav" for number in range(FOLDER_FILES + 1)]
    crowded = crowded_folders([*names, "y/1.wav"])
    assert crowded == {"x"}
    folders = {hub_path(name, crowded).rpartition("/")[0] for name in names}
    assert len(folders) == 256
    assert hub_path("y/1.wav", crowded) == "y/1.wav"


def test_another_content_gets_another_path():
    assert untaken("audio/take.wav", "0123456789abcdef", lambda _: False) == "audio/take.wav"
    assert untaken("audio/take.wav", "0123456789abcdef", lambda _: True) == "audio/take.01234567.wav"
