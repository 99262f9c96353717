"""A process that is told to stop, or killed, in the middle of moving files."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from servers.plugin import s3_servers
from servers.proxy import Fault, breaking

from svc_core import files
from svc_core.storage.opening import open_store
from svc_core.storage.transfer import Item, fetch, send

FILES, HANG_AFTER = 120, 50
# What a stage does: a signal raises out of the consumer's loop, and the error becomes the exit code.
MOVER = """
import signal, sys
from pathlib import Path
from svc_core.errors import Preempted
from svc_core.storage.opening import open_store
from svc_core.storage.transfer import Item, fetch, send

def stop(number, frame):
    raise Preempted("told to stop")

signal.signal(signal.SIGTERM, stop)
verb, url, folder = sys.argv[1:]
names = sorted(path.name for path in Path(folder).iterdir()) if verb == "send" else [f"{n}.bin" for n in range(%d)]
moved = {"send": send, "fetch": fetch}[verb](open_store(url), [Item(name, Path(folder) / name) for name in names])
try:
    for done in moved:
        print(done.key, flush=True)
except Preempted:
    sys.exit(75)
"""


@pytest.fixture(params=s3_servers())
def server(request):
    return request.getfixturevalue(request.param)


def content(number: int) -> bytes:
    """The last one is large enough to go in parts."""
    return hashlib.sha256(str(number).encode()).digest() * ((600 << 10) if number == FILES - 1 else 2_000)


def make_files(folder: Path) -> dict[str, str]:
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number}.bin").write_bytes(content(number))
    return {path.name: files.sha256_file(path) for path in folder.iterdir()}


def start(verb: str, url: str, folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", MOVER % FILES, verb, url, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def interrupt(process: subprocess.Popen, proxy, number: int) -> tuple[int, str, float]:
    """Waits until requests hang, sends the signal; returns exit code, stderr and the seconds until the end."""
    while not proxy.injected["hangs"]:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(number)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    return process.returncode, err, time.monotonic() - began


def hang_after(count: int):
    return lambda request: Fault.HANG if request.number > count else None


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGKILL, -9)], ids=["SIGTERM", "SIGKILL"])
def test_a_send_that_is_stopped_leaves_whole_objects_and_the_rest_follows(server, aws, tmp_path, number, code):
    hashes = make_files(tmp_path / "in")
    url = f"s3://workspaces/kill/{os.getpid()}/{number}"
    with breaking(server.port, hang_after(HANG_AFTER)) as proxy:
        aws(server, proxy.endpoint)
        ended = interrupt(start("send", url, tmp_path / "in"), proxy, number)
    assert ended[:2] == (code, ""), ended
    aws(server)
    store = open_store(url)
    whole = {item.key for item in store.list()}
    for key in whole:
        assert store.head(key).sha256 == hashes[key] == hashlib.sha256(b"".join(store.read(key).pieces)).hexdigest()
    missing = set(hashes) - whole
    counts = f"{len(hashes)} files, {len(whole)} there after {number!r}, {len(missing)} missing, {ended[2]:.1f} s"
    assert whole, counts
    assert missing, counts
    again = {moved.key for moved in send(store, [Item(key, tmp_path / "in" / key) for key in missing])}
    assert again == missing, counts
    assert {item.key for item in store.list()} == set(hashes), counts


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGKILL, -9)], ids=["SIGTERM", "SIGKILL"])
def test_a_fetch_that_is_stopped_leaves_whole_files_and_temporary_ones(server, aws, tmp_path, number, code):
    hashes = make_files(tmp_path / "in")
    url = f"s3://workspaces/kill-fetch/{os.getpid()}/{number}"
    aws(server)
    list(send(open_store(url), [Item(key, tmp_path / "in" / key) for key in hashes]))
    with breaking(server.port, hang_after(HANG_AFTER)) as proxy:
        aws(server, proxy.endpoint)
        ended = interrupt(start("fetch", url, tmp_path / "out"), proxy, number)
    assert ended[:2] == (code, ""), ended
    names = {path.name for path in (tmp_path / "out").iterdir()}
    whole = {name for name in names if not name.startswith(files.TEMP_PREFIX)}
    assert {name: files.sha256_file(tmp_path / "out" / name) for name in whole} == {
        name: hashes[name] for name in whole
    }
    missing = set(hashes) - whole
    assert missing, f"{len(whole)} of {len(hashes)} files were there already"
    files.sweep(tmp_path / "out", older_than_s=-1)
    aws(server)
    again = {moved.key for moved in fetch(open_store(url), [Item(key, tmp_path / "out" / key) for key in missing])}
    assert again == missing
    assert {path.name: files.sha256_file(path) for path in (tmp_path / "out").iterdir()} == hashes
