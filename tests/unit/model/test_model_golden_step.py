"""One training step of both networks against the reference, with constant and with drawn random numbers."""

import numpy as np
import pytest
from model_goldens import Step, case, train_step

# golden/README.md, "Measured agreement".
WAVEFORM = {"rtol": 1e-4, "atol": 1e-5}
LOSS_RTOL = 1e-3

RUNS = [
    ("net_tiny_vol", "const"),
    ("net_tiny_vol", "seeded"),
    ("net_tiny_novol", "const"),
    ("net_tiny_novol", "seeded"),
    ("net_full_vol", "const"),
]


@pytest.fixture(scope="module", params=RUNS, ids="-".join)
def run(request):
    """The step, and what the reference says of it."""
    name, draws = request.param
    golden_case = case(name)
    prefix = f"{draws}_"
    expected = {key.removeprefix(prefix): value for key, value in golden_case.golden.items() if key.startswith(prefix)}
    return train_step(golden_case, seeded=draws == "seeded"), expected


def test_forward(run: tuple[Step, dict]):
    step, expected = run
    assert step.output.slice_ids.tolist() == expected["ids"].tolist()
    np.testing.assert_allclose(step.output.audio.detach(), expected["o"], **WAVEFORM)
    for name in ("pred_lf0", "norm_lf0", "lf0", "z", "z_p", "m_p", "logs_p", "m_q", "logs_q"):
        value, wanted = getattr(step.output, name).detach(), expected[name]
        # The full network's latents are stored as every eighth channel.
        every = value.shape[1] // wanted.shape[1]
        np.testing.assert_allclose(value[:, ::every], wanted, **WAVEFORM, err_msg=name)


def test_mel(run: tuple[Step, dict]):
    step, expected = run
    # As test_model_spectral.py: two float32 FFTs, each within 2e-4 in ln of the exact value.
    np.testing.assert_allclose(step.real_mel, expected["y_slice_mel"], rtol=0, atol=4e-4)
    np.testing.assert_allclose(step.made_mel.detach(), expected["yhat_mel"], rtol=0, atol=4e-4)


def test_losses(run: tuple[Step, dict]):
    step, expected = run
    assert step.loss_disc == pytest.approx(float(expected["loss_disc"]), rel=LOSS_RTOL)
    np.testing.assert_allclose(step.real_terms, expected["loss_disc_r"], rtol=LOSS_RTOL)
    np.testing.assert_allclose(step.made_terms, expected["loss_disc_g"], rtol=LOSS_RTOL)
    np.testing.assert_allclose(step.gen_each, expected["loss_gen_each"], rtol=LOSS_RTOL)
    for name, value in step.losses._asdict().items():
        assert value.item() == pytest.approx(float(expected[f"loss_{name}"]), rel=LOSS_RTOL), name
    assert step.losses.total.item() == pytest.approx(float(expected["loss_gen_all"]), rel=LOSS_RTOL)


def test_gradients(run: tuple[Step, dict]):
    step, expected = run
    assert step.grad_norm_d == pytest.approx(float(expected["grad_norm_d"]), rel=LOSS_RTOL)
    assert step.grad_norm_g == pytest.approx(float(expected["grad_norm_g"]), rel=LOSS_RTOL)
    for name, wanted in zip(expected["param_names"], expected["grad_l2"], strict=True):
        assert step.grads[str(name)].norm().item() == pytest.approx(float(wanted), rel=LOSS_RTOL), name


def test_weights_after_the_step(run: tuple[Step, dict]):
    step, expected = run
    columns = (expected["param_names"], expected["param_after_sum"], expected["param_after_abs"])
    for name, wanted_sum, wanted_abs in zip(*columns, strict=True):
        value = step.params_after[str(name)].double()
        # AdamW's first update is the learning rate, 1e-4, times the gradient's sign. Where the gradient is rounding
        # noise the sign is a coin: one tensor element moves the sum by 2e-4. That befalls what learns through the
        # decoder, whose gradient passes the kinks of the L1 losses: at most 2 elements, or one in ten thousand.
        coins = max(2, 1e-4 * value.numel()) if name.startswith(("dec.", "enc_q.")) else 0
        tolerance = 1e-5 + 2e-4 * coins
        assert value.sum().item() == pytest.approx(float(wanted_sum), rel=0, abs=tolerance), name
        assert value.abs().sum().item() == pytest.approx(float(wanted_abs), rel=0, abs=tolerance), name
