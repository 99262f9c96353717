"""The release folder: complete, reproducible, whole or absent, and singing exactly as its checkpoint does."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch

from svc_core import checkpoint, files, layout
from svc_core import config as configs
from svc_core.conversion.convert import convert
from svc_core.conversion.options import ConvertOptions
from svc_core.conversion.voice import load_voice
from svc_core.errors import BadInput, ConfigError, SvcError
from svc_core.evaluation.evaluate import evaluate
from svc_core.features import models
from svc_core.features.sidecar import CorruptSidecar
from svc_core.release import Release, publish, read_sums

VOICE = "duo"
NAMES = ["README.md", "config.json", "facts.json", "model-slim.safetensors", "model.safetensors", "report.json"]
CPU = torch.device("cpu")


@pytest.fixture
def released(trained, small_config):
    """Publishes a step, or what is given; returns the release."""

    def call(choice=20, config=small_config) -> Release:
        return publish(trained, VOICE, config, choice)

    return call


@pytest.fixture
def folder(trained) -> Path:
    return trained / layout.release_dir(VOICE)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_holds_everything_and_a_hash_of_each(released, folder):
    release = released()
    names = ["G_20.pth", *NAMES]
    assert sorted(content(folder)) == sorted([*names, "SHA256SUMS"])
    assert [one.name for one in release.files] == names
    assert not release.already
    for one in release.files:
        data = (folder / one.name).read_bytes()
        assert (one.sha256, one.size) == (hashlib.sha256(data).hexdigest(), len(data))
    # The tool that everybody has agrees.
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True, capture_output=True)


def test_holds_exactly_the_tensors_of_the_checkpoint_in_both_forms(released, trained, folder):
    released()
    saved = checkpoint.read(trained / layout.checkpoint_keys(VOICE, 20).generator)["model"]
    as_41 = torch.load(folder / "G_20.pth", weights_only=True)
    assert list(as_41) == ["model", "iteration", "optimizer", "learning_rate"]
    assert (as_41["iteration"], as_41["optimizer"], as_41["learning_rate"]) == (0, None, 1e-4)
    assert list(as_41["model"]) == list(saved)
    for tensors in (as_41["model"], safetensors.torch.load_file(folder / "model.safetensors")):
        assert set(tensors) == set(saved)
        assert all(
            torch.equal(tensors[name], value) and tensors[name].dtype == torch.float32 for name, value in saved.items()
        )


def test_all_three_files_sing_the_same_samples(released, trained, folder, sung, tmp_path):
    released()
    soundfile.write(tmp_path / "song.wav", sung(180.0, 1.5, 22_050), 22_050)
    config = folder / "config.json"
    made = {}
    for name, model in {
        "checkpoint": trained / layout.checkpoint_keys(VOICE, 20).generator,
        "release": folder,
        "pth": folder / "G_20.pth",
    }.items():
        voice = load_voice(model, None if model.is_dir() else config, device=CPU)
        convert(tmp_path / "song.wav", tmp_path / f"{name}.wav", voice, ConvertOptions(speaker="alice"))
        made[name] = (tmp_path / f"{name}.wav").read_bytes()
    assert made["checkpoint"] == made["release"] == made["pth"]
    assert np.abs(soundfile.read(tmp_path / "release.wav")[0]).max() > 0


def test_takes_the_best_of_an_evaluation_with_its_metrics(released, trained, small_config, folder):
    evaluation = evaluate(trained, VOICE, small_config, device="cpu")
    assert released(evaluation).step == evaluation.best_step
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    assert facts["metrics"] == evaluation.best.metrics.model_dump()
    assert f"| mel distance, natural logarithm | {evaluation.best.metrics.mel_distance} |" in (
        folder / "README.md"
    ).read_text(encoding="utf-8")


def test_records_the_pitch_that_auto_transposition_needs(released, folder):
    released()
    voice = load_voice(folder, device=CPU)
    # Takes 2 and 3 are the training clips, 2 % and 3 % above 220 and 110 Hz; dio errs by less than 1 % on them.
    assert voice.median_f0_hz["alice"] == pytest.approx(220 * 1.025, rel=0.01)
    assert voice.median_f0_hz["Böb's"] == pytest.approx(110 * 1.025, rel=0.01)


def test_again_changes_nothing_and_says_so(released, folder):
    first = released()
    before = content(folder)
    stamps = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    second = released()
    assert second == first.model_copy(update={"already": True})
    assert content(folder) == before
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == stamps


def test_equal_inputs_give_equal_bytes_elsewhere(released, trained, folder, small_config, tmp_path):
    released()
    there = tmp_path / "another place"
    subprocess.run(["cp", "-r", str(trained), str(there)], check=True)
    subprocess.run(["rm", "-r", str(there / layout.release_dir(VOICE))], check=True)
    publish(there, VOICE, small_config, 20)
    assert content(there / layout.release_dir(VOICE)) == content(folder)
    assert not any(str(trained).encode() in data for data in content(folder).values())


def test_a_change_of_any_input_makes_it_anew(released, trained, folder, small_config):
    released()
    assert not released(30).already
    assert "G_20.pth" not in content(folder)
    values = small_config.model_dump(mode="json")
    values["svc_jobs"]["preset"] = "toy"
    changed = configs.parse(values, "test")
    assert not released(30, changed).already
    key = (trained / layout.TRAIN_LIST).read_text(encoding="utf-8").splitlines()[0]
    (trained / layout.sidecar_keys(key).f0).write_bytes((trained / layout.sidecar_keys(key).volume).read_bytes())
    assert not released(30, changed).already


@pytest.mark.parametrize("name", ["model.safetensors", "model-slim.safetensors", "README.md", "SHA256SUMS"])
def test_a_damaged_or_lost_file_is_made_again(released, folder, name):
    released()
    before = content(folder)
    (folder / name).write_bytes(b"damaged")
    assert not released().already
    assert content(folder) == before
    (folder / name).unlink()
    assert not released().already
    assert content(folder) == before


def test_what_the_owner_put_there_stays(released, folder):
    released()
    (folder / "LICENSE").write_text("mine")
    (folder / "samples").mkdir()
    (folder / "samples" / "a.wav").write_bytes(b"sound")
    released(30)
    assert (folder / "LICENSE").read_text() == "mine"
    assert (folder / "samples" / "a.wav").read_bytes() == b"sound"
    assert set(read_sums(folder)) == {"G_30.pth", *NAMES}


def test_a_failure_leaves_the_earlier_release_and_nothing_else(released, trained, folder):
    released()
    before = content(folder)
    path = trained / layout.checkpoint_keys(VOICE, 30).generator
    torch.save({"model": {"emb_g.weight": torch.zeros(2, 80), "bad": 1}}, path)
    history = checkpoint.read_history(trained, VOICE)
    fresh = [
        entry.model_copy(update={"generator": checkpoint.FileRecord.of(trained, entry.generator.key)})
        for entry in history
    ]
    checkpoint.History(checkpoints=tuple(fresh)).write(trained / layout.latest_key(VOICE))
    with pytest.raises(BadInput, match="no tensors"):
        released(30)
    assert content(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == [VOICE]


def test_recovers_from_a_kill_between_the_two_renames(released, folder):
    released()
    before = content(folder)
    folder.rename(folder.with_name(f".tmp-old-{VOICE}"))
    (folder.with_name(f".tmp-new-{VOICE}")).mkdir()
    (folder.with_name(f".tmp-new-{VOICE}") / "half").write_bytes(b"")
    assert released().already
    assert content(folder) == before


def test_recovers_from_a_kill_after_the_second_rename(released, folder):
    released()
    old = folder.with_name(f".tmp-old-{VOICE}")
    old.mkdir()
    (old / "LICENSE").write_text("of before")
    released(30)
    assert not old.exists()
    assert [path.name for path in folder.parent.iterdir()] == [VOICE]


def test_the_config_names_the_models_that_the_voice_was_made_with(released, trained, small_config, folder):
    pin = models.Pin(repo=None, revision=None, file="rmvpe.pt", sha256="a" * 64)
    pin.write(trained / layout.model_pin("dio"))
    released()
    config = configs.load(folder / "config.json")
    assert config.svc_jobs.features.weights_sha256 == {"dio": "a" * 64}
    assert config.model == small_config.model
    assert f"| sha256 of dio | {'a' * 64} |" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_card_says_what_it_must(released, folder):
    released()
    card = (folder / "README.md").read_text(encoding="utf-8")
    for text in (
        "**Not for publication.**",
        "**For demonstration only.**",
        "| alice | 0 | 2 |",
        "Böb&#x27;s",
        "mel-bands (torch, fp32)",
        "does not have the content encoder `mel-bands`",
        "Not evaluated.",
        "LICENSE",
    ):
        assert text in card
    assert json.loads((folder / "facts.json").read_text(encoding="utf-8"))["demo_only"] is True


def test_what_is_missing_is_66(released, trained):
    with pytest.raises(BadInput, match=r"no checkpoint of step 15 \(kept: 30, 20, 10\)"):
        released(15)
    generator = trained / layout.checkpoint_keys(VOICE, 20).generator
    whole = generator.read_bytes()
    generator.write_bytes(whole[:-1])
    with pytest.raises(BadInput, match="is missing or damaged"):
        released()
    generator.write_bytes(whole)
    path = trained / layout.TRAIN_LIST
    key = path.read_text(encoding="utf-8").splitlines()[0]
    (trained / layout.sidecar_keys(key).uv).unlink()
    with pytest.raises(CorruptSidecar, match=r"uv\.npy"):
        released()
    path.unlink()
    with pytest.raises(BadInput, match=r"train\.txt does not exist"):
        released()


def test_an_evaluation_of_another_file_is_66(released, trained, small_config):
    evaluation = evaluate(trained, VOICE, small_config, device="cpu")
    scores = [one.model_copy(update={"generator_sha256": "0"}) for one in evaluation.checkpoints]
    with pytest.raises(BadInput, match="run evaluate again"):
        released(evaluation.model_copy(update={"checkpoints": scores}))


def test_a_checkpoint_with_other_speakers_is_78(released, small_config):
    values = small_config.model_dump(mode="json")
    values["model"]["n_speakers"] = 5
    with pytest.raises(ConfigError, match=r"trained with model\.n_speakers 2, not 5"):
        released(20, configs.parse(values, "test"))


def test_shared_tensors_are_written_by_every_name(
    released, trained, small_config, small_generator, add_checkpoint, folder
):
    values = small_config.model_dump(mode="json")
    values["model"]["flow_share_parameter"] = True
    config = configs.parse(values, "test")
    tensors = small_generator(50, config).state_dict()
    storages = [value.data_ptr() for value in tensors.values()]
    assert len(set(storages)) < len(storages)
    add_checkpoint(trained, tensors, 50)
    released(50, config)
    made = safetensors.torch.load_file(folder / "model.safetensors")
    assert set(made) == set(tensors)
    assert load_voice(folder, device=CPU).config == config


def test_a_workspace_that_may_not_be_written_is_78(released, trained, small_config):
    (trained / "models").mkdir()
    (trained / "models").chmod(0o555)
    script = (
        "import sys\nfrom pathlib import Path\nfrom svc_core import config, layout\n"
        "from svc_core.errors import SvcError\n"
        "from svc_core.release import publish\n"
        "root = Path(sys.argv[1])\n"
        "try: publish(root, 'duo', config.load(root / layout.config_key('duo')), 20)\n"
        "except SvcError as error: print(error.exit_code, error)\n"
    )
    configs.save(small_config, trained / layout.config_key(VOICE))
    plain = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [*plain, os.sys.executable, "-c", script, str(trained)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert said.startswith(f"{ConfigError.exit_code} ")
    assert "may not be written" in said
    assert issubclass(ConfigError, SvcError)
    assert not files.sweep(trained / "models")
