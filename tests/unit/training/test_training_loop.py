import json
import math
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_workspace import (
    VOICE,
    add_speaker,
    checkpoint_hashes,
    make_config,
    make_workspace,
    run_training,
    write_lists,
)

from svc_core import checkpoint, layout
from svc_core.batches import CorruptClip
from svc_core.config import TrainBlock
from svc_core.device import resolve_device
from svc_core.errors import BadInput, ConfigError, Diverged
from svc_core.training.base import Base
from svc_core.training.state import build_state, learning_rate
from svc_core.training.step import StepLosses

# disc, gen, fm, mel, kl, lf0, total, grad_norm_d, grad_norm_g of the ten steps. Other kernels (SSE4.1 to AVX-512, with
# and without oneDNN, one and two threads) were measured to differ by at most 8e-6 relative; a factor of ten on that.
KNOWN_RTOL = 1e-4
KNOWN_LOSSES = [
    (5.968933, 5.765999, 0.985101, 216.8647, 125.4544, 0.1286425, 349.1988, 5.737808, 7539.891),
    (5.790055, 5.588578, 0.9808927, 214.9913, 22.22708, 0.04416593, 243.832, 5.583305, 450.9174),
    (5.615767, 5.399914, 0.9774206, 214.4411, 20.38173, 0.02902971, 241.2292, 5.460032, 445.6149),
    (5.434554, 5.197413, 0.9828017, 211.3073, 25.32217, 0.07243988, 242.8822, 5.379024, 767.2402),
    (5.243347, 4.97953, 0.997507, 211.8647, 14.68543, 0.06316104, 232.5903, 5.272789, 270.0124),
    (5.040925, 4.735008, 1.016722, 210.0833, 13.04763, 0.02707542, 228.9097, 5.198123, 260.5832),
    (4.821482, 4.461938, 1.053252, 210.948, 11.45899, 0.0276128, 227.9498, 5.11587, 206.7914),
    (4.583397, 4.149484, 1.093587, 210.8524, 9.253818, 0.01489056, 225.3641, 5.024926, 183.5926),
    (4.319272, 3.791036, 1.162176, 209.5564, 8.374126, 0.02209622, 222.9059, 4.931413, 168.6241),
    (4.032653, 3.384384, 1.255373, 206.5877, 8.090137, 0.01385367, 219.3315, 4.767137, 160.5439),
]


def metrics(root: Path) -> list[dict]:
    return [json.loads(line) for line in (root / layout.metrics_key(VOICE)).read_text().splitlines()]


def test_ten_steps_have_known_losses(workspace: Path):
    reports = []
    result = run_training(workspace, make_config(), on_step=reports.append)
    for report, known in zip(reports, KNOWN_LOSSES, strict=True):
        assert report.losses == pytest.approx(StepLosses(*known), rel=KNOWN_RTOL)
    assert [report.epoch for report in reports] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert (result.step, result.epoch, result.steps_done) == (10, 5, 10)
    assert result.checkpoint == layout.checkpoint_keys(VOICE, 10).generator
    assert [entry.step for entry in checkpoint.read_history(workspace, VOICE)] == [10, 5]
    check_log(workspace, reports)


def check_log(workspace: Path, reports: list) -> None:
    """The same numbers under the same names in metrics.jsonl (means of two steps) and in TensorBoard."""
    rows = metrics(workspace)
    assert [row["step"] for row in rows] == [2, 4, 6, 8, 10]
    events = EventAccumulator(str(workspace / layout.logs_dir(VOICE)))
    events.Reload()
    for name in StepLosses._fields:
        pairs = zip(reports[::2], reports[1::2], strict=True)
        means = [(getattr(a.losses, name) + getattr(b.losses, name)) / 2 for a, b in pairs]
        # Written with six significant digits.
        assert [row[name] for row in rows] == pytest.approx(means, rel=5e-6)
        scalars = events.Scalars(name)
        assert [scalar.step for scalar in scalars] == [2, 4, 6, 8, 10]
        assert [scalar.value for scalar in scalars] == pytest.approx(means, rel=1e-6)
    for row, report in zip(rows, reports[1::2], strict=True):
        assert row["epoch"] == report.epoch
        assert row["learning_rate"] == pytest.approx(1e-3 * 0.999875 ** (report.epoch - 1), rel=5e-6)
        assert row["steps_per_s"] > 0
        assert 0 <= row["data_wait_share"] <= 1
    assert [sound.step for sound in events.Audio("validation")] == [5, 10]
    assert [scalar.step for scalar in events.Scalars("validation_mel")] == [5, 10]


