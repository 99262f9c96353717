import pickle
import re
import resource
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from svc_core import checkpoint, files, layout
from svc_core.checkpoint import Entry, Snapshot
from svc_core.errors import BadInput, ConfigError, Transient

VOICE = "alto"


def make_snapshot(step: int, epoch: int = 1) -> Snapshot:
    weights = {"weight": torch.full((64,), float(step))}
    network = checkpoint.network_file(weights, {"state": {}, "param_groups": []}, epoch, 1e-4)
    return Snapshot(network, network, {"format": checkpoint.STATE_FORMAT, "step": step, "epoch": epoch})


def save_steps(root: Path, *steps: int, keep: int = 0) -> tuple[Entry, ...]:
    history: tuple[Entry, ...] = ()
    for step in steps:
        history = checkpoint.save(root, VOICE, make_snapshot(step), history, keep)
    return history


def damage(path: Path) -> None:
    """One bit, so that the size stays."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def weights_in(root: Path) -> list[str]:
    return sorted(path.name for path in (root / layout.logs_dir(VOICE)).glob("*.pth"))


def test_nothing_saved_is_no_error(tmp_path: Path):
    assert checkpoint.read_history(tmp_path, VOICE) == ()
    assert checkpoint.newest_whole(tmp_path, VOICE) is None


def test_history_names_three_files_with_hashes_newest_first(tmp_path: Path):
    save_steps(tmp_path, 5, 10)
    history = checkpoint.read_history(tmp_path, VOICE)
    assert [entry.step for entry in history] == [10, 5]
    for entry in history:
        assert tuple(record.key for record in entry.files) == layout.checkpoint_keys(VOICE, entry.step)
        for record in entry.files:
            data = (tmp_path / record.key).read_bytes()
            assert (record.sha256, record.size) == (files.sha256_bytes(data), len(data))


def test_saved_content_comes_back(tmp_path: Path):
    save_steps(tmp_path, 5)
    found = checkpoint.newest_whole(tmp_path, VOICE)
    assert found is not None
    loaded, saved = checkpoint.load(tmp_path, found.entry), make_snapshot(5)
    assert loaded.state == saved.state
    assert torch.equal(loaded.generator["model"]["weight"], saved.generator["model"]["weight"])
    assert set(loaded.generator) == {"model", "iteration", "optimizer", "learning_rate"}


def test_equal_content_gives_equal_bytes(tmp_path: Path):
    first, second = tmp_path / "first", tmp_path / "second"
    for record, other in zip(save_steps(first, 5)[0].files, save_steps(second, 5)[0].files, strict=True):
        assert record.sha256 == other.sha256


@settings(deadline=None, max_examples=20)
@given(steps=st.lists(st.integers(1, 50), min_size=1, max_size=6, unique=True), keep=st.integers(0, 4))
def test_the_newest_by_step_are_kept(tmp_path_factory, steps, keep):
    root = tmp_path_factory.mktemp("keep")
    save_steps(root, *steps[:-1])
    history = checkpoint.save(root, VOICE, make_snapshot(steps[-1]), checkpoint.read_history(root, VOICE), keep)
    expected = sorted(steps, reverse=True)[: keep or None]
    assert [entry.step for entry in history] == expected
    assert checkpoint.read_history(root, VOICE) == history
    assert weights_in(root) == sorted(f"{kind}_{step}.pth" for kind in ("G", "D", "state") for step in expected)


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("harm", ["damaged", "half", "gone"])
def test_damaged_newest_falls_back_to_the_one_before(tmp_path: Path, number: int, harm: str):
    history = save_steps(tmp_path, 5, 10)
    path = tmp_path / history[0].files[number].key
    if harm == "damaged":
        damage(path)
    elif harm == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.unlink()
    found = checkpoint.newest_whole(tmp_path, VOICE)
    assert found is not None
    assert found.entry.step == 5
    assert found.notes == (f"checkpoint 10 is not used: {history[0].files[number].key} is missing or damaged",)


def test_damaged_newer_one_goes_when_training_went_on(tmp_path: Path):
    history = save_steps(tmp_path, 5, 10)
    damage(tmp_path / history[0].generator.key)
    found = checkpoint.newest_whole(tmp_path, VOICE)
    assert found is not None
    after = checkpoint.save(tmp_path, VOICE, make_snapshot(8), (found.entry, *found.older), 3)
    assert [entry.step for entry in after] == [8, 5]
    assert "G_10.pth" not in weights_in(tmp_path)


def test_all_damaged_is_an_error_and_never_a_fresh_start(tmp_path: Path):
    for entry in save_steps(tmp_path, 5, 10):
        damage(tmp_path / entry.discriminator.key)
    with pytest.raises(BadInput, match=r"none of the 2 checkpoints .* is whole .*D_10\.pth.*start over"):
        checkpoint.newest_whole(tmp_path, VOICE)


@pytest.mark.parametrize("content", [b"", b"{", b'{"checkpoints": 3}'])
def test_damaged_latest_json_is_an_error_and_never_a_fresh_start(tmp_path: Path, content: bytes):
    save_steps(tmp_path, 5)
    (tmp_path / layout.latest_key(VOICE)).write_bytes(content)
    with pytest.raises(BadInput, match=r"latest\.json is damaged: restore it"):
        checkpoint.newest_whole(tmp_path, VOICE)


def test_files_of_a_killed_save_count_for_nothing_and_go_with_the_next(tmp_path: Path):
    history = save_steps(tmp_path, 5)
    logs = tmp_path / layout.logs_dir(VOICE)
    (logs / "state_7.pth").write_bytes(b"whole")
    (logs / "G_7.pth").write_bytes(b"half")
    found = checkpoint.newest_whole(tmp_path, VOICE)
    assert found is not None
    assert found.entry.step == 5
    checkpoint.save(tmp_path, VOICE, make_snapshot(8), history, 0)
    assert not list(logs.glob("*_7.pth"))


def test_weights_that_a_user_put_there_stay(tmp_path: Path):
    logs = tmp_path / layout.logs_dir(VOICE)
    logs.mkdir(parents=True)
    for name in ("G_0.pth", "D_0.pth", "G_80000.pth"):
        (logs / name).write_bytes(b"the user's")
    save_steps(tmp_path, 5, 10, keep=1)
    assert {"G_0.pth", "D_0.pth", "G_80000.pth"} < set(weights_in(tmp_path))


def test_full_disk_leaves_the_checkpoint_before_valid(tmp_path: Path):
    history = save_steps(tmp_path, 5)
    large = make_snapshot(10)
    large.generator["model"]["weight"] = torch.zeros(200_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow above 64 kB, which is what a full disk looks like from here: the state fits, the weights do not.
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, before[1]))
    try:
        with pytest.raises(Transient, match=r"no space left .*free some disk space"):
            checkpoint.save(tmp_path, VOICE, large, history, 3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert checkpoint.read_history(tmp_path, VOICE) == history
    found = checkpoint.newest_whole(tmp_path, VOICE)
    assert found is not None
    assert found.entry.step == 5
    assert not list((tmp_path / layout.logs_dir(VOICE)).glob(".tmp-*"))


class Payload:
    """Makes a file where unpickling runs code."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_code_in_a_weights_file_is_not_run(tmp_path: Path):
    path, target = tmp_path / "G_0.pth", tmp_path / "owned"
    torch.save({"model": {}, "extra": Payload(target)}, path)
    with pytest.raises(BadInput, match="cannot be read as plain weights"):
        checkpoint.read(path)
    path.write_bytes(pickle.dumps(Payload(target), protocol=2))
    with pytest.raises(BadInput, match="cannot be read as plain weights"):
        checkpoint.read(path)
    assert not target.exists()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 no zip"])
