"""Fixtures for tests that need real servers; the summary says which S3 servers there were."""

import os

import pytest

from servers import processes
from servers.hub import HubServer
from servers.processes import Server


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory):
    """SeaweedFS; an error where it is not installed, never a skip."""
    with processes.seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture(scope="session")
def minio(tmp_path_factory):
    """MinIO. Only for tests that `s3_servers` parametrises, which leave it out where there is none."""
    with processes.minio(tmp_path_factory.mktemp("minio")) as server:
        yield server


def s3_servers() -> list[str]:
    """Names of the fixtures of the servers that this machine has."""
    return ["seaweed", "minio"] if processes.find_minio() else ["seaweed"]


@pytest.fixture
def aws(monkeypatch):
    """Makes the usual AWS variables lead to a server, or to a proxy before it, and nowhere else."""

    def use(server: Server, endpoint: str = "") -> None:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in server.environment(endpoint).items():
            monkeypatch.setenv(name, value)

    return use


@pytest.fixture
def hub_server():
    """A Hugging Face Hub of this test's own. Nothing leads there by itself: see `hub_here`."""
    with HubServer() as server:
        yield server


@pytest.fixture
def hub_here(hub_server, monkeypatch, tmp_path):
    """The same server; the client in this process, and in those it starts, uses it with the writing token."""
    from huggingface_hub import close_session, constants

    for name, value in hub_server.environment(tmp_path / "hub-home").items():
        monkeypatch.setenv(name, value)
    # The client reads its environment once, when it is imported: this is what it would have read.
    address = f"{hub_server.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", hub_server.endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-home" / "hub"))
    close_session()
    yield hub_server
    close_session()


def pytest_collection_modifyitems(items):
    # huggingface_hub 2.4 uploads large files through an argument that its HTTP library is about to drop.
    known = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
    for item in items:
        if {"hub_server", "hub"}.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(known)


def pytest_report_header():
    return _ran_against()


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(_ran_against())


def _ran_against() -> str:
    found = processes.find_minio()
    other = f"MinIO ({found.name})" if found else "NO MinIO: it is not on PATH and SVC_TEST_MINIO is unset"
    return f"storage tests run against: folder, memory, SeaweedFS, {other}"
