from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from training_workspace import make_config

from svc_core import checkpoint
from svc_core.errors import BadInput, ConfigError
from svc_core.training.base import Base, load_base
from svc_core.training.state import build_state


def networks(**changes: Any):
    state = build_state(make_config(**changes), torch.device("cpu"))
    return state.generator, state.discriminator


def write_base(folder: Path, edit: Callable[[dict, dict], None] = lambda g, d: None, **changes: Any) -> Base:
    """Base files of networks from another seed, after `edit` of their tensors."""
    generator, discriminator = networks(train__seed=99, **changes)
    tensors = dict(generator.state_dict()), dict(discriminator.state_dict())
    edit(*tensors)
    base = Base(folder / "G_0.pth", folder / "D_0.pth")
    for path, model in zip((base.generator, base.discriminator), tensors, strict=True):
        torch.save(checkpoint.network_file(model, {}, 0, 1e-4), path)
    return base


def test_every_tensor_is_taken(tmp_path: Path):
    base = write_base(tmp_path)
    mine = networks()
    notes = load_base(*mine, base)
    for network, path in zip(mine, (base.generator, base.discriminator), strict=True):
        saved = checkpoint.read(path)["model"]
        assert all(torch.equal(tensor, saved[name]) for name, tensor in network.state_dict().items())
        assert f"base weights from {path.name}: {len(saved)} tensors" in notes


def test_expected_differences_are_listed_and_kept_fresh(tmp_path: Path):
    """A slim fp16 release of another set of speakers, from before volume embedding."""

    def slim(g: dict, d: dict) -> None:
        for name in list(g):
            if name.startswith(("enc_q.", "emb_vol.")):
                del g[name]
            else:
                g[name] = g[name].half()

    base = write_base(tmp_path, slim, model__n_speakers=5)
    generator, discriminator = networks()
    fresh = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    note = load_base(generator, discriminator, base)[0]
    saved = checkpoint.read(base.generator)["model"]
    for name, tensor in generator.state_dict().items():
        kept = name == "emb_g.weight" or name.startswith(("enc_q.", "emb_vol."))
        assert torch.equal(tensor, fresh[name] if kept else saved[name].float()), name
        assert (f" {name} (" in note) == kept
    assert "emb_g.weight (5 there, 1 here)" in note


@pytest.mark.parametrize(
    ("edit", "changes", "sentence"),
    [
        (lambda g, d: g.pop("pre.bias"), {}, r"pre\.bias is absent and must be \[16\]"),
        (lambda g, d: g.update(odd=torch.zeros(1)), {}, "odd is not in the network"),
        (lambda g, d: g.update({"pre.bias": torch.zeros(3)}), {}, r"pre\.bias is \[3\] and must be \[16\]"),
        (lambda g, d: g.update({"emb_g.weight": torch.zeros(1, 7)}), {}, r"emb_g\.weight is \[1, 7\]"),
        (lambda g, d: d.pop("discriminators.0.conv_post.bias"), {}, r"D_0\.pth .*conv_post\.bias is absent"),
        (lambda g, d: None, {"model__hidden_channels": 24}, r"G_0\.pth does not fit .* and \d+ more: give a base"),
    ],
)
def test_any_other_difference_is_refused_and_changes_nothing(tmp_path: Path, edit, changes, sentence):
    base = write_base(tmp_path, edit, **changes)
    mine = networks()
    before = [{name: tensor.clone() for name, tensor in network.state_dict().items()} for network in mine]
    with pytest.raises(ConfigError, match=sentence):
        load_base(*mine, base)
    for network, tensors in zip(mine, before, strict=True):
        assert all(torch.equal(tensor, tensors[name]) for name, tensor in network.state_dict().items())


def test_a_file_without_weights_is_refused(tmp_path: Path):
    base = write_base(tmp_path)
    torch.save({"weights": {}}, base.generator)
    with pytest.raises(ConfigError, match="holds no weights under the key 'model'"):
        load_base(*networks(), base)
    base.generator.unlink()
    with pytest.raises(BadInput, match=r"G_0\.pth does not exist"):
        load_base(*networks(), base)