def test_checkpoint_is_of_4_1s_form(workspace: Path):
    run_training(workspace, make_config(svc_jobs__steps=3))
    keys = layout.checkpoint_keys(VOICE, 3)
    for key in (keys.generator, keys.discriminator):
        saved = torch.load(workspace / key, weights_only=True)
        assert list(saved) == ["model", "iteration", "optimizer", "learning_rate"]
        # Two batches make an epoch: step 3 is in epoch 2. The rate is the undecayed one.
        assert (saved["iteration"], saved["learning_rate"]) == (2, 1e-3)
        (group,) = saved["optimizer"]["param_groups"]
        assert group["params"] == list(range(len(saved["model"])))
        assert group["initial_lr"] == 1e-3
        assert {"lr", "betas", "eps", "weight_decay", "amsgrad", "maximize", "foreach", "capturable"} < set(group)
        for number, tensor in enumerate(saved["model"].values()):
            moments = saved["optimizer"]["state"][number]
            assert set(moments) == {"step", "exp_avg", "exp_avg_sq"}
            assert moments["exp_avg"].shape == moments["exp_avg_sq"].shape == tensor.shape
            assert moments["step"].shape == ()


def test_finished_training_loads_nothing(workspace: Path):
    config = make_config(svc_jobs__steps=2)
    run_training(workspace, config)
    # Proof: networks could not be built from these lists.
    (workspace / layout.TRAIN_LIST).unlink()
    result = run_training(workspace, config)
    assert (result.step, result.steps_done, result.losses) == (2, 0, None)
    assert result.notes == ("already trained: 2 of 2 steps are done",)
    with pytest.raises(ConfigError, match=r"model\.filter_channels was 32 and is 48"):
        run_training(workspace, make_config(svc_jobs__steps=2, model__filter_channels=48))


def test_epochs_may_end_training_before_steps_do(workspace: Path):
    config = make_config(train__epochs=2)
    assert run_training(workspace, config).step == 4
    assert run_training(workspace, config).steps_done == 0
    assert run_training(workspace, make_config(train__epochs=3)).step == 6


def test_bf16_stays_close_to_fp32(workspace: Path, tmp_path: Path):
    # Without dropout, whose draws depend on the type, both see the same random numbers.
    settings = {"svc_jobs__steps": 2, "model__p_dropout": 0.0}
    fp32, bf16 = [], []
    run_training(workspace, make_config(**settings), on_step=fp32.append)
    other = tmp_path / "other"
    make_workspace(other)
    run_training(other, make_config(train__fp16_run=True, train__half_type="bf16", **settings), on_step=bf16.append)
    for ours, theirs in zip(bf16, fp32, strict=True):
        assert ours.losses != theirs.losses
        # bf16 keeps 8 bits, 2^-9 = 0.2 % per rounding; ten layers' roundings in a row, were they all of one sign.
        for name in ("disc", "gen", "fm", "kl", "lf0"):
            assert getattr(ours.losses, name) == pytest.approx(getattr(theirs.losses, name), rel=0.02), name
        # An untrained network makes a tone of 0.01 on an offset of 0.1, which bf16 rounds to steps of 2^-12: that noise
        # fills bands that are empty in fp32, by up to ln 2 where it is as strong as they are, of a distance of about 2.
        assert ours.losses.mel == pytest.approx(theirs.losses.mel, rel=0.35)
    tensors = torch.load(other / layout.checkpoint_keys(VOICE, 2).generator, weights_only=True)["model"]
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}


def test_base_weights_are_where_training_starts(workspace: Path, tmp_path: Path):
    run_training(workspace, make_config(svc_jobs__steps=1))
    logs = workspace / layout.logs_dir(VOICE)
    base = Base(logs / "G_1.pth", logs / "D_1.pth")
    other = tmp_path / "other"
    make_workspace(other)
    reports = []
    config = make_config(svc_jobs__steps=1)
    result = run_training(other, config, base=base, on_step=reports.append)
    assert result.notes[0].startswith("base weights from G_1.pth")
    assert reports[0].notes == result.notes
    # The second step's weights on the first step's clips.
    assert reports[0].losses.mel < KNOWN_LOSSES[0][3]
    again = run_training(other, make_config(svc_jobs__steps=2), base=base)
    assert "the base weights are not loaded: training goes on from its own checkpoint" in again.notes


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_diverged_training_stops_without_saving(workspace: Path, tmp_path: Path, network: str):
    state = build_state(make_config(), torch.device("cpu"))
    base = Base(tmp_path / "G_0.pth", tmp_path / "D_0.pth")
    with torch.no_grad():
        next(getattr(state, network).parameters()).fill_(math.inf)
    torch.save({"model": state.generator.state_dict()}, base.generator)
    torch.save({"model": state.discriminator.state_dict()}, base.discriminator)
    with pytest.raises(Diverged, match=r"diverged at step 1: .* not finite.*lower train\.learning_rate \(now 0\.001\)"):
        run_training(workspace, make_config(), base=base)
    assert checkpoint.read_history(workspace, VOICE) == ()


