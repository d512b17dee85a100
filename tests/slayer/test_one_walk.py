"""Neurons with a norm, a shift, or both in one walk: what comes out is what the parts give one after the other.

A hook on a part makes the parts run one after the other; it pins that path here.
"""

import pytest
import torch

from lavadl_ref import slayer
from lavadl_ref.slayer._bridge import autograd, centred
from lavadl_ref.slayer.neuron import cuba
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm
from tests.support import matrix
from tests.support.oracle import unrolled

SHAPES = pytest.mark.parametrize("shape", [(1, 1, 9), (2, 3, 20), (3, 40, 17), (2, 3, 4, 3, 20), (1, 70, 5, 7, 4)])
KINDS = pytest.mark.parametrize(
    "options",
    [
        {},
        {"graded_spike": True},
        {"shared_param": False, "current_decay": (0.05, 0.9), "voltage_decay": (0.0, 0.5)},
        {"scale": 16},
        {"scale": 256, "graded_spike": True},
        {"current_decay": 1.0},
        {"current_decay": 0.0},
    ],
    ids=["plain", "graded", "channels", "coarse", "fine", "no memory", "all memory"],
)
LAYOUTS = pytest.mark.parametrize("order", ["given", "channels last", "channels first"])


def watch(part):
    """Let `part` be called by itself, as a hook that looks at it needs it to be."""
    part.register_forward_hook(lambda *_: None)


def arranged(x, order):
    """`x` in memory as a contiguous tensor, or with time slowest."""
    last = x.ndim - 1
    if order == "given":
        return x
    axes = (last, *range(last)) if order == "channels first" else (last, 0, *range(2, last), 1)
    return x.permute(axes).contiguous().permute([axes.index(axis) for axis in range(x.ndim)])


def signal(shape, seed=0, size=0.7):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator) * size + 0.3


def neuron(channels=3, **options):
    torch.manual_seed(0)
    params = {"threshold": 0.3, "current_decay": 0.5, "voltage_decay": 0.1, "requires_grad": True, **options}
    made = cuba.Neuron(**params, norm=MeanOnlyBatchNorm)
    made.settle(channels)
    return made


def trained(n, x, grad):
    """Spikes, running mean, and gradients of a neuron: input and decays."""
    x = x.clone().requires_grad_()
    y = n(x)
    (y * grad).sum().backward()
    return y.detach(), n.norm.running_mean, [x.grad, n.current_decay.grad, n.voltage_decay.grad]


@pytest.fixture
def walks(monkeypatch):
    """The number of walks that found their own mean."""
    made = []

    class Counted(centred.Centre):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(autograd, "Centre", Counted)
    return made


# -- the norm ---------------------------------------------------------------------------------------


@SHAPES
@KINDS
@LAYOUTS
def test_a_norm_in_the_walk_gives_what_it_gives_apart(shape, options, order, walks):
    together, apart = neuron(shape[1], **options), neuron(shape[1], **options)
    watch(apart.norm)
    x, grad = arranged(signal(shape), order), signal(shape, 1)
    for _ in range(2):
        spikes, mean, gradients = trained(together, x, grad)
        expected, expected_mean, expected_gradients = trained(apart, x, grad)
        assert torch.equal(spikes, expected)
        assert torch.equal(mean, expected_mean)
        for actual, wanted in zip(gradients, expected_gradients, strict=True):
            torch.testing.assert_close(actual, wanted, rtol=2e-4, atol=2e-5 * float(wanted.abs().max()))
    assert len(walks) == 2
    assert expected.any()


@pytest.mark.parametrize("size", [0.0, 1e-3, 50.0, 1e4, 1e9])
@pytest.mark.parametrize("offset", [0.0, 3.98, 4.1, -300.0])
def test_currents_of_any_size_are_normed_as_apart(size, offset):
    together, apart = neuron(), neuron()
    watch(apart.norm)
    x = signal((2, 3, 30), size=size) + offset
    with pytest.warns(RuntimeWarning) if size > 1e3 else torch.no_grad():
        assert torch.equal(together(x), apart(x))
    assert torch.equal(together.norm.running_mean, apart.norm.running_mean)


