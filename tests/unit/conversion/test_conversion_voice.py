import json
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch

from svc_core import config as configs
from svc_core.conversion.voice import load_voice, read_config
from svc_core.conversion.weights import load_strictly
from svc_core.errors import BadInput, ConfigError
from svc_core.model.generator import Generator

CPU = torch.device("cpu")


@pytest.fixture
def saved(tmp_path, small_config, small_generator):
    """A G_7.pth with the config beside it; `change` gets the tensors and the config's values to alter."""

    def save(change=lambda tensors, values: None, optimizer=None) -> Path:
        tensors, values = dict(small_generator().state_dict()), small_config.model_dump(mode="json")
        change(tensors, values)
        content = {"model": tensors, "iteration": 3, "optimizer": optimizer, "learning_rate": 1e-4}
        torch.save(content, tmp_path / "G_7.pth")
        (tmp_path / "config.json").write_text(json.dumps(values), encoding="utf-8")
        return tmp_path / "G_7.pth"

    return save


def sound_of(generator: Generator) -> torch.Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        c, f0 = torch.randn(1, 80, 12), 100 + 50 * torch.rand(1, 12)
    uv, volume, spk = torch.ones(1, 12), torch.full((1, 12), 0.1), torch.tensor([[1]])
    return generator.infer(c, f0, uv, spk, volume, noise_scale=0.4).audio


def test_loads_a_checkpoint_with_its_config(saved, small_config, small_generator):
    voice = load_voice(saved(), device=CPU)
    assert voice.config == small_config
    assert voice.speakers == {"alice": 0, "Böb's": 1}
    assert voice.median_f0_hz == {}
    # Folding weight norm multiplies in another order: a few float32 roundings through some ten layers.
    torch.testing.assert_close(sound_of(voice.generator), sound_of(small_generator().eval()), rtol=1e-4, atol=1e-5)


def test_a_folder_stands_for_its_only_model(saved, tmp_path):
    first = load_voice(saved(), device=CPU)
    assert load_voice(tmp_path, device=CPU).weights_sha256 == first.weights_sha256
    (tmp_path / "G_8.pth").write_bytes((tmp_path / "G_7.pth").read_bytes())
    with pytest.raises(ConfigError, match="2 files G_"):
        load_voice(tmp_path, device=CPU)


def test_a_slim_half_precision_file_sings_the_same(saved, small_generator):
    def slim(tensors, values):
        for name in [name for name in tensors if name.startswith("enc_q.")]:
            del tensors[name]
        for name in tensors:
            tensors[name] = tensors[name].half()

    voice = load_voice(saved(slim), device=CPU)
    rounded = small_generator()
    rounded.load_state_dict({name: value.half().float() for name, value in rounded.state_dict().items()})
    torch.testing.assert_close(sound_of(voice.generator), sound_of(rounded.eval()), rtol=1e-4, atol=1e-5)


def test_a_config_of_4_1_means_what_4_1_assumes(saved, small_config):
    def foreign(tensors, values):
        del values["svc_jobs"], values["data"]["unit_interpolate_mode"], values["model"]["vol_embedding"]
        values["train"] = {"fp16_run": True, "half_type": "fp16", "some_new_field": 1}
        values["model"]["contentvec_final_proj"] = None
        values["model"]["type_"] = "hifi-gan"
        values["data"]["mel_fmax"] = None
        for name in ("emb_vol.weight", "emb_vol.bias"):
            del tensors[name]

    voice = load_voice(saved(foreign), device=CPU)
    assert voice.config.data.unit_interpolate_mode == "left"
    assert not voice.config.model.vol_embedding
    assert voice.config.model.hidden_channels == small_config.model.hidden_channels
    assert voice.config.svc_jobs.voice == "alice"


def test_4_1_without_an_encoder_means_vec768l12(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model": {}, "data": {}, "spk": {"one": 0}}))
    assert read_config(path).model.speech_encoder == "vec768l12"


def test_a_config_of_4_0_is_named(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model": {"gin_channels": 256}, "data": {}, "spk": {"one": 0}}))
    with pytest.raises(ConfigError, match="vec256l9"):
        read_config(path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[]", "must hold a JSON object"),
        (b'{"spk": {}, "model": {}, "data": {}}', "lacks the blocks"),
        (b'{"spk": {"a": 0}, "model": {"vocoder_name": "nsf-snake-hifigan"}, "data": {}}', "model.vocoder_name"),
        (b'{"spk": {"a": 0}, "model": {}, "data": {"sampling_rate": 32000}}', "data.sampling_rate"),
        (b'{"spk": {"a": 0}, "svc_jobs": {"voice": "a", "step": 3}}', "svc_jobs.step: unknown setting"),
    ],
)
def test_a_config_that_cannot_be_used_is_78(tmp_path, content, problem):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=problem):
        read_config(path)


