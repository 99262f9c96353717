"""Killed pods, killed processes, full volumes and lost nodes: the result is that of an undisturbed run."""

import json
import random
import re
import subprocess
from contextlib import suppress
from pathlib import Path

import controller
import pytest
from bucket import Bucket, flac, takes
from compare import made_here, made_there
from conftest import PLANNED, TOY, make_here
from workflows import Pod, Workflow, submit, wait_for

from k8s.cluster import Cluster, Refused
from k8s.store import BUCKET
from svc_core.files import json_bytes

STEPS, EVERY = 90, 10
SEED = 20261122
SIGNAL = Path(__file__).with_name("send_signal.py").read_text(encoding="utf-8")
FILL = "with open('/scratch/fill', 'wb') as file:\n for _ in range(1400): file.write(bytes(1 << 20))"


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """What a run on this machine makes, without any trouble."""
    settings = {**PLANNED, "steps": STEPS, "batch_size": 2, "checkpoint_every": EVERY, "log_every": 1}
    root = make_here(tmp_path_factory.mktemp("undisturbed"), "carol", takes(6), "publish", **settings)
    return made_here(root, "carol")


@pytest.fixture
def victim(chart, bucket):
    """Starts the run of carol in a workspace of its own, with small batches and frequent checkpoints."""

    def start(place: str) -> Workflow:
        prefix = f"voices/{place}"
        for name, content in takes(6).items():
            bucket.write(f"{prefix}/raw/carol/{name}", content)
        given = {"speaker": "carol", "workspace": f"s3://{BUCKET}/{prefix}"}
        submit(chart, "svc-prepare", **given, steps=STEPS, **PLANNED).succeed()
        key = f"{prefix}/app/configs/44k/config_colab_carol.json"
        config = json.loads(bucket.read(key))
        config["train"] |= {"eval_interval": EVERY, "log_interval": 1, "batch_size": 2}
        bucket.write(key, json_bytes(config))
        return submit(chart, "svc-speaker", **given, steps=STEPS, **TOY)

    return start


def test_a_slice_pod_is_deleted_at_work(chart, bucket, tmp_path):
    # Progress is told after each of them: the pod goes when one is done and the others are not.
    long = {f"long {number}.flac": flac(number, 60.0, times=10) for number in range(8)}
    make_here(tmp_path, "dave", long, "slice", **PLANNED)
    for name, content in long.items():
        bucket.write(f"voices/dave/raw/dave/{name}", content)
    submit(chart, "svc-prepare", speaker="dave", **PLANNED).succeed()
    run = submit(chart, "svc-slice", speaker="dave")
    pod = run.running_pod("slice")
    wait_for("it slices", lambda: '"progress"' in run.logs("slice"), 60, 0.2)
    delete(chart, pod)
    run.succeed()
    # Argo makes the pod again in the same attempt, or as the next one, as it happens to look.
    assert run.pods("slice").keys() - {pod}, "another pod went on"
    wavs = {key: value for key, value in made_here(tmp_path, "dave").items() if key.endswith(".wav")}
    assert {key: value for key, value in made_there(bucket, "voices/dave", "dave").items() if key in wavs} == wavs


def test_pods_and_processes_are_killed(victim, chart, bucket, undisturbed):
    chance = random.Random(SEED)
    run = victim("killed")
    delete(chart, run.running_pod("features"))
    deleted = run.running_pod("train")
    reach(bucket, "voices/killed", chance.randrange(EVERY, 2 * EVERY))
    delete(chart, deleted)
    killed = run.running_pod("train", after=deleted)
    reach(bucket, "voices/killed", chance.randrange(4 * EVERY, 5 * EVERY))
    tell(chart, killed, "SIGKILL")
    run.succeed(900)
    assert run.exit_codes("train")[-2:] == ["137", "0"], "the killed one was tried again"
    assert made_there(bucket, "voices/killed", "carol") == undisturbed


def test_controller_and_store_restart_and_a_volume_runs_full(victim, chart, bucket, store_namespace, undisturbed):
    run = victim("restarted")
    run.running_pod("features")
    controller.restart(chart)
    filled = run.running_pod("train")
    reach(bucket, "voices/restarted", EVERY)
    store_namespace.run("delete", "pod", "-l", "app=minio", "--wait=false")
    bucket.close()
    reach(bucket, "voices/restarted", 3 * EVERY)
    tell(chart, filled, "SIGSTOP")  # kubelets measure volumes once a minute: training would have ended by then
    with suppress(Refused, subprocess.TimeoutExpired):  # evicted in the middle of it
        chart.execute(filled.name, "python", "-c", FILL)
    run.running_pod("train", after=filled)
    run.succeed(900)
    assert any("exceeds the limit" in node.get("message", "") for node in run.nodes("train")), run.messages()
    assert made_there(bucket, "voices/restarted", "carol") == undisturbed


def test_the_gpu_node_is_lost_while_it_trains(victim, chart, bucket, pools, undisturbed):
    run = victim("lost")
    lost = run.running_pod("train")
    reach(bucket, "voices/lost", 2 * EVERY)
    pools.lose()
    wait_for("the lost pod is collected", lambda: lost not in run.pods("train"), 180)
    pools.bring_back()
    run.running_pod("train", after=lost)
    run.succeed(900)
    assert made_there(bucket, "voices/lost", "carol") == undisturbed


def tell(chart: Cluster, pod: Pod, signal: str) -> None:
    """Sends a signal to the stage's own process in the pod."""
    chart.execute(pod.name, "python", "-c", SIGNAL, signal)


def delete(chart: Cluster, pod: Pod) -> None:
    chart.run("delete", "pod", pod.name, "--wait=false")


def reach(bucket: Bucket, prefix: str, step: int) -> None:
    """Waits until a checkpoint of at least this step lies in the bucket."""

    def reached() -> bool:
        found = [re.search(r"state_(\d+)\.pth$", key) for key in bucket.entries(f"{prefix}/logs/44k/carol")]
        return any(int(match[1]) >= step for match in found if match)

    wait_for(f"a checkpoint of step {step}", reached, 300, 0.5)
