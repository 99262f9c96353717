"""The config: 4.1's schema and numbers, every mistake at once, with its unit."""

import json
from pathlib import Path

import pytest

from svc_core import config as configs
from svc_core import settings
from svc_core.config import Config
from svc_core.errors import ConfigError

# FORMATS.md 2.3, the defaults of so-vits-svc 4.1's config.json.
TRAIN_41 = {
    "log_interval": 200, "eval_interval": 800, "seed": 1234, "epochs": 10000, "learning_rate": 1e-4,
    "betas": [0.8, 0.99],
    "eps": 1e-9, "batch_size": 6, "fp16_run": False, "half_type": "fp16", "lr_decay": 0.999875, "segment_size": 10240,
    "init_lr_ratio": 1, "warmup_epochs": 0, "c_mel": 45, "c_kl": 1.0, "use_sr": True, "max_speclen": 512,
    "port": "8001", "keep_ckpts": 3, "all_in_mem": False, "vol_aug": False,
}  # fmt: skip
DATA_41 = {
    "training_files": "data/prep/filelists/train.txt", "validation_files": "data/prep/filelists/val.txt",
    "max_wav_value": 32768.0, "sampling_rate": 44100, "filter_length": 2048, "hop_length": 512, "win_length": 2048,
    "n_mel_channels": 80, "mel_fmin": 0.0, "mel_fmax": 22050, "unit_interpolate_mode": "nearest",
}  # fmt: skip
MODEL_41 = {
    "inter_channels": 192, "hidden_channels": 192, "filter_channels": 768, "n_heads": 2, "n_layers": 6,
    "kernel_size": 3,
    "p_dropout": 0.1, "resblock": "1", "resblock_kernel_sizes": [3, 7, 11], "resblock_dilation_sizes": [[1, 3, 5]] * 3,
    "upsample_rates": [8, 8, 2, 2, 2], "upsample_initial_channel": 512, "upsample_kernel_sizes": [16, 16, 4, 4, 4],
    "n_layers_q": 3, "n_layers_trans_flow": 3, "n_flow_layer": 4, "use_spectral_norm": False, "gin_channels": 768,
    "ssl_dim": 768, "n_speakers": 1, "vocoder_name": "nsf-hifigan", "speech_encoder": "vec768l12",
    "speaker_embedding": False, "vol_embedding": True, "use_depthwise_conv": False, "flow_share_parameter": False,
    "use_automatic_f0_prediction": True, "use_transformer_flow": False,
}  # fmt: skip
MEL_BANDS = {"model.speech_encoder": "mel-bands", "model.ssl_dim": 80, "model.gin_channels": 80}


def build(changes=None, existing=None, ids=None):
    return settings.build(existing, "alice", ids or {"alice": 0}, changes or {})


def test_the_full_preset_is_41s_config_with_the_volume_embedding_on():
    values = build().model_dump(mode="json")
    assert values["train"] == TRAIN_41
    assert values["data"] == DATA_41
    assert values["model"] == MODEL_41
    assert values["spk"] == {"alice": 0}


@pytest.mark.parametrize("preset", settings.PRESETS)
def test_every_preset_loads_and_survives_the_disk(preset, tmp_path: Path):
    config = build({"svc_jobs.preset": preset})
    configs.save(config, tmp_path / "c.json")
    assert configs.load(tmp_path / "c.json") == config
    assert config.svc_jobs.preset == preset


def test_all_mistakes_are_reported_together_with_unit_and_range():
    changes = {
        "train.batch_size": 0,
        "svc_jobs.steps": -3,
        "svc_jobs.slice.threshold_db": 5.0,
        "svc_jobs.preset": "huge",
    }
    with pytest.raises(ConfigError) as caught:
        build(changes)
    text = str(caught.value)
    for part in ("train.batch_size", "greater than or equal to 1", "clips per step", "svc_jobs.steps", "threshold_db"):
        assert part in text
    assert "'full', 'tiny' or 'toy'" in text
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model.ssl_dim": 100}, "must be 768 channels"),
        ({"model.speech_encoder": "hubertsoft"}, "not supported"),
        ({"train.fp16_run": True}, "bf16"),
        ({"model.upsample_rates": [8, 8, 2, 2]}, "same number of stages"),
        ({"model.upsample_kernel_sizes": [16, 16, 4, 4, 3]}, "not 3 with 2"),
        ({"model.upsample_kernel_sizes": [16, 6, 4, 4, 4]}, "not 6 with 8"),
        ({"model.inter_channels": 191}, "must be even"),
        ({"model.n_speakers": 0}, "n_speakers"),
        ({"svc_jobs.features.f0_predictor": "pm"}, "unknown"),
        ({"svc_jobs.slice.min_interval_ms": 6000}, "min_length_ms >= min_interval_ms"),
        ({"svc_jobs.slice.min_clip_ms": 16_000}, "max_length_ms must be at least min_clip_ms"),
        (MEL_BANDS | {"svc_jobs.features.encoder_backend": "onnx"}, "mel-bands has no network"),
        (MEL_BANDS | {"svc_jobs.features.encoder_precision": "bf16"}, "mel-bands has no network"),
        ({"train.nonsense": 1}, "unknown setting"),
    ],
)
def test_conflicts_and_unknown_keys_are_named(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build(changes)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"spk": {}}', "\xff"])
def test_a_damaged_file_is_one_sentence(content, tmp_path: Path):
    path = tmp_path / "c.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"c\.json"):
        configs.load(path)