def test_what_is_no_weights_file_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "G_0.pth"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=re.escape(str(path))):
        checkpoint.read(path)


def test_absent_weights_file_is_named(tmp_path: Path):
    with pytest.raises(BadInput, match=r"G_0\.pth does not exist"):
        checkpoint.read(tmp_path / "G_0.pth")


def test_state_of_another_format_is_refused(tmp_path: Path):
    snapshot = make_snapshot(5)
    snapshot.state["format"] = 99
    (entry,) = checkpoint.save(tmp_path, VOICE, snapshot, (), 0)
    with pytest.raises(ConfigError, match="format 99"):
        checkpoint.load(tmp_path, entry)


SAVED = {"step": 7, "settings": {"model": {"n_layers": 6, "kernel": 3}, "hop": 512}, "speakers": {"a": 0, "b": 1}}


def test_same_settings_and_more_speakers_may_go_on():
    checkpoint.check_same_training(SAVED, SAVED["settings"], {"a": 0, "b": 1, "c": 2})


@pytest.mark.parametrize(
    ("settings", "speakers", "sentence"),
    [
        ({"model": {"n_layers": 4, "kernel": 3}, "hop": 512}, {"a": 0, "b": 1}, "model.n_layers was 6 and is 4"),
        ({"model": {"kernel": 3}, "hop": 512}, {"a": 0, "b": 1}, "model.n_layers was 6 and is None"),
        (SAVED["settings"], {"a": 0, "b": 2}, "speaker 'b' had id 1 and is 2"),
        (SAVED["settings"], {"a": 0}, "speaker 'b' had id 1 and is no longer in the config"),
    ],
)
def test_other_settings_or_ids_are_named(settings, speakers, sentence):
    with pytest.raises(ConfigError, match=f"checkpoint of step 7: {sentence}: set it back"):
        checkpoint.check_same_training(SAVED, settings, speakers)


def speaker_network(rows: int) -> dict:
    table = torch.arange(rows * 3.0).reshape(rows, 3)
    moments = {"step": torch.tensor(4.0), "exp_avg": table + 1, "exp_avg_sq": table + 2}
    optimizer = {"state": {0: {"exp_avg": torch.ones(rows, 3)}, 1: moments}, "param_groups": []}
    return checkpoint.network_file({"other": torch.ones(rows, 3), checkpoint.SPEAKER_TABLE: table}, optimizer, 1, 1e-4)


def test_more_speakers_keep_old_rows_and_moments():
    network, fresh = speaker_network(2), torch.full((4, 3), -1.0)
    checkpoint.grow_speakers(network, fresh, index=1)
    old = speaker_network(2)
    table = network["model"][checkpoint.SPEAKER_TABLE]
    assert torch.equal(table, torch.cat([old["model"][checkpoint.SPEAKER_TABLE], fresh[2:]]))
    for name in ("exp_avg", "exp_avg_sq"):
        moments = network["optimizer"]["state"][1][name]
        assert torch.equal(moments, torch.cat([old["optimizer"]["state"][1][name], torch.zeros(2, 3)]))
    assert network["optimizer"]["state"][1]["step"] == 4
    assert network["optimizer"]["state"][0]["exp_avg"].shape == (2, 3)
    assert network["model"]["other"].shape == (2, 3)


def test_fewer_speaker_rows_than_saved_are_refused():
    with pytest.raises(ConfigError, match="n_speakers is 1, but the checkpoint has 2"):
        checkpoint.grow_speakers(speaker_network(2), torch.zeros(1, 3), index=1)
