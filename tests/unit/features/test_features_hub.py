"""Models from a Hub on the loopback, through the unmodified client, each time in a process of its own: it reads its
environment once."""

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hub_server import COMMIT, Hub, serving

WEIGHTS = b"weights" * 1000
OTHER_WEIGHTS = b"other weights" * 1000
CONFIG = b'{"hidden_size": 768}'
NAME = "contentvec-768l12"
REPO = "lengyue233/content-vec-best"

SCRIPT = """
import json, sys
from pathlib import Path
from svc_core.errors import SvcError
from svc_core.features import models
name, root = sys.argv[1], Path(sys.argv[2])
try:
    found = models.obtain(name, None, root)
    answer = {"weights": str(found.weights), "config": str(found.config), "revision": found.revision}
except SvcError as error:
    answer = {"exit_code": error.exit_code, "error": str(error)}
print(json.dumps(answer))
"""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def hub():
    with serving(Hub(REPO, {"pytorch_model.bin": WEIGHTS, "config.json": CONFIG})) as running:
        yield running


@pytest.fixture
def obtain(tmp_path):
    """Asks for a model in a fresh process; by default each call has the same cache and workspace."""

    def call(endpoint: str, *, cache: str = "cache", workspace: str = "w", **environment: str) -> dict:
        settings = {
            "HF_HOME": str(tmp_path / cache),
            "HF_ENDPOINT": endpoint,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            **environment,
        }
        ran = subprocess.run(
            [sys.executable, "-c", SCRIPT, NAME, str(tmp_path / workspace)],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(ran.stdout)

    return call


def read_pin(root: Path) -> dict:
    return json.loads((root / f"data/prep/manifests/models/{NAME}.json").read_text())


def test_first_use_downloads_and_pins(hub, obtain, tmp_path):
    found = obtain(hub.endpoint)
    assert Path(found["weights"]).read_bytes() == WEIGHTS
    assert Path(found["config"]).read_bytes() == CONFIG
    assert found["revision"] == COMMIT
    wanted = {"repo": REPO, "revision": COMMIT, "file": "pytorch_model.bin", "sha256": sha256(WEIGHTS)}
    assert read_pin(tmp_path / "w") == wanted


def test_safetensors_are_preferred(hub, obtain, tmp_path):
    hub.files["model.safetensors"] = OTHER_WEIGHTS
    assert Path(obtain(hub.endpoint)["weights"]).read_bytes() == OTHER_WEIGHTS
    assert read_pin(tmp_path / "w")["file"] == "model.safetensors"


def test_what_is_cached_is_used_without_asking(hub, obtain):
    first = obtain(hub.endpoint)
    hub.asked.clear()
    hub.files["model.safetensors"] = OTHER_WEIGHTS
    assert obtain(hub.endpoint) == first
    assert obtain(hub.endpoint, HF_HUB_OFFLINE="1") == first
    assert hub.asked == []


def test_another_machine_gets_the_pinned_file(hub, obtain):
    obtain(hub.endpoint)
    hub.files["model.safetensors"] = OTHER_WEIGHTS
    hub.asked.clear()
    found = obtain(hub.endpoint, cache="another-cache")
    assert Path(found["weights"]).read_bytes() == WEIGHTS
    assert all(f"/resolve/{COMMIT}/" in asked for asked in hub.asked)


def test_another_content_than_pinned_is_refused(hub, obtain):
    obtain(hub.endpoint)
    hub.files["pytorch_model.bin"] = OTHER_WEIGHTS
    answer = obtain(hub.endpoint, cache="another-cache")
    assert answer["exit_code"] == 78
    assert sha256(WEIGHTS) in answer["error"]
    assert sha256(OTHER_WEIGHTS) in answer["error"]


def test_folder_comes_before_the_hub(hub, obtain, tmp_path):
    folder = tmp_path / "models" / NAME
    folder.mkdir(parents=True)
    (folder / "pytorch_model.bin").write_bytes(WEIGHTS)
    (folder / "config.json").write_bytes(CONFIG)
    found = obtain(hub.endpoint, SVC_MODELS=str(tmp_path / "models"))
    assert found["weights"] == str(folder / "pytorch_model.bin")
    assert hub.asked == []


def test_offline_and_absent_is_configuration(hub, obtain):
    answer = obtain(hub.endpoint, HF_HUB_OFFLINE="1")
    assert answer["exit_code"] == 78
    for part in (NAME, "SVC_MODELS", f"svc-jobs models fetch {NAME}", "HF_HUB_OFFLINE"):
        assert part in answer["error"]
    assert hub.asked == []


def test_a_repository_that_does_not_exist_is_configuration(obtain):
    with serving(Hub("someone/else", {})) as hub:
        answer = obtain(hub.endpoint)
    assert answer["exit_code"] == 78
    assert "does not exist" in answer["error"]


def test_a_repository_without_the_file_is_configuration(hub, obtain):
    del hub.files["pytorch_model.bin"]
    answer = obtain(hub.endpoint)
    assert answer["exit_code"] == 78
    assert "pytorch_model.bin" in answer["error"]


@pytest.mark.parametrize("status", [401, 403])
def test_no_access_is_configuration(hub, obtain, status):
    hub.trouble["model.safetensors"] = status
    answer = obtain(hub.endpoint)
    assert answer["exit_code"] == 78
    assert "HF_TOKEN" in answer["error"]


def test_a_body_that_breaks_off_is_transient_and_leaves_nothing(hub, obtain, tmp_path):
    hub.trouble["pytorch_model.bin"] = "cut"
    assert obtain(hub.endpoint)["exit_code"] == 75
    assert not (tmp_path / "w").exists()
    hub.trouble.clear()
    assert Path(obtain(hub.endpoint)["weights"]).read_bytes() == WEIGHTS


def test_a_garbled_body_is_transient_and_removed(hub, obtain, tmp_path):
    hub.trouble["pytorch_model.bin"] = "garbled"
    answer = obtain(hub.endpoint)
    assert answer["exit_code"] == 75
    assert sha256(WEIGHTS) in answer["error"]
    assert not (tmp_path / "w").exists()
    hub.trouble.clear()
    assert Path(obtain(hub.endpoint)["weights"]).read_bytes() == WEIGHTS


def test_a_hub_that_is_down_or_away_is_transient(hub, obtain):
    """The client itself tries for 24 s, so both are asked at once."""
    hub.trouble["model.safetensors"] = 503
    with ThreadPoolExecutor(2) as pool:
        down = pool.submit(obtain, hub.endpoint)
        away = pool.submit(obtain, "http://127.0.0.1:9", cache="another-cache")
        for answer in (down.result(), away.result()):
            assert answer["exit_code"] == 75
            assert "again" in answer["error"]