def test_a_hand_edit_stays_when_settings_are_given_again():
    edited = build().model_copy(update={"train": build().train.model_copy(update={"c_mel": 30.0})})
    again = build({"train.batch_size": 4}, existing=edited)
    assert again.train.c_mel == 30
    assert again.train.batch_size == 4


def test_another_preset_replaces_only_what_presets_differ_in():
    toy = build({"svc_jobs.preset": "toy", "svc_jobs.loudness.target_lufs": -20.0})
    full = build({"svc_jobs.preset": "full"}, existing=toy)
    assert full.model == build().model
    assert full.svc_jobs.loudness.target_lufs == -20


def test_a_new_speaker_joins_with_the_old_ids_and_a_row_of_its_own():
    one = build()
    two = build(existing=one, ids={"alice": 0, "bob": 1})
    assert two.spk == {"alice": 0, "bob": 1}
    assert two.model.n_speakers == 2
    assert two.training_digest() == one.training_digest(), "adding a speaker continues the same training"


def test_reserved_rows_stay_reserved():
    reserved = build({"model.n_speakers": 10})
    assert build(existing=reserved, ids={"alice": 0, "bob": 1}).model.n_speakers == 10


@pytest.mark.parametrize("path", ["train.batch_size", "train.keep_ckpts", "svc_jobs.steps", "train.eval_interval"])
def test_the_training_digest_ignores_what_may_change_on_resume(path):
    assert build({path: 7}).training_digest() == build().training_digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"model.filter_channels": 512},
        {"svc_jobs.features.f0_predictor": "dio"},
        {"model.speech_encoder": "vec256l9", "model.ssl_dim": 256, "model.gin_channels": 256},
        {"data.n_mel_channels": 64},
    ],
)
def test_the_training_digest_covers_model_data_encoder_and_f0(changes):
    assert build(changes).training_digest() != build().training_digest()


def test_every_numeric_field_of_the_config_says_what_it_is_or_is_41s():
    """A setting of ours must explain itself: its description is the help and part of every error."""
    silent = []

    def visit(block, path):
        for name, field in block.model_fields.items():
            kind = field.annotation
            if hasattr(kind, "model_fields"):
                visit(kind, [*path, name])
            elif path[:1] == ["svc_jobs"] and not field.description and name not in ("format", "voice", "preset"):
                silent.append(".".join([*path, name]))

    visit(Config, [])
    assert silent == []


def test_spk_ids_must_differ():
    values = json.loads(build().model_dump_json())
    values["spk"] = {"a": 0, "b": 0}
    values["model"]["n_speakers"] = 5
    with pytest.raises(ConfigError, match="one id to two speakers"):
        configs.parse(values, "x")


def test_the_same_preset_again_leaves_what_was_edited_since():
    first = settings.build(None, "v", {"v": 0}, {"svc_jobs.preset": "toy"})
    edited = settings.build(first, "v", {"v": 0}, {"train.batch_size": 3})
    assert settings.build(edited, "v", {"v": 0}, {"svc_jobs.preset": "toy"}).train.batch_size == 3
    assert settings.build(edited, "v", {"v": 0}, {"svc_jobs.preset": "tiny"}).train.batch_size != 3


@pytest.mark.parametrize(("seconds", "steps"), [(0, 400), (48, 400), (60, 500), (121, 1009)])
def test_more_minutes_mean_more_steps_and_never_fewer(seconds, steps):
    changes = {"svc_jobs.preset": "toy", "svc_jobs.steps_per_minute": 500}
    config = settings.build(None, "v", {"v": 0}, changes)
    assert settings.with_enough_steps(config, seconds).svc_jobs.steps == steps
    assert settings.with_enough_steps(config, seconds).train == config.train
