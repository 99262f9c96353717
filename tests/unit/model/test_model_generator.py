import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from svc_core.config import DataBlock, ModelBlock
from svc_core.errors import ConfigError, SvcError
from svc_core.model.discriminator import Discriminator
from svc_core.model.flow import Flow
from svc_core.model.generator import Generator, GeneratorOutput, InferOutput
from svc_core.settings import PRESETS

SMALL = ModelBlock(
    inter_channels=8,
    hidden_channels=8,
    filter_channels=12,
    n_layers=1,
    n_flow_layer=2,
    resblock_kernel_sizes=(3,),
    resblock_dilation_sizes=((1, 3),),
    upsample_initial_channel=32,
    gin_channels=6,
    ssl_dim=6,
    n_speakers=2,
    vol_embedding=True,
)


def small(**changes) -> Generator:
    torch.manual_seed(0)
    return Generator(SMALL.model_copy(update=changes), DataBlock(), 20)


def inputs(frames: int = 24, rows: int = 2) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(7)
    return {
        "c": torch.randn(rows, 6, frames, generator=draw),
        "f0": torch.full((rows, frames), 220.0),
        "spec": torch.rand(rows, 1025, frames, generator=draw),
        "lengths": torch.full((rows,), frames),
        "spk": torch.arange(rows).unsqueeze(1) % 2,
        "uv": torch.ones(rows, frames),
        "volume": torch.rand(rows, frames, generator=draw),
    }


def infer(network: Generator, **options) -> InferOutput:
    given_inputs = inputs()
    keys = ("c", "f0", "uv", "spk", "volume")
    arguments = {key: options.pop(key, given_inputs[key]) for key in keys}
    return network.eval().infer(**arguments, noise_scale=0.4, **options)


@settings(max_examples=10, deadline=None)
@given(frames=st.integers(1, 30), share=st.booleans(), depthwise=st.booleans())
def test_the_flow_returns(frames, share, depthwise):
    flow = Flow(SMALL.model_copy(update={"flow_share_parameter": share, "use_depthwise_conv": depthwise}))
    with torch.no_grad():
        for param in flow.parameters():
            param.normal_(std=0.3)
        x, g, mask = torch.randn(2, 8, frames), torch.randn(2, 6, 1), torch.ones(2, 1, frames)
        # Four additions and subtractions of the same shifts, of order 1 to 10.
        torch.testing.assert_close(flow.inverse(flow(x, mask, g), mask, g), x, rtol=1e-4, atol=1e-4)


def test_a_fresh_flow_does_nothing_but_mask():
    x = torch.randn(2, 8, 5)
    assert torch.equal(Flow(SMALL)(x, torch.ones(2, 1, 5), torch.randn(2, 6, 1)), x)


def test_padding_does_not_reach_a_row():
    network = small().eval()
    batch = inputs(frames=30)
    batch["lengths"] = torch.tensor([30, 22])
    alone = {key: value[1:] if key in ("spk", "lengths") else value[1:, ..., :22] for key, value in batch.items()}
    spoiled = dict(batch)
    for key in ("c", "spec"):
        spoiled[key] = batch[key].clone()
        spoiled[key][1, :, 22:] = 50
    with torch.no_grad():
        torch.manual_seed(1)
        among = network(**spoiled)
        torch.manual_seed(1)
        single = network(**alone)
    # The mean of the pitch decoder's drawn factor and the noise differ, what is not drawn does not; `pre` looks two
    # frames ahead, so the last two frames of a row may see what stands behind it.
    for name in ("m_q", "logs_q"):
        torch.testing.assert_close(getattr(among, name)[1:, :, :22], getattr(single, name), rtol=1e-4, atol=1e-5)
        assert (getattr(among, name)[1, :, 22:] == 0).all()


def test_every_tensor_learns():
    network = small()
    output = network(**inputs())
    assert output.audio.shape == (2, 1, 20 * 512)
    sum(value.square().sum() for value in output if value is not None and value.requires_grad).backward()
    assert [key for key, param in network.named_parameters() if param.grad is None] == []


def test_pitch_does_not_shape_the_content():
    network = small()
    network(**inputs()).pred_lf0.sum().backward()
    assert network.pre.weight.grad is None
    assert network.emb_uv.weight.grad is None
    assert network.emb_g.weight.grad is not None


