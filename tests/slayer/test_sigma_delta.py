"""`neuron.sigma_delta.Neuron`: parameters, dynamics, state, gradients."""

import itertools

import numpy as np
import pytest
import torch

from lavadl_ref.slayer.neuron import Dropout, sigma_delta
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm
from tests.support import oracle as naive

SHAPES = pytest.mark.parametrize("shape", [(2, 3, 12), (2, 3, 4, 3, 12)])
BIAS = torch.tensor([0.25, -0.5, 0.125])
KINDS = pytest.mark.parametrize(
    "options",
    [
        {},
        {"cum_error": True},
        {"norm": MeanOnlyBatchNorm},
        {"norm": WgtScaleBatchNorm},
        {"shared_param": False, "threshold": (0.05, 0.9)},
        {"activation": torch.tanh},
    ],
    ids=["plain", "error", "mean", "scale", "channels", "tanh"],
)
ONE = 1 << 18


def signal(shape=(2, 3, 12), seed=0, unit=ONE):
    """Multiples of 2**-18, as quantised weights and messages give."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-unit, unit + unit // 8, shape, generator=generator) / unit


def make(threshold=0.5, activation=torch.relu, **options):
    return sigma_delta.Neuron(**{"threshold": threshold, "activation": activation, **options})


def oracle(x, mantissas, biases=(0, 0, 0), activation="relu", cum_error=False):
    """Sigma, activation and messages; thresholds and biases in 1/64, one for each channel."""
    parts = []
    rows = x.movedim(1, 0).flatten(1, -2)
    for channel, mantissa, bias in zip(rows.tolist(), mantissas, biases, strict=True):
        runs = [
            naive.sigma_delta([int(v * ONE) for v in row], mantissa, bias, activation, cum_error) for row in channel
        ]
        parts.append([(sigma, value, sent) for (sigma, value, _, sent), _ in runs])
    full = np.moveaxis(np.array(parts), 2, 0).reshape(3, *x.movedim(1, 0).shape)
    sigma, value, sent = torch.tensor(full).movedim(1, 2)
    return (sigma / ONE).float(), (value / ONE).float(), (sent / 4096).float()


# -- parameters -------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "mantissa"), [(0.1, 6), (1, 64), (0.999, 63), (1.25, 80), (0, 0)])
def test_the_threshold_of_sigma_delta_is_truncated(asked, mantissa):
    n = make(asked)
    assert n.v_th_mant == n.device_params["vThMant"] == mantissa
    assert n.threshold.item() == max(mantissa / 64, 1 / 4096)
    assert (f"threshold={mantissa / 64} (asked {asked})" in repr(n)) == (mantissa / 64 != asked)
    assert "activation=relu, cum_error=False" in repr(n)


def test_a_threshold_too_small_for_the_device_is_warned_of():
    with pytest.warns(UserWarning, match="threshold 0.01 cannot be had, 0.0 is used"):
        n = make(0.01)
    assert n.v_th_mant == 0
    assert "threshold=0.0 (asked 0.01)" in repr(n)


def test_the_scales_of_sigma_delta_are_lava_dls():
    n = make()
    assert (n.w_scale, n.scale, n.s_scale, n.p_scale) == (64, 64, 4096, 1)
    assert n.weight_exponent == 0
    assert not n.complex
    assert n.graded_spike


@pytest.mark.parametrize("cum_error", [False, True])
@pytest.mark.parametrize("activation", [torch.relu, torch.tanh, torch.nn.functional.leaky_relu, sigma_delta.identity])
def test_a_sigma_delta_neuron_comes_back_from_its_device_parameters(cum_error, activation):
    n = make(0.3, activation, cum_error=cum_error)
    params = n.device_params
    name = {torch.relu: "relu", torch.tanh: "tanh", sigma_delta.identity: "identity"}.get(activation, "leaky_relu")
    expected = {"type": "SDNN", "activation": name, "vThMant": 19}
    assert params == (expected | {"cum_error": True} if cum_error else expected)
    again = sigma_delta.Neuron(**sigma_delta.neuron_params(params))
    assert again.device_params == params
    x = signal()
    assert torch.equal(again(x), n(x))


def test_every_named_activation_is_one():
    x = signal()
    for name in sigma_delta.ACTIVATIONS:
        function = sigma_delta.named_activation(name)
        assert function(x).shape == x.shape
        assert make(activation=function).device_params["activation"] == name


@pytest.mark.parametrize("name", ["load", "conv2d", "softmax", "<lambda>", "", "os"])
def test_unknown_activations_are_refused(name):
    with pytest.raises(ValueError, match=f"activation must be one of abs, .*, tanhshrink; got '{name}'"):
        sigma_delta.neuron_params({"vThMant": 3, "activation": name})


@pytest.mark.parametrize("activation", [lambda x: x, torch.nn.ReLU()])
def test_an_activation_without_a_name_trains_but_is_not_exported(activation):
    n = make(activation=activation)
    n(signal())
    with pytest.raises(ValueError, match="a file names an activation by its function, one of abs"):
        _ = n.device_params


def test_device_parameters_must_be_complete():
    with pytest.raises(KeyError):
        sigma_delta.neuron_params({"vThMant": 3})
    with pytest.raises(KeyError):
        sigma_delta.neuron_params({"activation": "relu"})


def test_a_neuron_with_thresholds_of_channels_comes_back_from_device_parameters():
    n = make(np.array([0.5, 0.25, 0.51]), shared_param=False)
    params = n.device_params
    assert params["vThMant"].tolist() == [32, 16, 32]
    again = sigma_delta.Neuron(**sigma_delta.neuron_params(params)).device_params
    assert again["vThMant"].tolist() == [32, 16, 32]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": float("nan")}, "threshold must be finite"),
        ({"threshold": -1}, "threshold must be finite and not negative, got"),
        ({"threshold": (0.1, 0.2)}, "threshold must be one number where shared_param is True"),
        ({"tau_grad": 0}, "tau_grad must be positive and finite, got 0"),
        ({"scale": 48}, "scale must be a power of two"),
    ],
)
def test_errors_of_sigma_delta_name_what_was_given(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_activation_must_be_callable():
    with pytest.raises(TypeError, match="activation must be a function of a tensor, got 'relu'"):
        make(activation="relu")


# -- values -----------------------------------------------------------------------------------


@SHAPES
@pytest.mark.parametrize("cum_error", [False, True])
@pytest.mark.parametrize("activation", [torch.relu, sigma_delta.identity])
@pytest.mark.parametrize("bias", [None, BIAS, BIAS.reshape(-1, 1, 1)])
def test_the_integers_of_sigma_delta_equal_the_oracle(shape, cum_error, activation, bias):
    x = signal(shape)
    n = make(0.3, activation, cum_error=cum_error)
    if bias is not None:
        n.set_bias(bias)
    biases = [0] * 3 if bias is None else (BIAS * 64).int().tolist()
    sigma, value, sent = oracle(x, [19] * 3, biases, activation.__name__, cum_error)
    for actual, expected in zip(n.dynamics(x), (sigma, value), strict=True):
        assert torch.equal(actual, expected)
    assert torch.equal(n(x), sent)
    assert sent.any()


@SHAPES
def test_a_sigma_delta_neuron_may_have_a_threshold_for_each_channel(shape):
    x = signal(shape)
    n = make(np.array([0.1, 0.5, 0.9]), shared_param=False)
    assert torch.equal(n(x), oracle(x, [6, 32, 57])[2])


@pytest.mark.parametrize(("trained", "mantissa"), [(0.1, 6), (0.0155, 0), (1 / 64, 1), (-3.0, 0), (0.9999, 63)])
def test_what_is_exported_is_what_was_trained(trained, mantissa):
    """The forward pass compares with the exported threshold, wherever training took the parameter."""
    n = make(0.5, requires_grad=True)
    n.delta.threshold.data.fill_(trained)
    x = signal()
    expected = oracle(x, [mantissa] * 3)[2]
    assert torch.equal(n(x), expected)
    assert n.device_params["vThMant"] == mantissa
    again = sigma_delta.Neuron(**sigma_delta.neuron_params(n.device_params))
    assert torch.equal(again(x), expected)


def test_every_change_is_sent_at_mantissa_zero():
    x = torch.tensor([[[64.0, 0, -63, 1, 3]]]) / ONE
    y = make(0, sigma_delta.identity)(x)
    assert (y * 4096).tolist() == [[[1, 0, -1, 0, 0]]]


def test_bias_is_rounded_not_clamped():
    n = make(0.25, sigma_delta.identity)
    n.set_bias(torch.tensor([0.26, -100.3, 0.0078126]))
    assert (n.quantised_bias * 64).tolist() == [17, -6419, 1]
    x = signal()
    assert torch.equal(n(x), oracle(x, [16] * 3, (17, -6419, 1), "identity")[2])


def test_bias_waits_to_be_set():
    n = make()
    assert n.bias.tolist() == [0]
    assert not n.bias_is_set
    parameter = n.bias
    n.set_bias(BIAS)
    assert n.bias is parameter
    assert n.bias_is_set


def test_one_bias_may_stand_for_all_channels():
    x = signal()
    one, three = make(), make()
    one.set_bias(torch.tensor(0.5))
    three.set_bias(torch.full((3,), 0.5))
    assert torch.equal(one(x), three(x))


@pytest.mark.parametrize(
    ("bias", "message"),
    [
        (torch.zeros(3, 2), r"one value per channel, \(C,\) or \(C, 1, 1\), got \(3, 2\)"),
        (torch.zeros(0), r"one value per channel, .* got \(0,\)"),
        (torch.tensor([1, float("nan")]), "bias must be finite"),
    ],
)
def test_a_bias_of_another_form_is_refused(bias, message):
    with pytest.raises(ValueError, match=message):
        make().set_bias(bias)


def test_a_bias_for_another_number_of_channels_is_refused():
    n = make()
    n.set_bias(torch.zeros(2))
    with pytest.raises(ValueError, match="bias has 2 values, one per channel, but the input has 3 channels"):
        n(signal())


def test_norm_and_bias_add_up():
    n = make(0.25, sigma_delta.identity, norm=MeanOnlyBatchNorm).eval()
    x = signal()
    n.train()(x)
    n.eval()
    n.set_bias(BIAS)
    biases = (n.norm.bias + BIAS * 64).int().tolist()
    assert torch.equal(n(x), oracle(x, [16] * 3, biases, "identity")[2])


def test_dropout_silences_sigma_delta_neurons():
    n = make(0.1, dropout=Dropout(0.5))
    x = signal((2, 40, 12)).abs() + 0.2
    quiet = (n(x) == 0).all(-1)
    assert quiet.any()
    assert not quiet.all()
    assert (n.eval()(x) != 0).any(-1).all()


# -- state ------------------------------------------------------------------------------------


@SHAPES
@KINDS
@pytest.mark.parametrize("cuts", [(4,), (0, 1, 2), (11,)])
def test_chunks_of_sigma_delta_are_the_whole_where_state_persists(shape, options, cuts):
    x = signal(shape)
    n = make(**options, persistent_state=True)
    n.set_bias(BIAS)
    n(x)
    n.eval()
    n.reset()
    whole = n(x)
    n.reset()
    parts = [n(x[..., lo:hi]) for lo, hi in itertools.pairwise([0, *cuts, 12])]
    assert torch.equal(torch.cat(parts, -1), whole)
    assert whole.any()
    assert not torch.equal(n(x), whole)


def test_calls_of_sigma_delta_are_alike_without_persistence():
    n = make(cum_error=True)
    x = signal()
    assert torch.equal(n(x), n(x))


def test_persistence_can_be_switched():
    """For both parts at once, as in other neurons."""
    n, always = make(), make(persistent_state=True)
    x = signal()
    n(x)
    n.persistent_state = True
    for _ in range(2):
        assert torch.equal(n(x), always(x))
    n.persistent_state = False
    assert torch.equal(n(x), make()(x))


def test_the_state_of_sigma_delta_belongs_to_a_batch():
    n = make(persistent_state=True)
    n(signal())
    x = signal((5, 3, 12))
    assert torch.equal(n(x), make()(x))


def test_input_of_another_shape_is_refused_by_sigma_delta():
    n = make()
    n(signal())
    n(signal((5, 3, 7)))
    with pytest.raises(ValueError, match=r"shape \(N, 3, T\), got \(2, 4, 20\)"):
        n(signal((2, 4, 20)))


@KINDS
def test_a_fresh_sigma_delta_neuron_loads_a_state_dict(options):
    """A fresh neuron takes what a trained one has, bias and thresholds too, before its first input."""
    x = signal()
    trained = make(**options, persistent_state=True)
    trained.set_bias(BIAS)
    trained(x)
    trained.reset()
    expected = trained.eval()(x)
    state = trained.state_dict()
    assert {"bias", "delta.threshold"} <= set(state)
    states = {name for name in state if "state" in name}
    assert states == {
        "sigma.persistent_pre_state",
        *(f"delta.persistent_{name}_state" for name in ("pre", "residual", "error")),
    }
    fresh = make(**options).eval()
    fresh.load_state_dict(state)
    assert fresh.bias_is_set
    assert torch.equal(fresh(x), expected)


def test_a_checkpoint_without_a_bias_sets_none():
    fresh = make()
    fresh.load_state_dict(make(0.25).state_dict())
    assert not fresh.bias_is_set
    assert fresh.v_th_mant == 16


# -- gradients --------------------------------------------------------------------------------


@SHAPES
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("activation", [torch.relu, torch.tanh])
def test_the_gradients_of_sigma_delta_are_autograds(shape, shared, activation):
    """Against autograd through a sum, the same activation, and a delta whose residue is constant."""
    threshold = 0.3 if shared else np.array([0.25, 0.5, 0.75])
    n = make(threshold, activation, requires_grad=True, shared_param=shared, norm=MeanOnlyBatchNorm)
    n.set_bias(BIAS)
    x, g = signal(shape).requires_grad_(), torch.randn(shape)
    n(x).backward(g)

    x2, bias = x.detach().double().requires_grad_(), BIAS.double().requires_grad_()
    column = [1, -1, *[1] * (len(shape) - 2)]
    total = x2.cumsum(-1)
    mean = total.mean([0, *range(2, len(shape))], keepdim=True)
    value = activation(total - mean - (torch.round(mean * 32) / 32 - mean).detach() + bias.reshape(column))
    change = value - torch.cat([torch.zeros_like(value[..., :1]), value[..., :-1]], -1)
    change.backward(g.double())
    torch.testing.assert_close(x.grad, x2.grad.float(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(n.bias.grad, bias.grad.float(), rtol=1e-4, atol=1e-4)
    assert n.threshold.grad.shape == n.threshold.shape
    assert (n.threshold.grad != 0).all()


def test_the_threshold_is_trained_through_its_quantiser():
    """Between two mantissas the gradient is that of the lower one; at 0 that of 1/4096."""
    x, g = signal(), torch.randn(2, 3, 12)
    grads = []
    for value in (0.25, 0.26):
        n = make(0.5, requires_grad=True)
        n.delta.threshold.data.fill_(value)
        n(x).backward(g)
        grads.append(n.threshold.grad)
    assert torch.equal(*grads)
    n = make(0, requires_grad=True)
    n(x).backward(g)
    assert n.threshold.grad.isfinite().all()
    assert n.threshold.grad != 0


def test_training_lowers_a_loss():
    """Gain, bias and threshold of a teacher are learnt from what its messages add up to."""
    x = signal()
    teacher = make(0.1)
    teacher.set_bias(BIAS)
    target = teacher(2 * x).cumsum(-1)
    n = make(0.5, requires_grad=True)
    n.set_bias(torch.zeros(3))
    gain = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.Adam([*n.parameters(), gain], lr=0.03)
    losses = []
    for _ in range(80):
        loss = (n(x * gain).cumsum(-1) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    assert n.v_th_mant < 32


# -- one walk over time -----------------------------------------------------------------------


def relu_in_parts(x):
    """An activation that no kernel knows."""
    return torch.relu(x)


def in_parts(x):
    """The identity as another."""
    return x * 1


def memories(x):
    order = (x.ndim - 1, 0, *range(2, x.ndim - 1), 1)
    yield x
    yield x.permute(order).contiguous().permute([order.index(i) for i in range(x.ndim)])
    yield x.movedim(-1, 0).contiguous().movedim(0, -1)


@SHAPES
@pytest.mark.parametrize(
    "pair", [(torch.relu, relu_in_parts), (sigma_delta.identity, in_parts)], ids=["relu", "identity"]
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cum_error": True},
        {"norm": MeanOnlyBatchNorm},
        {"norm": MeanOnlyBatchNorm, "persistent_state": True},
        {"shared_param": False, "threshold": np.array([0.1, 0.5, 0.9])},
    ],
    ids=["plain", "error", "mean", "persistent", "channels"],
)
@pytest.mark.parametrize("real", [False, True])
def test_one_walk_is_the_parts(shape, pair, options, real):
    """Messages, states and statistics bit for bit, gradients to rounding, whatever the memory, over two calls."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(3)) if real else signal(shape)
    g = torch.randn(shape, generator=torch.Generator().manual_seed(4))
    for given in memories(x):
        results = []
        for activation in pair:
            n = make(**{"activation": activation, "requires_grad": True, **options})
            n.set_bias(BIAS)
            leaf = given.detach().clone(memory_format=torch.preserve_format).requires_grad_()
            n(leaf).backward(g)
            second = n.eval()(given)
            states = [
                part for part in (n.sigma.pre_state, n.delta.pre_state, n.delta.residual_state) if part is not None
            ]
            means = [n.norm.running_mean] if n.norm is not None else []
            results.append(([second.detach(), *states], means, [leaf.grad, n.bias.grad, n.threshold.grad]))
        for actual, expected in zip(results[0][0], results[1][0], strict=True):
            assert torch.equal(actual, expected)
        for actual, expected in zip(results[0][1] + results[0][2], results[1][1] + results[1][2], strict=True):
            torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_hooks_see_the_parts():
    """A hook of a part gets its values; the messages are the same."""
    x, plain, hooked, seen = signal(), make(), make(), []
    hooked.sigma.register_forward_hook(lambda module, inputs, output: seen.append(output))
    assert torch.equal(hooked(x), plain(x))
    assert torch.equal(seen[0], x.cumsum(-1))