def test_too_little_gpu_memory_says_which_setting_to_lower(workspace: Path):
    def fill_memory(report):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(ConfigError, match=r"too small for 3 clips per step: lower train\.batch_size"):
        run_training(workspace, make_config(), on_step=fill_memory)


def test_corrupt_sidecar_is_named(workspace: Path):
    key = layout.wav_key(VOICE, "clip-2")
    (workspace / layout.sidecar_keys(key).content).write_bytes(b"")
    with pytest.raises(CorruptClip, match=r"clip-2\.wav\.soft\.pt") as raised:
        run_training(workspace, make_config())
    assert raised.value.wav_key == key


@pytest.mark.parametrize("missing", [layout.TRAIN_LIST, layout.VAL_LIST])
def test_missing_or_empty_list_is_named(workspace: Path, missing: str):
    (workspace / missing).write_text("\n")
    with pytest.raises(BadInput, match=f"{missing} is empty: run the filelists stage again"):
        run_training(workspace, make_config())
    (workspace / missing).unlink()
    with pytest.raises(BadInput, match=f"{missing} does not exist: run the filelists stage first"):
        run_training(workspace, make_config())


def test_devices_by_name():
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ConfigError, match="'tpu' is unknown"):
        resolve_device("tpu")
    if torch.cuda.is_available():
        assert resolve_device("cuda").type == "cuda"
    else:
        with pytest.raises(ConfigError, match="torch sees no GPU"):
            resolve_device("cuda")


@pytest.mark.parametrize("warmup_epochs", [0, 1, 4])
def test_learning_rate_is_4_1s(warmup_epochs: int):
    """4.1 steps an ExponentialLR after each epoch, and overwrites its rate during warm-up."""
    train = TrainBlock(warmup_epochs=warmup_epochs, lr_decay=0.9)
    optimizer = torch.optim.AdamW([torch.zeros(1)], lr=train.learning_rate)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, train.lr_decay)
    for epoch in range(1, 12):
        if epoch <= warmup_epochs:
            optimizer.param_groups[0]["lr"] = train.learning_rate / warmup_epochs * epoch
        assert learning_rate(train, epoch) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        scheduler.step()


def test_checkpoints_are_kept_as_set(workspace: Path):
    run_training(workspace, make_config(train__eval_interval=1, train__keep_ckpts=2, svc_jobs__steps=4))
    assert [entry.step for entry in checkpoint.read_history(workspace, VOICE)] == [4, 3]
    assert len(list((workspace / layout.logs_dir(VOICE)).glob("*.pth"))) == 6


def test_new_speaker_joins_with_the_old_rows_kept(workspace: Path):
    run_training(workspace, make_config(svc_jobs__steps=2))
    old = torch.load(workspace / layout.checkpoint_keys(VOICE, 2).generator, weights_only=True)
    keys = [layout.wav_key(VOICE, f"clip-{index}") for index in range(7)]
    write_lists(workspace, add_speaker(workspace, "bass") + keys)
    two = {"spk": {VOICE: 0, "bass": 1}, "model__n_speakers": 2}
    with pytest.raises(ConfigError, match=r"all 2 steps were trained before bass joined: raise svc_jobs\.steps"):
        run_training(workspace, make_config(svc_jobs__steps=2, **two))
    result = run_training(workspace, make_config(svc_jobs__steps=3, **two))
    assert "new speakers, whose rows start fresh: bass" in result.notes
    assert any("epoch 1 starts over with the new list" in note for note in result.notes)
    grown = torch.load(workspace / layout.checkpoint_keys(VOICE, 3).generator, weights_only=True)
    table = grown["model"]["emb_g.weight"]
    # AdamW's update is at most about lr / (1 - beta1) per weight and step, here 1e-3 / 0.2, plus decay of 1e-5.
    assert (table[0] - old["model"]["emb_g.weight"][0]).abs().max() <= 5.1e-3
    number = list(grown["model"]).index("emb_g.weight")
    assert grown["optimizer"]["state"][number]["exp_avg"].shape == table.shape == (2, 80)
    assert grown["optimizer"]["state"][number]["step"] == 3
    with pytest.raises(ConfigError, match="speaker 'alto' had id 0 and is 1"):
        run_training(workspace, make_config(svc_jobs__steps=4, spk={"bass": 0, VOICE: 1}, model__n_speakers=2))
    assert checkpoint_hashes(workspace, 2)
