import copy

import pytest
import torch
from torch import nn

from svc_core.model.weight_norm import WeightNorm, fold_weight_norm

CONVS = {
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), (2, 4, 20)),
    "conv2d": (lambda: nn.Conv2d(3, 5, (5, 1), (3, 1), padding=(2, 0)), (2, 3, 20, 2)),
    "transposed": (lambda: nn.ConvTranspose1d(4, 3, 8, 4, padding=2), (2, 4, 10)),
}


@pytest.fixture(params=CONVS)
def conv_and_input(request):
    build, shape = CONVS[request.param]
    torch.manual_seed(2)
    return build(), torch.randn(shape)


def test_at_first_it_is_the_convolution(conv_and_input):
    conv, x = conv_and_input
    expected = conv(x)
    torch.testing.assert_close(WeightNorm(copy.deepcopy(conv))(x), expected, rtol=1e-5, atol=1e-6)


def test_names_and_their_order(conv_and_input):
    conv, _ = conv_and_input
    normed = WeightNorm(copy.deepcopy(conv))
    assert list(normed.state_dict()) == ["bias", "weight_g", "weight_v"]
    assert normed.weight_g.shape == (conv.weight.size(0), *[1] * (conv.weight.dim() - 1))


def test_only_the_length_of_g_matters_for_the_weight(conv_and_input):
    conv, _ = conv_and_input
    normed = WeightNorm(conv)
    with torch.no_grad():
        normed.weight_v.mul_(7)
        normed.weight_g.fill_(3)
    lengths = normed.effective_weight().flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, 3))


def test_gradients_are_those_of_the_formula(conv_and_input):
    conv, x = conv_and_input
    normed = WeightNorm(conv)
    normed(x).square().sum().backward()
    g, v = (value.detach().clone().requires_grad_() for value in (normed.weight_g, normed.weight_v))
    weight = g * v / v.flatten(1).norm(dim=1).view(g.shape)
    normed._convolve(x, weight, normed.bias.detach()).square().sum().backward()
    torch.testing.assert_close(normed.weight_g.grad, g.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(normed.weight_v.grad, v.grad, rtol=1e-4, atol=1e-4)


def test_folding_keeps_the_output_and_refuses_what_was_trained(conv_and_input):
    conv, x = conv_and_input
    network = nn.Sequential(WeightNorm(conv))
    state, expected = copy.deepcopy(network.state_dict()), network(x)
    fold_weight_norm(network)
    fold_weight_norm(network)
    assert torch.equal(network(x), expected)
    assert list(network.state_dict()) == ["0.bias", "0.weight"]
    with pytest.raises(RuntimeError, match="weight_g"):
        network.load_state_dict(state)
