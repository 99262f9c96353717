"""The slim file and its distance from the whole one, the full preset's tensors, and the consent that travels along."""

import json
import math
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch

from svc_core import config as configs
from svc_core import consent, layout
from svc_core.consent import Consent, Use
from svc_core.conversion.convert import convert
from svc_core.conversion.options import ConvertOptions
from svc_core.conversion.voice import SLIM_FILE, WEIGHTS_FILE, load_voice
from svc_core.conversion.weights import slim
from svc_core.errors import ConfigError
from svc_core.evaluation.evaluate import evaluate
from svc_core.model.generator import Generator
from svc_core.release import publish, read_sums

VOICE = "duo"
CPU = torch.device("cpu")
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def folder(trained) -> Path:
    return trained / layout.release_dir(VOICE)


@pytest.fixture
def thrown_away(trained):
    """The workspace is removed after the test: full networks are large."""
    yield trained
    shutil.rmtree(trained)


def agree(root: Path, *speakers: str, **changes) -> None:
    facts = {"own_voice": False, "given_by": "contract <17>", "uses": consent.USUAL_USES, "commercial": False}
    for speaker in speakers:
        consent.write(root, Consent(speaker=speaker, given_on=date(2025, 5, 4), **{**facts, **changes}))


def test_the_slim_file_lacks_exactly_the_posterior_encoder(trained, small_config, folder):
    publish(trained, VOICE, small_config, 20)
    whole = safetensors.torch.load_file(folder / WEIGHTS_FILE)
    small = safetensors.torch.load_file(folder / SLIM_FILE)
    assert set(whole) - set(small) == {name for name in whole if name.startswith("enc_q.")}
    assert set(small) <= set(whole)
    for name, value in small.items():
        assert value.dtype == torch.float16
        assert torch.equal(value, whole[name].half())
    assert (folder / SLIM_FILE).stat().st_size < (folder / WEIGHTS_FILE).stat().st_size / 2


def test_what_float16_cannot_hold_stays_whole():
    tensors = {"dec.a": torch.tensor([1e6, 1.0]), "dec.b": torch.tensor([6e4]), "enc_q.c": torch.ones(1)}
    made = slim(tensors)
    assert set(made) == {"dec.a", "dec.b"}
    assert torch.equal(made["dec.a"], tensors["dec.a"])
    assert made["dec.b"].dtype == torch.float16


def test_the_slim_file_sings_within_a_stated_distance(trained, small_config, folder, sung, tmp_path):
    """float16 rounds each weight by at most 2^-11 of itself.

    At worst the roundings of all L layers in a row add up: L x 2^-11 of the signal. The layers with weights are
    counted, one after another, though many of them stand side by side; so the bound is generous, and a wrong or missing
    tensor still breaks it by far.
    """
    publish(trained, VOICE, small_config, 20)
    soundfile.write(tmp_path / "song.wav", sung(180.0, 1.5, 22_050), 22_050)
    sounds = []
    for name in (WEIGHTS_FILE, SLIM_FILE):
        voice = load_voice(folder / name, device=CPU)
        convert(tmp_path / "song.wav", tmp_path / "made.wav", voice, ConvertOptions(speaker="alice"))
        sounds.append(soundfile.read(tmp_path / "made.wav")[0])
    layers = sum(name.endswith(("weight", "weight_v")) for name in safetensors.torch.load_file(folder / SLIM_FILE))
    whole, small = sounds
    error = small - whole
    assert np.abs(whole).max() > 0
    assert np.sqrt(np.mean(error**2)) <= layers * 2**-11 * np.sqrt(np.mean(whole**2)) + 2**-15
    assert math.isfinite(float(np.abs(error).max()))


def test_a_folder_with_the_slim_file_alone_is_a_model(trained, small_config, folder):
    publish(trained, VOICE, small_config, 20)
    whole = load_voice(folder, device=CPU)
    (folder / WEIGHTS_FILE).unlink()
    alone = load_voice(folder, device=CPU)
    assert alone.weights_sha256 == read_sums(folder)[SLIM_FILE] != whole.weights_sha256
    assert alone.median_f0_hz == whole.median_f0_hz


