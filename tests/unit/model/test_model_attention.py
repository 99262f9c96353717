import pytest
import torch
from torch.nn import functional as F

from svc_core.config import ModelBlock
from svc_core.model.attention import CausalDecoder, FeedForward, RelativeEncoder, SelfAttention, _PositiveDropout

SMALL = ModelBlock(hidden_channels=8, filter_channels=12, n_heads=2, n_layers=2, kernel_size=3, p_dropout=0.1)


def naive_attention(attend: SelfAttention, x: torch.Tensor) -> torch.Tensor:
    """Shaw et al. eqs. 3-4 as they stand: each pair of frames with its own key and value, none where far apart."""
    heads, window = attend.heads, attend.window_frames
    batch, channels, frames = x.shape
    depth = channels // heads
    query, key, value = (
        conv(x).view(batch, heads, depth, frames) for conv in (attend.conv_q, attend.conv_k, attend.conv_v)
    )
    out = torch.zeros(batch, heads, depth, frames)
    for i in range(frames):
        keys, values = key.clone(), value.clone()
        for j in range(max(0, i - window), min(frames, i + window + 1)):
            keys[..., j] += attend.emb_rel_k[0, j - i + window]
            values[..., j] += attend.emb_rel_v[0, j - i + window]
        weights = (torch.einsum("bhd,bhdf->bhf", query[..., i], keys) / depth**0.5).softmax(-1)
        out[..., i] = torch.einsum("bhf,bhdf->bhd", weights, values)
    return attend.conv_o(out.reshape(batch, channels, frames))


@pytest.mark.parametrize("frames", [1, 3, 5, 12])
def test_relative_attention_is_the_paper_s(frames):
    torch.manual_seed(1)
    attend = SelfAttention(SMALL, window_frames=4).eval()
    x = torch.randn(2, 8, frames)
    with torch.no_grad():
        # Sums of a dozen float32 products of order 1.
        torch.testing.assert_close(attend(x, torch.zeros(())), naive_attention(attend, x), rtol=1e-5, atol=1e-5)


def test_padding_changes_nothing_for_the_encoder():
    torch.manual_seed(1)
    encoder = RelativeEncoder(SMALL).eval()
    x = torch.randn(1, 8, 11)
    padded = F.pad(x, (0, 6), value=3.0)
    mask = F.pad(torch.ones(1, 1, 11), (0, 6))
    with torch.no_grad():
        alone, among = encoder(x, torch.ones(1, 1, 11)), encoder(padded, mask)
    torch.testing.assert_close(among[..., :11], alone, rtol=1e-5, atol=1e-5)
    assert (among[..., 11:] == 0).all()


def test_the_decoder_sees_no_later_frame():
    torch.manual_seed(1)
    decoder = CausalDecoder(SMALL).eval()
    x, mask = torch.randn(1, 8, 9), torch.ones(1, 1, 9)
    changed = x.clone()
    changed[..., 5:] += 1
    with torch.no_grad():
        before, after = decoder(x, mask), decoder(changed, mask)
    assert torch.equal(before[..., :5], after[..., :5])
    assert not torch.allclose(before[..., 5:], after[..., 5:])


def test_the_decoder_starts_with_keys_equal_to_queries():
    for attend in CausalDecoder(SMALL).self_attn_layers:
        assert torch.equal(attend.conv_k.weight, attend.conv_q.weight)
        assert torch.equal(attend.conv_k.bias, attend.conv_q.bias)


@pytest.mark.parametrize("drop", [0.0, 0.3])
def test_positive_dropout_is_dropout_of_relu(drop):
    """Value, gradient and random draws are those of the plain operations."""
    mask = F.pad(torch.ones(2, 1, 30), (0, 7))
    plain = torch.randn(2, 5, 37, requires_grad=True)
    lean = plain.detach().clone().requires_grad_()
    weights = torch.randn(2, 5, 37)
    torch.manual_seed(3)
    expected = F.dropout(plain.relu(), drop) * mask
    torch.manual_seed(3)
    value = _PositiveDropout.apply(lean, mask, drop)
    assert torch.equal(value, expected)
    (expected * weights).sum().backward()
    (value * weights).sum().backward()
    # 1 / (1 - drop) is multiplied once here, in float32; twice rounded there.
    torch.testing.assert_close(lean.grad, plain.grad, rtol=1e-6, atol=0)


def test_dropout_behind_a_softmax():
    scores = torch.randn(3, 6, 6).double().requires_grad_()

    def attention(values):
        torch.manual_seed(5)
        return _PositiveDropout.apply(values.softmax(-1), None, 0.4)

    assert torch.autograd.gradcheck(attention, (scores,))


@pytest.mark.parametrize("causal", [False, True])
def test_feed_forward_is_masked_and_keeps_the_frames(causal):
    feed = FeedForward(SMALL, causal=causal).eval()
    mask = F.pad(torch.ones(1, 1, 5), (0, 3))
    x = torch.randn(1, 8, 8)
    with torch.no_grad():
        out = feed(x, mask)
        longer = feed(F.pad(x, (0, 4), value=9.0), F.pad(mask, (0, 4)))
    assert out.shape == x.shape
    assert (out[..., 5:] == 0).all()
    torch.testing.assert_close(longer[..., :8], out)