def test_large_currents_leave_the_walk_before_the_mean_is_gathered(walks):
    n = neuron()
    n.norm.momentum = 0.5
    x = torch.full((1, 1, 4), 2000.0)
    n(x)
    assert walks == []
    # 2000, 3000, 3500, 3750 on average, once
    assert n.norm.running_mean.item() == 0.5 * 3062.5


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_input_that_is_not_finite_is_refused_without_a_mean(bad):
    n = neuron()
    n.norm.allocate(3)
    x = signal((2, 3, 30))
    x[1, 2, 7] = bad
    with pytest.raises(ValueError, match="finite"):
        n(x)
    assert torch.equal(n.norm.running_mean, torch.zeros(3))


def test_a_persistent_state_is_the_same_behind_a_walk_with_a_norm():
    together, apart = neuron(persistent_state=True), neuron(persistent_state=True)
    watch(apart.norm)
    for seed in range(3):
        assert torch.equal(together(signal((2, 3, 9), seed)), apart(signal((2, 3, 9), seed)))
        assert torch.equal(together.current_state, apart.current_state)
        assert torch.equal(together.voltage_state, apart.voltage_state)


@pytest.mark.parametrize("shape", [(2, 3, 20), (2, 3, 4, 3, 20)])
@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_the_gradient_through_the_mean_is_that_of_the_unrolled_model(shape, graded, shared, offset):
    """In float64, by torch's autograd; the mean of 5 is beyond what weights hold, and passes no gradient."""
    decays = {} if shared else {"current_decay": (0.1, 0.9), "voltage_decay": (0.05, 0.5)}
    n = neuron(tau_grad=0.05, scale_grad=2.0, graded_spike=graded, shared_param=shared, **decays)
    x, grad = signal(shape) + offset, signal(shape, 1)
    _, _, actual = trained(n, x, grad)

    x64 = x.double().requires_grad_()
    rates = [p.detach().round().double().requires_grad_() for p in (n.current_decay, n.voltage_decay)]
    spread = [rate.reshape(1, -1, *[1] * (len(shape) - 3)) for rate in rates]
    rest = torch.zeros(shape[:-1], dtype=torch.float64)
    current, _ = unrolled.leaky_integrator(x64.movedim(-1, 0), spread[0], rest)
    mean = current.mean(dim=[0, 1, *range(3, current.ndim)])
    held = mean.clamp(-4, 254 / 64)  # whose gradient is that of the quantiser
    subtracted = held + (torch.round(held * 32) / 32 - held).detach()
    centred = current - subtracted.reshape(1, 1, -1, *[1] * (len(shape) - 3))
    voltage, _ = unrolled.leaky_integrator(centred, spread[1], rest, n.threshold)
    tau, scale = 100 * 0.05 * n.threshold, 0.1 * 2.0
    spikes = unrolled._Spike.apply(voltage, n.threshold, tau, scale, graded, False)
    (spikes.movedim(0, -1) * grad.double()).sum().backward()
    assert bool((mean.abs() > 4).all()) == (offset > 0)
    for ours, theirs in zip(actual, (x64, *rates), strict=True):
        assert theirs.grad.abs().max() > 0
        torch.testing.assert_close(ours.double(), theirs.grad, rtol=1e-3, atol=1e-5 * float(theirs.grad.abs().max()))


# -- the shift --------------------------------------------------------------------------------------


CASES = [case for case in matrix.cases(states=False) if case.block not in ("Affine", "Output")]


