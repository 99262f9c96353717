"""A small workspace with all that the Hub's helpers send, and the Hubs that they are tried on."""

import os
import secrets
import shutil

import numpy as np
import pytest
import soundfile
from hub_workspace import Made, write_release

from svc_core.hub import KINDS, Hub, Repo

SETTINGS = ["--preset", "toy", "--encoder", "mel-bands", "--f0", "dio", "--max-length-ms", "5000"]
REAL_TOKEN, REAL_NAMESPACE = "SVC_TEST_HUB_TOKEN", "SVC_TEST_HUB_NAMESPACE"


def hubs() -> list[str]:
    """Names of the fixtures of the Hubs that this machine can reach."""
    return (
        ["loopback_hub", "real_hub"] if REAL_TOKEN in os.environ and REAL_NAMESPACE in os.environ else ["loopback_hub"]
    )


@pytest.fixture(scope="session")
def hub_source(tmp_path_factory):
    """Recordings with odd names, clips, lists and sidecars of a speaker, and a release; to be copied, not changed."""
    from jobs.cli import run
    from jobs.demo import RATE_HZ, speak

    root, speaker = tmp_path_factory.mktemp("hub") / "w", f"Zoë {secrets.token_hex(3)}"
    folder = root / "raw" / speaker
    (folder / "day 1").mkdir(parents=True)
    for number, name in enumerate(("take 0.flac", "day 1/Ünï #2? 100%.flac", "day 1/c:d.wav")):
        soundfile.write(folder / name, np.asarray(speak(number, 12.0)), RATE_HZ)
    (folder / "LICENSE.txt").write_text("CC BY 4.0\n")
    for stage in (["prepare", *SETTINGS], ["slice"], ["filelists"], ["features", "--device", "cpu"]):
        assert run([stage[0], "-w", str(root), *stage[1:], "-q"]) == 0
    write_release(root, speaker)
    return Made(root, speaker)


@pytest.fixture
def made(hub_source, tmp_path):
    shutil.copytree(hub_source.root, tmp_path / "w")
    return Made(tmp_path / "w", hub_source.speaker)


@pytest.fixture
def empty(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


@pytest.fixture
def loopback_hub(hub_server, hub_here):
    return Hub(hub_server.namespace)


@pytest.fixture
def real_hub(hub_source, monkeypatch):
    from huggingface_hub import HfApi, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub = Hub(os.environ[REAL_NAMESPACE], token=os.environ[REAL_TOKEN])
    repos = [Repo(kind, hub.namespace, hub_source.speaker) for kind in KINDS]
    for repo in repos:
        HfApi(token=hub.token).delete_repo(repo.id, repo_type=repo.type, missing_ok=True)
    yield hub
    for repo in repos:
        HfApi(token=hub.token).delete_repo(repo.id, repo_type=repo.type, missing_ok=True)


@pytest.fixture
def hub(request):
    """Every Hub there is; a test that looks inside of the server has the one on loopback."""
    return request.getfixturevalue(request.param)


def pytest_generate_tests(metafunc):
    if "hub" in metafunc.fixturenames:
        there = ["loopback_hub"] if "hub_server" in metafunc.fixturenames else hubs()
        metafunc.parametrize("hub", there, indirect=True)