@pytest.mark.parametrize(("volume", "golden"), [(True, "state_dict_G"), (False, "state_dict_G_novol")])
def test_the_full_preset_has_exactly_the_tensors_of_4_1(
    thrown_away, small_config, add_checkpoint, folder, volume, golden
):
    expected = json.loads((GOLDEN / f"{golden}.json").read_text())
    values = configs.parse({"spk": {"alice": 0, "Böb's": 1}, "svc_jobs": {"voice": VOICE}}, "test").model_dump(
        mode="json"
    )
    values["model"].update(vol_embedding=volume, n_speakers=expected["emb_g.weight"][0])
    values["svc_jobs"]["features"] = small_config.svc_jobs.features.model_dump(mode="json")
    config = configs.parse(values, "test")
    add_checkpoint(thrown_away, Generator(config.model, config.data, 20).state_dict(), 40)
    publish(thrown_away, VOICE, config, 40)
    made = safetensors.torch.load_file(folder / WEIGHTS_FILE)
    assert {name: list(value.shape) for name, value in made.items()} == expected
    assert {value.dtype for value in made.values()} == {torch.float32}
    as_41 = torch.load(folder / "G_40.pth", weights_only=True)["model"]
    assert {name: list(value.shape) for name, value in as_41.items()} == expected
    small = safetensors.torch.load_file(folder / SLIM_FILE)
    assert {name: list(value.shape) for name, value in small.items()} == {
        name: shape for name, shape in expected.items() if not name.startswith("enc_q.")
    }


def test_the_report_holds_every_checkpoint_and_no_recording(trained, small_config, folder):
    evaluation = evaluate(trained, VOICE, small_config, device="cpu")
    publish(trained, VOICE, small_config, evaluation)
    report = json.loads((folder / "report.json").read_text())
    assert [one["step"] for one in report["checkpoints"]] == [10, 20, 30]
    assert report["released_step"] == evaluation.best_step
    assert set(report) == {"format", "voice", "released_step", "checkpoints"}
    card = (folder / "README.md").read_text()
    for one in evaluation.checkpoints:
        assert f"| {one.step} | {one.metrics.mel_distance} |" in card


def test_without_everybodys_consent_it_is_written_and_marked(trained, small_config, folder):
    agree(trained, "alice")
    release = publish(trained, VOICE, small_config, 20)
    assert release.lacking == {"Böb's": "none is recorded"}
    assert not (folder / "consent.json").exists()
    assert "**Not for publication.**" in (folder / "README.md").read_text()
    assert "contract" not in (folder / "README.md").read_text()


def test_everybodys_consent_travels_along_as_it_was_given(trained, small_config, folder):
    agree(trained, "alice", "Böb's", evidence="https://example.org/17\n| <b>")
    release = publish(trained, VOICE, small_config, 20)
    assert release.lacking == {}
    assert "consent.json" in read_sums(folder)
    travelled = json.loads((folder / "consent.json").read_text())["speakers"]
    assert travelled == [json.loads((trained / f"consents/{name}.json").read_text()) for name in small_config.spk]
    card = (folder / "README.md").read_text()
    assert "Not for publication" not in card
    assert "| alice | given by contract &lt;17&gt;, 2025-05-04 | training, conversion, share-model | no | " in card
    assert "| https://example.org/17 &#124; &lt;b&gt; |" in card
    assert "not a proof" in card
    assert publish(trained, VOICE, small_config, 20).already


@pytest.mark.parametrize("change", [{"withdrawn_on": date(2025, 6, 7)}, {"uses": (Use.TRAINING,)}])
def test_a_consent_that_ends_is_taken_out_of_the_release(trained, small_config, folder, change):
    agree(trained, "alice", "Böb's")
    publish(trained, VOICE, small_config, 20)
    agree(trained, "alice", **change)
    # Also where nobody can tell any more which files were ours.
    (folder / "SHA256SUMS").write_bytes(b"damaged")
    release = publish(trained, VOICE, small_config, 20)
    assert set(release.lacking) == {"alice"}
    assert not release.already
    assert not (folder / "consent.json").exists()
    assert "**Not for publication.**" in (folder / "README.md").read_text()


def test_a_damaged_consent_record_is_78_and_the_earlier_release_stays(trained, small_config, folder):
    publish(trained, VOICE, small_config, 20)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    agree(trained, "alice")
    (trained / "consents/alice.json").write_text("{")
    with pytest.raises(ConfigError, match="no consent record of 'alice'"):
        publish(trained, VOICE, small_config, 20)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
