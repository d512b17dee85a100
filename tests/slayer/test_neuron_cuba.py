"""`neuron.cuba.Neuron`: parameters, dynamics, state, gradients."""

import numpy as np
import pytest
import torch

from lavadl_ref.slayer import neuron
from lavadl_ref.slayer.neuron import cuba
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm
from tests.support import oracle as naive
from tests.support.oracle import unrolled

DEFAULT = {"threshold": 1.0, "current_decay": 0.3, "voltage_decay": 0.1}
SHAPES = pytest.mark.parametrize("shape", [(2, 3, 20), (2, 3, 4, 3, 20)])
KINDS = pytest.mark.parametrize(
    "options",
    [
        {},
        {"graded_spike": True},
        {"norm": MeanOnlyBatchNorm},
        {"norm": WgtScaleBatchNorm},
        {"shared_param": False, "current_decay": (0.05, 0.9), "voltage_decay": (0.01, 0.5)},
    ],
    ids=["plain", "graded", "mean", "scale", "channels"],
)


def signal(shape=(2, 3, 20), seed=0):
    """Multiples of 1/64, as quantised weights and binary spikes give."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-40, 80, shape, generator=generator) / 64


def make(**options):
    return cuba.Neuron(**{**DEFAULT, **options})


# -- parameters -------------------------------------------------------------------------------


def changed(message, **options):
    """A neuron whose parameters are not nearly those asked for, and says so once."""
    with pytest.warns(UserWarning, match=message) as warned:
        n = make(**options)
    assert len(warned) == 1
    return n


@pytest.mark.parametrize(("asked", "mantissa"), [(0.1, 6), (1, 64), (0.999, 63), (1.25, 80), (0, 0), (0.01, 0)])
def test_the_threshold_of_cuba_is_truncated(asked, mantissa):
    n = changed("threshold 0.01 .* 0.0 is used", threshold=asked) if asked == 0.01 else make(threshold=asked)
    assert n.v_th_mant == mantissa
    assert n.threshold == mantissa / 64
    assert (f"threshold={mantissa / 64} (asked {asked})" in repr(n)) == (mantissa / 64 != asked)


def test_threshold_can_not_be_set():
    with pytest.raises(AttributeError):
        make().threshold = 2


@pytest.mark.parametrize(("decay", "integer"), [(0.3, 1229), (0.1, 410), (0, 0), (1, 4096), (0.5, 2048)])
def test_the_decays_of_cuba_are_rounded(decay, integer):
    n = make(current_decay=decay, voltage_decay=decay)
    assert n.cx_current_decay == n.cx_voltage_decay == integer
    assert np.ndim(n.cx_current_decay) == 0
    assert (f"current_decay={integer / 4096} (asked {decay})" in repr(n)) == (integer / 4096 != decay)


@pytest.mark.parametrize(("decay", "integer"), [(1.5, 4096), (-0.1, 0)])
def test_decays_out_of_range_are_clipped_with_a_warning(decay, integer):
    n = changed(rf"current_decay {decay} .* 0 to 1 is used", current_decay=decay)
    assert n.cx_current_decay == integer
    assert f"current_decay={integer / 4096} (asked {decay})" in repr(n)


def test_decays_round_half_to_even():
    n = make()
    for stored, integer in ((0.5, 0), (1.5, 2), (2.5, 2), (4095.5, 4096)):
        n.current_decay.data.fill_(stored)
        assert n.cx_current_decay == integer


def test_the_scales_of_cuba_are_lava_dls():
    n = make()
    assert (n.w_scale, n.scale, n.s_scale, n.p_scale) == (64, 64, 4096, 4096)
    assert n.weight_exponent == 0
    assert n.ref_delay == 1
    assert n.device == torch.device("cpu")


def test_shared_parameters_have_one_element():
    n = make()
    n(signal())
    assert n.current_decay.shape == n.voltage_decay.shape == (1,)
    assert not n.current_decay.requires_grad


@SHAPES
def test_own_parameters_are_drawn_at_the_first_input(shape):
    n = make(current_decay=0.3, voltage_decay=(0.2, 0.6), shared_param=False)
    n(signal(shape))
    assert n.current_decay.shape == n.voltage_decay.shape == (3,)
    relative = n.current_decay.detach() / (0.3 * 4096)
    assert ((relative >= 0.99 - 1e-6) & (relative <= 1.01 + 1e-6)).all()
    assert len(relative.unique()) == 3
    assert ((n.voltage_decay >= 0.2 * 4096 - 1) & (n.voltage_decay <= 0.6 * 4096 + 1)).all()
    before = n.voltage_decay.detach().clone()
    n(signal(shape))
    assert torch.equal(n.voltage_decay, before)
    assert n.cx_voltage_decay.tolist() == [round(value) for value in before.tolist()]


def test_the_decays_of_channels_may_be_arrays():
    n = make(current_decay=np.array([0.1, 0.2, 0.9]), voltage_decay=0.0, shared_param=False)
    n(signal())
    assert n.cx_current_decay.tolist() == [410, 819, 3686]


def test_draws_stay_in_range():
    n = changed("voltage_decay", current_decay=1.0, voltage_decay=(-0.5, 0.0), shared_param=False)
    n(signal((1, 100, 2)))
    assert n.current_decay.max() <= 4096
    assert n.voltage_decay.tolist() == [0] * 100


def test_training_keeps_decays_of_cuba_in_range():
    n = make(requires_grad=True)
    n.current_decay.data.fill_(-7)
    n.voltage_decay.data.fill_(5000)
    n(signal()).sum().backward()
    assert n.current_decay.item() == 0
    assert n.voltage_decay.item() == 4096
    assert n.current_decay.grad is not None


def test_the_gradient_of_cuba_decays_is_asked_for():
    for requires_grad in (False, True):
        n = make(requires_grad=requires_grad)
        x = signal().requires_grad_()
        n(x).sum().backward()
        for decay in (n.current_decay, n.voltage_decay):
            assert (decay.grad is not None) == requires_grad
        assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("shared", [True, False])
def test_a_cuba_neuron_comes_back_from_its_device_parameters(graded, shared):
    decays = {} if shared else {"current_decay": (0.1, 0.8), "voltage_decay": (0, 1)}
    n = make(threshold=0.3, graded_spike=graded, shared_param=shared, **decays)
    x = 2 * signal()
    expected = n(x)
    params = n.device_params
    assert params["type"] == "CUBA"
    assert (params["vThMant"], params["refDelay"], params["gradedSpike"]) == (19, 1, graded)
    again = cuba.Neuron(**cuba.neuron_params(params))
    assert torch.equal(again(x), expected)
    for key, value in again.device_params.items():
        np.testing.assert_array_equal(value, params[key])


def test_the_device_parameters_of_cuba_may_be_incomplete():
    params = cuba.neuron_params({"vThMant": 80, "iDecay": 1024, "vDecay": 128})
    assert params == {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.03125}
    with pytest.raises(KeyError):
        cuba.neuron_params({"vThMant": 80, "iDecay": 1024})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": float("nan")}, "threshold must be finite, got nan"),
        ({"tau_grad": 0}, "tau_grad must be positive and finite, got 0"),
        ({"scale_grad": float("inf")}, "scale_grad must be positive"),
        ({"current_decay": float("nan")}, "current_decay must be a finite number"),
        ({"voltage_decay": (0.1, 0.2)}, "voltage_decay must be one number where shared_param is True"),
        ({"voltage_decay": [0.1, 0.2, 0.3], "shared_param": False}, "voltage_decay must be one number, a"),
        ({"scale": 48}, "scale must be a power of two"),
    ],
)
def test_errors_of_cuba_name_what_was_given(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_input_of_another_shape_is_refused_by_cuba():
    n = make()
    n(signal())
    n(signal((5, 3, 7)))
    with pytest.raises(ValueError, match=r"shape \(N, 3, T\), got \(2, 4, 20\)"):
        n(signal((2, 4, 20)))


def test_unusable_input_leaves_a_cuba_neuron_as_it_was():
    n = make(shared_param=False)
    with pytest.raises(ValueError, match=r"got \(3, 20\)"):
        n(signal((3, 20)))
    with pytest.raises(TypeError, match="must be float32"):
        n(signal((2, 9, 20)).double())
    assert n.shape is None
    n(signal())


def test_decays_for_another_number_of_channels_are_refused_by_cuba():
    n = make(current_decay=np.array([0.1, 0.2]), shared_param=False)
    with pytest.raises(ValueError, match="current_decay has 2 values, one per channel, but the input has 3 channels"):
        n(signal())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_input_without_a_fixed_point_is_refused_by_cuba(bad):
    x = signal()
    x[0, 1, 3] = bad
    for n in (make(), make(norm=MeanOnlyBatchNorm)):
        with pytest.raises(ValueError, match="must be finite"):
            n(x)


@pytest.mark.parametrize(
    ("weight", "integer"), [(1 / 64, 0), (1.1 / 64, 2), (3 / 64, 4), (-3 / 64, -4), (9.0, 254), (-9.0, -256)]
)
def test_quantize_8bit_gives_mantissas_of_eight_bits(weight, integer):
    n = make()
    w = torch.tensor([weight], requires_grad=True)
    assert n.quantize_8bit(w).item() == integer / 64
    assert n.quantize_8bit(w, descale=True).item() == integer
    n.quantize_8bit(w).backward()
    assert w.grad.item() == (abs(weight) < 4)


# -- dynamics ---------------------------------------------------------------------------------


def oracle(n, x):
    """Current, voltage and spikes of a neuron without norm, integers of shape (N, C, ..., T)."""
    lanes = x.movedim(1, 0).flatten(1, -2)
    out = []
    for channel, rows in enumerate(lanes):
        decays = [int(np.atleast_1d(d)[channel % np.size(d)]) for d in (n.cx_current_decay, n.cx_voltage_decay)]
        out.append([naive.cuba([int(v * 4096) for v in r.tolist()], *decays, n.v_th_mant * 64) for r in rows])
    parts = torch.tensor(out, dtype=torch.int64)  # C, lanes, (u, w, v, s), T
    shape = (x.shape[1], x.shape[0], *x.shape[2:])
    return [parts[:, :, k].reshape(shape).movedim(0, 1) for k in (0, 1, 3)]


@SHAPES
@pytest.mark.parametrize("shared", [True, False])
def test_the_dynamics_of_a_cuba_neuron_equal_the_oracle(shape, shared):
    decays = {} if shared else {"current_decay": (0.0, 1.0), "voltage_decay": (0.0, 1.0)}
    n = make(shared_param=shared, **decays)
    x = signal(shape)
    current, voltage = n.dynamics(x)
    u, w, s = oracle(n, x)
    assert torch.equal((current * 4096).long(), u)
    assert torch.equal((voltage * 4096).long(), w)
    assert torch.equal(n.spike(voltage).long(), s)
    assert torch.equal(n(x).long(), s)
    assert 0 < s.sum() < s.numel()


@SHAPES
@KINDS
def test_fused_and_separate_are_the_same(options, shape):
    """`forward` is `dynamics` then `spike`: in integers and in gradients."""
    results = []
    g = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    for fused in (True, False):
        torch.manual_seed(0)
        n = make(**options, requires_grad=True)
        x = signal(shape).requires_grad_()
        s = n(x) if fused else n.spike(n.dynamics(x)[1])
        (s * g).sum().backward()
        results.append([s.detach(), x.grad, n.current_decay.grad, n.voltage_decay.grad])
    assert torch.equal(results[0][0], results[1][0])
    for actual, expected in zip(results[0][1:], results[1][1:], strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_graded_spikes_carry_the_voltage():
    n = make(graded_spike=True)
    _, voltage = n.dynamics(signal())
    s = n(signal())
    assert torch.equal(s, torch.where(voltage > 1, voltage, 0.0))
    assert (s > 1).any()


@SHAPES
@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("shared", [True, False])
def test_the_gradients_of_a_cuba_neuron_are_those_of_the_unrolled_model(shape, graded, shared):
    """Input and decays, summed over all that share one; the stated factors of tau and scale included."""
    torch.manual_seed(2)
    decays = {} if shared else {"current_decay": (0.1, 0.9), "voltage_decay": (0.05, 0.5)}
    n = make(tau_grad=0.05, scale_grad=2.0, graded_spike=graded, shared_param=shared, requires_grad=True, **decays)
    g = torch.randn(shape)
    x = signal(shape).requires_grad_()
    (n(x) * g).sum().backward()

    x64 = x.detach().double().requires_grad_()
    per_channel = [
        torch.tensor(np.atleast_1d(d), dtype=torch.float64, requires_grad=True)
        for d in (n.cx_current_decay, n.cx_voltage_decay)
    ]
    spread = [d.reshape(1, -1, *[1] * (len(shape) - 3)) for d in per_channel]
    rest = torch.zeros(shape[:-1], dtype=torch.float64)
    tau, scale = 100 * 0.05 * n.threshold, 0.1 * 2.0
    s = unrolled.cuba(x64.movedim(-1, 0), *spread, rest, rest, n.threshold, tau, scale, graded)
    (s.movedim(0, -1) * g.double()).sum().backward()
    torch.testing.assert_close(x.grad.double(), x64.grad, rtol=1e-4, atol=1e-5)
    for actual, expected in zip((n.current_decay, n.voltage_decay), per_channel, strict=True):
        assert expected.grad.abs().min() > 0
        torch.testing.assert_close(actual.grad.double(), expected.grad, rtol=1e-4, atol=1e-7)


# -- state ------------------------------------------------------------------------------------


@SHAPES
@KINDS
@pytest.mark.parametrize("cut", [0, 1, 7, 19])
def test_chunks_of_a_cuba_neuron_are_the_whole_where_state_persists(options, shape, cut):
    torch.manual_seed(0)
    n = make(**options, persistent_state=True)
    x = signal(shape)
    for seed in range(3):
        n(signal(shape, seed))  # statistics for the norm
    n.eval().reset()
    whole = n(x)
    current, voltage = n.current_state, n.voltage_state
    n.reset()
    assert torch.equal(n.current_state, torch.zeros(1))
    parts = [n(part) for part in (x[..., :cut], x[..., cut:])]
    assert torch.equal(torch.cat(parts, -1), whole)
    assert torch.equal(n.current_state, current)
    assert torch.equal(n.voltage_state, voltage)
    assert whole.sum() > 0


def test_separate_dynamics_of_cuba_persist_too():
    n = make(persistent_state=True)
    x = signal()
    whole = n.dynamics(x)
    n.reset()
    parts = zip(n.dynamics(x[..., :9]), n.dynamics(x[..., 9:]), strict=True)
    for part, expected in zip(parts, whole, strict=True):
        assert torch.equal(torch.cat(part, -1), expected)


def test_the_state_of_cuba_is_forgotten_without_persistence():
    n = make()
    assert torch.equal(n(signal()), n(signal()))
    assert torch.equal(n.current_state, torch.zeros(1))


def test_the_state_of_a_cuba_neuron_is_dropped_for_another_batch():
    n = make(persistent_state=True)
    n(signal())
    x = signal((4, 3, 20))
    assert torch.equal(n(x), make()(x))


def test_the_state_of_cuba_carries_no_gradient():
    n = make(persistent_state=True)
    first, second = signal(seed=1).requires_grad_(), signal(seed=2).requires_grad_()
    n(first)
    n(second).sum().backward()
    assert first.grad is None
    assert second.grad.abs().sum() > 0


def test_gradient_starts_from_the_state():
    """A decay's gradient in the second chunk sees the state that the first left."""
    n = make(persistent_state=True, requires_grad=True)
    n(signal() + 0.2)
    u = n.current_state
    n(signal()[..., :1]).sum().backward()
    assert u.abs().sum() > 0
    assert n.current_decay.grad.item() != 0


def test_a_cuba_neuron_may_be_without_spikes():
    n = make(threshold=-1)
    _, voltage = n.dynamics(signal() + 1)
    assert voltage.max() > 5
    with pytest.raises(ValueError, match="negative threshold -1"):
        n(signal())


def test_a_cuba_threshold_of_zero_runs_but_does_not_train():
    for options in ({}, {"norm": MeanOnlyBatchNorm}):
        n = changed("threshold 0.01", threshold=0.01, **options)
        assert n(signal()).any()
        with pytest.raises(ValueError, match=r"threshold 0 has no surrogate gradient, got 0\.01"):
            n(signal().requires_grad_())


def test_the_cuba_module_has_its_public_names():
    assert neuron.cuba.Neuron is cuba.Neuron
    assert neuron.Dropout
    assert neuron.norm.MeanOnlyBatchNorm is MeanOnlyBatchNorm
