"""Fixtures for tests that need real S3 servers; the summary says which ones there were."""

import os

import pytest

from servers import processes
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


def pytest_report_header():
    return _ran_against()


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(_ran_against())


def _ran_against() -> str:
    found = processes.find_minio()
    other = f"MinIO ({found.name})" if found else "NO MinIO: it is not on PATH and SVC_TEST_MINIO is unset"
    return f"storage tests run against: folder, memory, SeaweedFS, {other}"
