"""How long the full network's checkpoint takes: from the network to three files, and from there to a bucket.

    python benchmarks/bench_checkpoint.py [--preset full] [--save]

It is what a train pod that is told to stop has to do within its grace period. One training step first, so that the
optimizers hold their moments. The bucket is a SeaweedFS on this machine.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import torch
from bench_train_step import make_batch, make_config

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from servers.processes import seaweed

from svc_core import checkpoint
from svc_core.storage.opening import open_store
from svc_core.storage.transfer import Item, send
from svc_core.training.state import build_state, snapshot
from svc_core.training.step import training_step

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="full")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/<date>-checkpoint.json")
    given = parser.parse_args()
    config = make_config(given.preset, "fp32")
    state = build_state(config, torch.device("cpu"))
    training_step(state, make_batch(config, 2, 60))
    with tempfile.TemporaryDirectory() as folder, seaweed(Path(folder) / "server") as server:
        os.environ.update(server.environment())
        root = Path(folder) / "w"
        began_s = time.perf_counter()
        (entry,) = checkpoint.save(root, "bench", snapshot(state, "none"), (), keep=3)
        saved_s = time.perf_counter()
        for _ in send(open_store(f"s3://{server.bucket}/w"), [Item(one.key, root / one.key) for one in entry.files]):
            pass
        sent_s = time.perf_counter()
        size = sum(one.size for one in entry.files)
    result = {
        "what": "one checkpoint",
        "preset": given.preset,
        "bytes": size,
        "save_s": round(saved_s - began_s, 2),
        "send_s": round(sent_s - saved_s, 2),
        "send_mb_per_s": round(size / 1e6 / (sent_s - saved_s), 1),
        "cpus": os.cpu_count(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    print(json.dumps(result, indent=2))
    if given.save:
        (RESULTS / f"{result['date'][:10]}-checkpoint.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