def test_values_without_a_fixed_point_are_named_by_the_parts():
    x = signal()
    x[0, 1, 3] = float("nan")
    for options in ({}, {"norm": MeanOnlyBatchNorm}):
        n = make(**options)
        with pytest.raises(ValueError, match="the sum of a sigma must be finite and stay below"):
            n(x)
        assert n.norm is None or torch.equal(n.norm.running_mean, torch.zeros_like(n.norm.running_mean))


def test_messages_keep_the_memory_of_the_input():
    _, x, _ = memories(signal((2, 3, 4, 5, 12)))
    x.requires_grad_()
    y = make(requires_grad=True, norm=MeanOnlyBatchNorm)(x)
    assert y.permute(4, 0, 2, 3, 1).is_contiguous()
    y.backward(torch.ones_like(y))
    assert x.grad.permute(4, 0, 2, 3, 1).is_contiguous()


@pytest.mark.parametrize("shape", [(2, 3, 4, 5, 6), (2, 3, 7, 6), (2, 3, 6), (0, 3, 4, 5, 6)])
def test_a_sigma_delta_neuron_takes_quantised_input(shape):
    n, x = make(), torch.randn(shape) * 4
    for given in memories(x) if x.ndim > 3 else (x,):
        assert torch.equal(n.quantized_input(given), n.quantize_8bit(given))
    tracked = x.clone().requires_grad_()
    n.quantized_input(tracked).sum().backward()
    assert tracked.grad is not None
    assert torch.equal(n.quantized_input(x.double()), n.quantize_8bit(x.double()))
