"""Tensor names, shapes, order and the golden weights."""

import numpy as np
import pytest
from model_goldens import arrays, case, fill, shapes

from svc_core.config import DataBlock, ModelBlock
from svc_core.model.discriminator import Discriminator
from svc_core.model.generator import Generator


def listed(network) -> list[tuple[str, list[int]]]:
    return [(key, list(value.shape)) for key, value in network.state_dict().items()]


@pytest.mark.parametrize(("vol_embedding", "name"), [(True, "state_dict_G"), (False, "state_dict_G_novol")])
def test_generator_has_the_reference_tensors_in_their_order(vol_embedding, name):
    network = Generator(ModelBlock(vol_embedding=vol_embedding), DataBlock(), 20)
    assert listed(network) == list(shapes(name).items())
    # The optimizer counts parameters in this order, so its state is interchangeable too.
    assert [key for key, _ in network.named_parameters()] == list(shapes(name))


def test_discriminator_has_the_reference_tensors_in_their_order():
    network = Discriminator()
    assert listed(network) == list(shapes("state_dict_D").items())
    assert [key for key, _ in network.named_parameters()] == list(shapes("state_dict_D"))


@pytest.mark.parametrize("name", ["net_tiny_vol", "net_tiny_novol", "net_full_vol"])
def test_golden_weights_fill_every_tensor(name):
    golden = arrays(name)
    tensors = case(name).generator().state_dict()
    assert len(tensors) == golden["n_tensors"]
    filled = [tensors[str(key)].double() for key in golden["fill_keys"]]
    # The same float32 values summed in double: equal to the last places of a double sum.
    np.testing.assert_allclose([float(tensor.sum()) for tensor in filled], golden["fill_sum"], rtol=1e-9)
    np.testing.assert_allclose([float(tensor.flatten()[0]) for tensor in filled], golden["fill_first"], rtol=1e-7)


def test_only_the_speaker_table_depends_on_the_number_of_speakers():
    few, many = (dict(listed(Generator(ModelBlock(n_speakers=n), DataBlock(), 20))) for n in (1, 7))
    assert {key for key in few if few[key] != many[key]} == {"emb_g.weight"}


@pytest.mark.parametrize("divisor", [1, 2, 3, 5, 8, 16, 32])
def test_a_divided_discriminator_keeps_its_names(divisor):
    network = Discriminator(divisor)
    assert list(network.state_dict()) == list(shapes("state_dict_D"))
    fill(network, 1)
