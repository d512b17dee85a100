"""Gradients of adaptive neurons against the rule that docs/architecture.md states, in float64.

The model here is written from that text alone: rounding is the identity, a spike's derivative is the surrogate,
and to what a spike does to its own neuron afterwards whether there was one is a constant. The threshold in the
refractory increment 2 th is none.
"""

import pytest
import torch

from lavadl_ref.slayer.neuron.dynamics import adaptive_phase_th, adaptive_resonator, adaptive_threshold
from tests.support import families
from tests.support.families import SPIKING as FAMILIES
from tests.support.slayer_neurons import decays, each, integers, make, parts, require_grad, signal

ADAPTIVE = pytest.mark.parametrize("name", families.ADAPTIVE)


def cut(value):
    """Toward zero to a multiple of 1/4096."""
    return value + (torch.trunc(value * 4096) / 4096 - value).detach()


def leaked(state, decay):
    return cut(state * (1 - decay / 4096))


def adapt(th, r, fired, rest, rise):
    """After the spike: whether there was one is a constant, the threshold is not."""
    constant = fired.detach().double()
    return th + rise * constant, r + 2 * th * constant


def linear(value, *slopes):
    """`value`, whose derivatives are the given slopes to the given numbers."""
    return value.double() + sum(slope.detach() * (number - number.detach()) for slope, number in slopes)


def model(name, z, rates, rest, rise, tau, scale, weights=None):
    """Spikes and threshold and refractory traces of z, float64 (N, C, T) each."""
    state = [torch.zeros_like(z[0][..., 0]) for _ in range(2)]
    th, r, spike = torch.full_like(state[0], rest), torch.zeros_like(state[0]), torch.zeros_like(state[0])
    spikes, ths, rs = [], [], []
    for t in range(z[0].shape[-1]):
        a = [cut(part[..., t]) for part in z]
        if weights is not None:
            a = [cut(part + spike @ weight.T) for part, weight in zip(a, weights, strict=True)]
        th = leaked(th - rest, rates[2]) + rest
        r = leaked(r, rates[3])
        level = th + r
        if name == "alif":
            u = leaked(state[0], rates[0]) + a[0]
            v = leaked(state[1], rates[1]) + u
            state, value, allowed = [u, v], v, torch.ones_like(v, dtype=torch.bool)
        else:
            sin, cos = rates[0] / 4096, rates[1] / 4096
            re = cut(cos * state[0]) - cut(sin * state[1]) + a[0]
            im = cut(sin * state[0]) + cut(cos * state[1]) + a[1]
            allowed = (im >= 0) & (state[1] < 0) if name == "adrf" else torch.ones_like(im, dtype=torch.bool)
            state, value = [re, im], re if name == "adrf" else im
        distance = value - level
        fired = (distance >= 0) & allowed
        slope = scale / (2 * tau) * torch.exp(-distance.abs() / tau)
        if name == "adrf":
            crossing = torch.exp(-im.abs() / tau) / (2 * tau)
            above = 0.5 * torch.exp(-distance.abs() / tau)
            above = torch.where(distance > 0, 1 - above, above)
            to_im = -scale / tau * im.sign() * crossing * above
            spike = linear(fired, (slope * crossing, distance), (to_im, im))
        else:
            spike = linear(fired, (slope, distance))
        spikes.append(spike)
        ths.append(th)
        rs.append(r)
        th, r = adapt(th, r, fired, rest, rise)
    return [torch.stack(part, -1) for part in (spikes, ths, rs)]


def leaf(value):
    return value.detach().double().clone().requires_grad_()