def test_missing_files_are_78(tmp_path, saved):
    with pytest.raises(ConfigError, match="does not exist: give a release folder"):
        load_voice(tmp_path / "nowhere", device=CPU)
    with pytest.raises(ConfigError, match=r"holds no model\.safetensors and 0 files"):
        load_voice(tmp_path, device=CPU)
    model = saved()
    (tmp_path / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"config\.json does not exist"):
        load_voice(model, device=CPU)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda tensors, values: tensors.pop("pre.bias"), "pre.bias is missing"),
        (lambda tensors, values: tensors.pop("enc_q.pre.bias"), "enc_q.pre.bias is missing"),
        (lambda tensors, values: tensors.update(more=torch.zeros(1)), "more is not part of the configured network"),
        (lambda tensors, values: values["model"].update(vol_embedding=False), "set model.vol_embedding to true"),
        (lambda tensors, values: values["model"].update(n_speakers=7), "it has 2 speaker rows"),
        (lambda tensors, values: values["model"].update(use_automatic_f0_prediction=False), "predicts pitch"),
        (lambda tensors, values: values["model"].update(hidden_channels=32), r"\[16\] instead of \[32\]"),
    ],
)
def test_weights_of_another_network_are_named(saved, change, problem):
    with pytest.raises(ConfigError, match=problem):
        load_voice(saved(change), device=CPU)


def test_256_against_768_is_said_in_plain_words(saved):
    def wrong(tensors, values):
        values["model"].update(speech_encoder="vec768l12", ssl_dim=768, gin_channels=768)

    with pytest.raises(ConfigError, match="content is 80 channels wide, the config says 768") as caught:
        load_voice(saved(wrong), device=CPU)
    assert "vec256l9" in str(caught.value)


def test_another_width_of_the_speaker_table_is_named(small_config, small_generator, tmp_path):
    tensors = small_generator().state_dict()
    tensors["emb_g.weight"] = torch.zeros(2, 256)
    with pytest.raises(ConfigError, match="speaker table is 256 channels wide"):
        load_strictly(small_generator(), tensors, tmp_path / "G_1.pth")


class Evil:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not a model"),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        lambda path: torch.save({"weights": {}}, path),
        lambda path: torch.save({"model": {"a": 1}}, path),
        lambda path: torch.save([1], path),
        lambda path: path.write_bytes(pickle.dumps({"model": Evil()})),
        lambda path: torch.save({"model": Evil()}, path),
    ],
)
def test_damaged_or_dangerous_weights_are_66_and_run_nothing(saved, write, capsys):
    path = saved()
    write(path)
    with pytest.raises(BadInput, match=r"G_7\.pth"):
        load_voice(path, device=CPU)
    assert capsys.readouterr().out == ""


def test_damaged_safetensors_are_66(saved, small_generator, tmp_path):
    saved()
    whole = safetensors.torch.save(small_generator().state_dict())
    (tmp_path / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(BadInput, match="is damaged"):
        load_voice(tmp_path, device=CPU)


def test_speakers_go_by_name_or_id(saved):
    voice = load_voice(saved(), device=CPU)
    assert [voice.speaker_name(text) for text in ("alice", "0", "Böb's", "1")] == ["alice", "alice", "Böb's", "Böb's"]
    with pytest.raises(ConfigError, match=r"no speaker 'carol': choose one of alice \(0\), Böb's \(1\)"):
        voice.speaker_name("carol")


def test_the_shapes_of_4_1s_own_networks_are_told_apart(golden_shapes):
    """The full 768-channel network against the same file for 256 channels, by shape alone."""
    config = configs.parse({"spk": {"a": 0}, "svc_jobs": {"voice": "a"}}, "test")
    with torch.device("meta"):
        network = Generator(config.model, config.data, 20)
    tensors = {name: torch.empty(shape, device="meta") for name, shape in golden_shapes.items()}
    tensors["pre.weight"] = torch.empty(192, 256, 5, device="meta")
    with pytest.raises(ConfigError, match="content is 256 channels wide, the config says 768"):
        load_strictly(network, tensors, Path("G_0.pth"))


@pytest.fixture
def golden_shapes():
    path = Path(__file__).parents[2] / "golden" / "state_dict_G_novol.json"
    return json.loads(path.read_text())