@pytest.mark.parametrize("case", [case for case in CASES if case.family != "sigma_delta"], ids=str)
@pytest.mark.parametrize("steps", [1, 2, 24])
@pytest.mark.parametrize("loss", ["weighted", "sum"])
def test_a_shift_in_the_walk_gives_what_it_gives_apart(case, steps, loss):
    results = []
    for together in (True, False):
        block = case.build(delay_shift=True)
        if not together:
            watch(block.neuron)
        x = case.input()[..., :steps].clone().requires_grad_()
        y = block(x)
        (y * signal(y.shape) if loss == "weighted" else y).sum().backward()
        results.append([y.detach(), x.grad, *[p.grad for p in block.parameters()]])
        assert block.shape == y.shape[1:-1]
    for actual, expected in zip(*results, strict=True):
        assert (actual is None and expected is None) or torch.equal(actual, expected)
    assert not results[0][0][..., 0].any()


def counted(monkeypatch):
    """The steps of the shifts that were passes of their own."""
    made = []
    apply = autograd.Shift.apply

    class Counted:
        @staticmethod
        def apply(x, steps):
            made.append(steps)
            return apply(x, steps)

    monkeypatch.setattr("lavadl_ref.slayer.block._block.Shift", Counted)
    return made


def test_a_shift_is_a_pass_of_its_own_only_where_something_asks_for_it(monkeypatch):
    made = counted(monkeypatch)
    params = {"threshold": 0.3, "current_decay": 0.5, "voltage_decay": 0.1}
    x = signal((2, 3, 9))
    plain = slayer.block.cuba.Dense(params, 3, 4, count_log=True)
    plain(x)
    assert made == []
    watch(plain.neuron)
    plain(x)
    assert made == [1]
    slayer.block.cuba.Dense({**params, "persistent_state": True}, 3, 4)(x)
    assert made == [1, 1]

    class Own(cuba.Neuron):
        def forward(self, input):
            return super().forward(input)

    plain.neuron = Own(**params)
    plain(x)
    assert made == [1, 1, 1]


def test_a_shift_behind_feedback_is_a_pass_of_its_own_only_where_something_asks_for_it(monkeypatch):
    made = counted(monkeypatch)
    params = {"threshold": 0.3, "current_decay": 0.5, "voltage_decay": 0.1}
    x = signal((2, 3, 9))
    plain = slayer.block.cuba.Recurrent(params, 3, 4)
    plain(x)
    assert made == []
    watch(plain.recurrent_synapse)
    plain(x)
    assert made == [1]
    slayer.block.cuba.Recurrent({**params, "persistent_state": True}, 3, 4)(x)
    assert made == [1, 1]

    class Own(cuba.Neuron):
        def recurrent(self, input, weight, last=None):
            return super().recurrent(input, weight, last)

    other = slayer.block.cuba.KWTA(params, 3, 4, 2)
    other.neuron = Own(**params)
    other(x)
    assert made == [1, 1, 1]


@pytest.mark.parametrize("family", ["cuba", "alif"])
@pytest.mark.parametrize("training", [True, False])
def test_a_mean_behind_feedback_is_the_same_with_a_shift_in_the_walk(family, training):
    results = []
    for together in (True, False):
        case = matrix.Case(family, "Recurrent", "dense")
        block = case.build(norm=MeanOnlyBatchNorm, delay_shift=True).train(training)
        if not together:
            watch(block.neuron)
        y = [block(case.input(seed)) for seed in range(2)]
        results.append([*y, block.neuron.norm.running_mean])
    for actual, expected in zip(*results, strict=True):
        assert torch.equal(actual, expected)
    assert results[0][1].any()
    assert bool(results[0][2].any()) == training


@pytest.mark.parametrize("kind", ["Dense", "Recurrent"])
def test_dropout_behind_a_walk_silences_the_same_neurons(kind):
    results = []
    for together in (True, False):
        torch.manual_seed(3)
        params = {"threshold": 0.1, "current_decay": 0.5, "voltage_decay": 0.1, "dropout": slayer.neuron.Dropout(0.4)}
        block = getattr(slayer.block.cuba, kind)(params, 12, 30, weight_scale=3)
        if not together:
            watch(block.neuron)
        torch.manual_seed(4)
        results.append(block(signal((2, 12, 9))))
    assert torch.equal(*results)
    assert results[0].max() > 1