@ADAPTIVE
@pytest.mark.parametrize("fed_back", [False, True], ids=["alone", "feedback"])
def test_the_gradient_rule_holds_for_every_neuron(name, fed_back):
    torch.manual_seed(1)
    n = make(name, requires_grad=True, tau_grad=0.05, scale_grad=20.0, threshold=4.0 if name == "alif" else 0.5)
    z = require_grad(signal(name, (4, 5, 40)))
    z64 = [leaf(part) for part in parts(z)]
    rates = [torch.tensor([float(value)], dtype=torch.float64, requires_grad=True) for value in integers(n, name)[0](0)]
    g = torch.randn(4, 5, 40)
    weights = weights64 = None
    if fed_back:
        weights = [(torch.randint(-20, 20, (5, 5)) / 64).requires_grad_() for _ in z64]
        weights64 = [leaf(weight) for weight in weights]
        spikes = n.recurrent(z, tuple(weights) if FAMILIES[name].complex else weights[0])
    else:
        spikes = n(z)
    (spikes * g).sum().backward()
    tau, scale, _ = n._surrogate
    expected, *_ = model(name, z64, rates, n.threshold, n.threshold_step, tau, scale, weights64)
    (expected * g.double()).sum().backward()
    assert torch.equal(spikes.detach().double(), expected.detach())
    assert 20 < spikes.sum() < 0.7 * spikes.numel()
    pairs = [*zip(parts(z), z64, strict=True), *zip(decays(n, name), rates, strict=True)]
    pairs += zip(weights, weights64, strict=True) if fed_back else ()
    for actual, wanted in pairs:
        assert wanted.grad.any()
        size = wanted.grad.abs().max()
        torch.testing.assert_close(actual.grad.double() / size, wanted.grad / size, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("function", ["threshold", "phase", "resonator"])
def test_the_gradient_rule_holds_for_every_function(function):
    """`neuron.dynamics.adaptive_*`: gradients to all that is differentiable."""
    torch.manual_seed(2)
    name = families.BY_ADAPTATION[function].name
    x = [(torch.randint(-90, 130, (2, 3, 30)) / 64) for _ in range(1 if name == "alif" else 2)]
    leaves = each(tuple(x), lambda part: part.clone().requires_grad_())
    given = {"sin": 1200.0, "cos": 3000.0, "th": 700.0, "ref": 1500.0}
    rates = {key: torch.tensor([value], requires_grad=True) for key, value in given.items()}
    rates64 = {key: torch.tensor([value], dtype=torch.float64, requires_grad=True) for key, value in given.items()}
    rest, rise = 0.75, 0.25
    zero, level = torch.zeros(1), torch.tensor([rest])
    tail = rise, rest, 4096
    if function == "threshold":
        found = adaptive_threshold.dynamics(leaves[0], zero, rates["ref"], level, rates["th"], *tail)
        first = [torch.full((1,), 4096.0, dtype=torch.float64)] * 2
    elif function == "phase":
        found = adaptive_phase_th.dynamics(*leaves, zero, zero, rates["ref"], level, rates["th"], *tail)
        first = [torch.zeros(1, dtype=torch.float64)] * 2
    else:
        found = adaptive_resonator.dynamics(
            *leaves, rates["sin"], rates["cos"], rates["ref"], rates["th"], zero, zero, zero, level, *tail
        )[2:]
        first = [rates64["sin"], rates64["cos"]]
    _, *wanted = model(
        name, [part.double() for part in x], [*first, rates64["th"], rates64["ref"]], rest, rise, 1.0, 0.0
    )
    g = [torch.randn(2, 3, 30) for _ in found]
    sum((part * weight).sum() for part, weight in zip(found, g, strict=True)).backward()
    sum((part * weight.double()).sum() for part, weight in zip(wanted, g, strict=True)).backward()
    for actual, expected in zip(found, wanted, strict=True):
        assert torch.equal(actual.detach().double(), expected.detach())
    for key in ("th", "ref"):
        assert rates64[key].grad.any()
        torch.testing.assert_close(rates[key].grad.double(), rates64[key].grad, rtol=1e-4, atol=1e-7)


def test_the_rule_is_the_derivative_where_spikes_are_given():
    """Difference quotients of threshold and refractory state, whose spikes do not depend on the decays."""
    torch.manual_seed(3)
    value = torch.where(torch.rand(1, 1, 40) < 0.3, 1e5, -1e5)
    zero, level = torch.zeros(1), torch.tensor([100.0])

    def total(th_decay, ref_decay):
        th, r = adaptive_threshold.dynamics(value, zero, ref_decay, level, th_decay, 50.0, 100.0, 4096)
        return th.double().sum(), r.double().sum()

    th, ref = (torch.tensor([v], requires_grad=True) for v in (400.0, 600.0))
    for k in (0, 1):
        to_th, to_ref = torch.autograd.grad(total(th, ref)[k], (th, ref), allow_unused=True)
        for gradient, shift in ((to_th, torch.tensor([[8.0], [0.0]])), (to_ref, torch.tensor([[0.0], [8.0]]))):
            up, down = (total(*(torch.tensor([400.0, 600.0])[:, None] + sign * shift))[k] for sign in (1, -1))
            quotient = (up - down) / 16
            assert abs(quotient - gradient.item()) <= 2e-3 * abs(quotient) + 1e-6
    assert torch.autograd.grad(total(th, ref)[1], th)[0].abs() > 1