def test_without_automatic_f0_there_is_no_pitch_decoder():
    network = small(use_automatic_f0_prediction=False)
    assert not any(key.startswith("f0_decoder") for key in network.state_dict())
    output = network(**inputs())
    assert (output.pred_lf0, output.norm_lf0, output.lf0) == (None, None, None)
    with pytest.raises(ConfigError, match="use_automatic_f0_prediction"):
        infer(network, predict_f0=True)


def test_volume_is_asked_for_where_the_network_hears_it():
    with pytest.raises(SvcError, match="no volume"):
        infer(small(), volume=None)
    assert infer(small(vol_embedding=False), volume=None).audio.shape == (2, 1, 24 * 512)


def test_conversion_depends_on_speaker_pitch_and_volume():
    network = small()
    audio = infer(network).audio
    for changed in (
        {"spk": torch.tensor([[1], [1]])},
        {"f0": torch.full((2, 24), 110.0)},
        {"volume": torch.zeros(2, 24)},
    ):
        assert not torch.allclose(infer(network, **changed).audio, audio), changed


def test_training_needs_the_frames_of_a_segment():
    with pytest.raises(SvcError, match="segment"):
        small()(**inputs(frames=19))


def test_bf16_networks_give_finite_audio_near_float32():
    network = small().eval()
    batch = inputs()
    torch.manual_seed(2)
    expected: GeneratorOutput = network(**batch)
    torch.manual_seed(2)
    with torch.autocast("cpu", torch.bfloat16):
        output: GeneratorOutput = network(**batch)
        judged = Discriminator(16)(output.audio)
    (output.audio.float().sum() + sum(judgement.logits.float().sum() for judgement in judged)).backward()
    for name in ("z", "z_p", "m_p", "logs_p", "m_q", "logs_q", "pred_lf0"):
        assert getattr(output, name).dtype == torch.float32, name
        # bfloat16 holds 8 bits: 2^-8 = 0.4 % of values of order 1 to 3, over some twenty layers.
        torch.testing.assert_close(getattr(output, name), getattr(expected, name), rtol=0.05, atol=0.05)
    assert torch.isfinite(output.audio).all()
    assert all(torch.isfinite(param.grad).all() for param in network.parameters() if param.grad is not None)


def values(model: ModelBlock) -> tuple[int, int]:
    tensors = Generator(model, DataBlock(), 20).state_dict()
    return len(tensors), sum(value.numel() for value in tensors.values())


def test_depthwise_has_the_known_counts():
    """FORMATS section 7: 847 tensors, 43.0 M values; nothing else is known of it (docs/adr/0003-tiny-preset.md)."""
    tensors, count = values(ModelBlock(use_depthwise_conv=True))
    assert (tensors, round(count / 1e6, 1)) == (847, 43.0)


def test_tiny_has_the_known_counts():
    """FORMATS section 7: 886 tensors, 35.6 M values, those of the shared WaveNet listed repeatedly."""
    preset = PRESETS["tiny"]["model"] | {"vol_embedding": False}
    tensors, count = values(ModelBlock(**preset))
    assert (tensors, round(count / 1e6, 1)) == (886, 35.6)


def test_tiny_shares_one_wavenet_and_loads_what_it_saved():
    model = SMALL.model_copy(update={"use_depthwise_conv": True, "flow_share_parameter": True})
    first, second = (Generator(model, DataBlock(), 20) for _ in range(2))
    assert first.flow.flows[0].enc is first.flow.flows[6].enc
    second.load_state_dict(first.state_dict())
    assert second.flow.flows[0].enc is second.flow.flows[6].enc
    assert torch.equal(infer(first).audio, infer(second).audio)


@pytest.mark.parametrize("preset", ["tiny", "toy"])
def test_a_preset_trains_a_step_and_converts(preset):
    model = ModelBlock(**PRESETS[preset]["model"] | {"ssl_dim": 6, "gin_channels": 6, "n_speakers": 2})
    network = Generator(model, DataBlock(), 20)
    batch = inputs()
    network(**batch).audio.sum().backward()
    made = infer(network)
    assert made.audio.shape == (2, 1, 24 * 512)
    assert torch.isfinite(made.audio).all()
