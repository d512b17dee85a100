"""`neuron.dynamics`: states over time as functions, against the oracle; gradients; carrying a state over."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from lavadl_ref.slayer import neuron
from lavadl_ref.slayer.neuron import dynamics
from lavadl_ref.slayer.neuron.dynamics import (
    adaptive_phase_th,
    adaptive_resonator,
    adaptive_threshold,
    leaky_integrator,
    resonator,
)
from tests.support import oracle as naive
from tests.support.families import BY_ADAPTATION
from tests.support.oracle import unrolled

ONE = 4096
LEVEL, STEP = 0.75, 0.25
ROTATION, LEAK = (-4096, 4096), (0, 4096)


@dataclass
class Case:
    """A function, beside the oracle's and the unrolled twin of the same recurrence."""

    inputs: int
    decays: list  #: range of each
    states: int
    call: Callable  #: inputs, decays, states, w_scale -> results over time
    naive: Callable  #: lists of integers, decays, states, threshold and its step -> lists over time
    unrolled: Callable  #: inputs (T, ...), decays, states -> results (T, ...)


def stepped(step, pick, before=(), after=()):
    """The traces `pick` of an unrolled step; zeros for the states `before` and `after` those of the function."""

    def run(x, d, s):
        zero = torch.zeros_like(x[0][0])
        states = (*[zero] * len(before), *s, *[zero] * len(after))
        return unrolled.unroll(step(*d), x, states)[1][pick]

    return run


ADAPTIVE_RESONATOR = BY_ADAPTATION["resonator"]
unrolled_adaptive_resonator = getattr(unrolled, f"{ADAPTIVE_RESONATOR.name}_step")
CASES = {
    "leaky": Case(
        1, [LEAK], 1,
        lambda x, d, s, w: (leaky_integrator.dynamics(*x, *d, *s, w),),
        lambda x, d, s, k: (naive.leaky_integrator(x[0], d[0], None, s[0])[0],),
        lambda x, d, s: (unrolled.leaky_integrator(x[0], d[0], s[0])[0],),
    ),
    "leaky with reset": Case(
        1, [LEAK], 1,
        lambda x, d, s, w: (leaky_integrator.dynamics(*x, *d, *s, w, LEVEL),),
        lambda x, d, s, k: (naive.leaky_integrator(x[0], d[0], k[0] - 1, s[0])[0],),
        lambda x, d, s: (unrolled.leaky_integrator(x[0], d[0], s[0], LEVEL - 0.5 / ONE)[0],),
    ),
    "resonator": Case(
        2, [ROTATION] * 2, 2,
        lambda x, d, s, w: resonator.dynamics(*x, *d, *s, w),
        lambda x, d, s, k: naive.rf(*x, *d, 0, re=s[0], im=s[1])[0][:2],
        stepped(lambda *d: unrolled.rf_step(*d, 1, 1, 1, False), slice(0, 2)),
    ),
    "resonator with reset": Case(
        2, [ROTATION] * 2, 2,
        lambda x, d, s, w: resonator.dynamics(*x, *d, *s, w, LEVEL),
        lambda x, d, s, k: naive.rf_iz(*x, *d, k[0], re=s[0], im=s[1])[0][:2],
        stepped(lambda *d: unrolled.rf_iz_step(*d, LEVEL, 1, 1, False), slice(0, 2)),
    ),
    "threshold": Case(
        1, [LEAK] * 2, 2,
        lambda x, d, s, w: adaptive_threshold.dynamics(*x, s[1], d[1], s[0], d[0], STEP, LEVEL, w),
        lambda x, d, s, k: naive.alif(*x, ONE, ONE, *d, *k, th=s[0], r=s[1])[0][2:4],
        stepped(lambda *d: unrolled.alif_step(ONE, ONE, *d, LEVEL, STEP, 1, 1, False), slice(2, 4), before="uv"),
    ),
    "phase": Case(
        2, [LEAK] * 2, 3,
        lambda x, d, s, w: adaptive_phase_th.dynamics(*x, s[0], s[2], d[1], s[1], d[0], STEP, LEVEL, w),
        lambda x, d, s, k: naive.adrf(*x, 0, 0, *d, *k, im=s[0], th=s[1], r=s[2])[0][2:4],
        stepped(lambda *d: unrolled.adrf_step(0, 0, *d, LEVEL, STEP, 1, 1, False), slice(2, 4), before="r"),
    ),
    "adaptive resonator": Case(
        2, [ROTATION] * 2 + [LEAK] * 2, 4,
        lambda x, d, s, w: adaptive_resonator.dynamics(
            *x, d[0], d[1], d[3], d[2], s[0], s[1], s[3], s[2], STEP, LEVEL, w
        ),
        lambda x, d, s, k: ADAPTIVE_RESONATOR.naive(*x, *d, *k, re=s[0], im=s[1], th=s[2], r=s[3])[0][:4],
        stepped(lambda *d: unrolled_adaptive_resonator(*d, LEVEL, STEP, 1, 1, False), slice(0, 4)),
    ),
}  # fmt: skip

every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
# as wide as there are channels: a decay per channel must not go along the width
SHAPES = pytest.mark.parametrize("shape", [(2, 3, 12), (1, 3, 2, 3, 12)], ids=["dense", "spatial"])
OWN = pytest.mark.parametrize("own", [False, True], ids=["shared", "channels"])


def draw(case, shape, own=False, whole=True, seed=0):
    """Inputs off the grid, decays that do not let a state grow, and states on it."""
    generator = torch.Generator().manual_seed(seed)
    x = [torch.randn(shape, generator=generator) for _ in range(case.inputs)]
    d = []
    for low, high in case.decays:
        bound = (low, high) if low == 0 else (-2600, 2600)
        d.append(torch.randint(*bound, (shape[1] if own else 1,), generator=generator).float())
    size = shape[:-1] if whole else (1,)
    s = [torch.randint(-ONE, ONE, size, generator=generator) / ONE for _ in range(case.states)]
    return x, d, s


def expected(case, x, d, s, w_scale=ONE):
    """The oracle's results in units of 1, float64 in the shape of the inputs."""
    shape = x[0].shape
    lanes = [part.flatten(0, -2) for part in x]
    spread = [rate.reshape(1, -1, *[1] * (len(shape) - 3)).expand(shape[:-1]).flatten() for rate in d]
    starts = [state.expand(shape[:-1]).flatten() for state in s]
    levels = int(LEVEL * w_scale), int(STEP * w_scale)
    results = []
    for i in range(len(lanes[0])):
        columns = [[int(v * w_scale) for v in part[i].tolist()] for part in lanes]
        results.append(
            case.naive(
                columns, [int(rate[i]) for rate in spread], [int(start[i] * w_scale) for start in starts], levels
            )
        )
    values = torch.tensor(results, dtype=torch.float64) / w_scale
    return [values[:, k].reshape(shape) for k in range(values.shape[1])]


def check(case, x, d, s, w_scale=ONE):
    actual = case.call(x, d, s, w_scale)
    for a, e in zip(actual, expected(case, x, d, s, w_scale), strict=True):
        assert (a.dtype, a.shape) == (torch.float32, x[0].shape)
        assert torch.equal(a.double(), e)
    return actual


@every
@SHAPES
@OWN
@pytest.mark.parametrize("whole", [False, True], ids=["one state", "states"])
def test_the_dynamics_equal_the_oracle(case, shape, own, whole):
    check(case, *draw(case, shape, own, whole))


@every
@pytest.mark.parametrize("seed", range(5))
def test_the_dynamics_take_decays_at_their_edges(case, seed):
    x, d, s = draw(case, (1, 7, 9), seed=seed)
    for rate, (low, _) in zip(d, case.decays, strict=True):
        rate.data = torch.tensor([0.0, 1, 2, 2048, 2895, 4095, 4096]).roll(seed) * (-1 if low and seed % 2 else 1)
    check(case, x, d, s)


@pytest.mark.parametrize("case", [CASES["threshold"], CASES["phase"]], ids=["threshold", "phase"])
def test_the_dynamics_take_many_lanes_and_values_at_the_threshold(case):
    """More than a kernel takes at a time; a value that equals threshold and refractory state spikes."""
    x, d, s = draw(case, (3, 50, 8), own=True)
    x[0] = torch.full_like(x[0], LEVEL)
    s[-2:] = torch.full((3, 50), LEVEL), torch.zeros(3, 50)
    first = check(case, x, d, s)[0]
    fired = (first[..., 1:] > LEVEL).any(-1)
    if case.inputs == 1:
        assert fired.float().mean() > 0.9
        check(case, [x[0] - 1e-6], d, s)
    else:
        assert 0.5 < fired.float().mean() < 1


@pytest.mark.parametrize("before", [0.0, -1 / ONE, -0.5 / ONE])
def test_a_phase_counts_in_integers(before):
    """A value that is truncated to 0 is not below zero."""
    imag = torch.tensor([0.9, -1, -0.9, 0.9, -1.1, -0.5, -0.9, 0.5, -1, 0, -2, 1, 1]).reshape(1, 1, -1) / ONE
    x = [torch.full_like(imag, 50.0), imag]
    states = [torch.tensor([value]) for value in (before, LEVEL, 0.0)]
    threshold, _ = check(CASES["phase"], x, [torch.zeros(1)] * 2, states)
    fired = (threshold.diff() > 0).flatten().tolist()
    assert fired == [before == -1 / ONE, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 1]


@every
@pytest.mark.parametrize("w_scale", [64, 1024, 2**14])
def test_the_dynamics_take_other_scales(case, w_scale):
    x, d, s = draw(case, (2, 3, 12))
    s = [torch.round(state * 64) / 64 for state in s]
    check(case, x, d, s, w_scale)


@every
@SHAPES
@OWN
def test_the_gradients_of_dynamics_are_those_of_the_unrolled_model(case, shape, own):
    x, d, s = draw(case, shape, own)
    leaves = [*x, *d]
    for leaf in leaves:
        leaf.requires_grad_()
    actual = case.call(x, d, s, ONE)
    gs = [torch.randn(shape, generator=torch.Generator().manual_seed(k)) for k in range(len(actual))]
    sum((a * g).sum() for a, g in zip(actual, gs, strict=True)).backward()

    doubles = [leaf.detach().double().requires_grad_() for leaf in leaves]
    x64, d64 = doubles[: len(x)], doubles[len(x) :]
    spread = [rate.reshape(1, -1, *[1] * (len(shape) - 3)) for rate in d64]
    results = case.unrolled([part.movedim(-1, 0) for part in x64], spread, [state.double() for state in s])
    for a, r in zip(actual, results, strict=True):
        assert torch.equal(a.detach().double(), r.detach().movedim(0, -1))
    sum((r.movedim(0, -1) * g.double()).sum() for r, g in zip(results, gs, strict=True)).backward()
    for leaf, wanted in zip(leaves, doubles, strict=True):
        if leaf.grad is None:  # the values only decide which spikes there are
            assert wanted.grad is None or not wanted.grad.any()
            continue
        largest = wanted.grad.abs().max().item()
        assert largest > 0
        torch.testing.assert_close(leaf.grad.double(), wanted.grad, rtol=1e-3, atol=1e-5 * largest)
    assert all(rate.grad is not None for rate in d)


@every
def test_gradients_at_another_scale_are_the_same(case):
    """Rounding apart: inputs and states on the coarser grid, decays that keep them there."""
    grads = []
    for w_scale in (ONE, 2 * ONE):
        x, d, s = draw(case, (2, 3, 12))
        leaves = [*(torch.round(part * 64) / 64 for part in x), *(torch.round(rate / 2048) * 2048 for rate in d)]
        for leaf in leaves:
            leaf.requires_grad_()
        sum(r.sum() for r in case.call(leaves[: len(x)], leaves[len(x) :], s, w_scale)).backward()
        grads.append([leaf.grad for leaf in leaves if leaf.grad is not None])
    for actual, wanted in zip(*grads, strict=True):
        torch.testing.assert_close(actual, wanted, rtol=1e-2, atol=1e-2 * wanted.abs().max().item())


# -- state ------------------------------------------------------------------------------------


def chunks(x, cut):
    return [part[..., :cut] for part in x], [part[..., cut:] for part in x]


@pytest.mark.parametrize("cut", [1, 7, 11])
def test_leaky_integrator_goes_on(cut):
    case = CASES["leaky with reset"]
    x, d, s = draw(case, (2, 3, 20))
    (whole,) = case.call(x, d, s, ONE)
    first, second = chunks(x, cut)
    (y,) = case.call(first, d, s, ONE)
    state = leaky_integrator.persistent_state(y[..., -1], (y[..., -1] >= LEVEL).float())
    assert torch.equal(case.call(second, d, [state], ONE)[0], whole[..., cut:])


@pytest.mark.parametrize("cut", [1, 7, 11])
def test_resonator_goes_on(cut):
    case = CASES["resonator with reset"]
    x, d, s = draw(case, (2, 3, 20))
    whole = case.call(x, d, s, ONE)
    first, second = chunks(x, cut)
    re, im = (part[..., -1] for part in case.call(first, d, s, ONE))
    spike = (im >= LEVEL).float()
    states = [
        resonator.persistent_real_state(re, spike),
        resonator.persistent_imag_state(im, spike, LEVEL, ONE),
    ]
    for part, wanted in zip(case.call(second, d, states, ONE), whole, strict=True):
        assert torch.equal(part, wanted[..., cut:])


@pytest.mark.parametrize("module", [adaptive_threshold, adaptive_phase_th, adaptive_resonator])
@pytest.mark.parametrize("cut", range(1, 6))
def test_adaptation_goes_on(module, cut):
    case = CASES[{adaptive_threshold: "threshold", adaptive_phase_th: "phase"}.get(module, "adaptive resonator")]
    x, d, s = draw(case, (2, 3, 20))
    x = [2 * part for part in x]
    whole = case.call(x, d, s, ONE)
    first, second = chunks(x, cut)
    *before, th, r = (part[..., -1] for part in case.call(first, d, s, ONE))
    value = before[1] if before else x[0][..., cut - 1]
    spike = torch.trunc(value * ONE) / ONE >= th + r
    if module is adaptive_phase_th:
        imag = torch.cat([s[0][..., None], torch.trunc(x[1] * ONE)], -1)
        spike &= (imag[..., cut] >= 0) & (imag[..., cut - 1] < 0)
        before = [x[1][..., cut - 1]]
    states = [
        *before,
        module.persistent_th_state(th, spike.float(), STEP),
        module.persistent_ref_state(r, spike.float(), th),
    ]
    for part, wanted in zip(case.call(second, d, states, ONE), whole, strict=True):
        assert torch.equal(part, wanted[..., cut:])


# -- arguments --------------------------------------------------------------------------------


def test_a_leaky_integrator_without_a_threshold_is_not_reset():
    x, d, s = draw(CASES["leaky"], (2, 3, 20))
    free = leaky_integrator.dynamics(*x, *d, *s, ONE)
    for threshold in (None, 0, -1):
        assert torch.equal(leaky_integrator.dynamics(*x, *d, *s, ONE, threshold), free)
    x, d, s = draw(CASES["resonator"], (2, 3, 20))
    free = resonator.dynamics(*x, *d, *s, ONE)
    for a, e in zip(resonator.dynamics(*x, *d, *s, ONE, -1), free, strict=True):
        assert torch.equal(a, e)
    assert not torch.equal(resonator.dynamics(*x, *d, *s, ONE, 0)[1], free[1])


def test_debug_has_no_effect():
    x, d, s = draw(CASES["leaky"], (2, 3, 20))
    assert torch.equal(
        leaky_integrator.dynamics(*x, *d, *s, ONE, debug=True), leaky_integrator.dynamics(*x, *d, *s, ONE)
    )


@every
def test_fractions_of_decays_are_ignored(case):
    x, d, s = draw(case, (2, 3, 12))
    between = [rate + torch.where(rate < 0, -0.75, 0.75) for rate in d]
    for actual, whole in zip(case.call(x, between, s, ONE), case.call(x, d, s, ONE), strict=True):
        assert torch.equal(actual, whole)


@every
def test_errors_of_dynamics_name_what_was_given(case):
    x, d, s = draw(case, (2, 3, 20))
    with pytest.raises(ValueError, match="w_scale must be a power of two, got 1000"):
        case.call(x, d, s, 1000)
    with pytest.raises(TypeError, match=r"input must have a floating dtype, got torch\.int64"):
        case.call([x[0].long(), *x[1:]], d, s, ONE)
    with pytest.raises(ValueError, match=r"input must have at least 1 axes \(..., T\), got shape \(\)"):
        case.call([x[0][0, 0, 0], *x[1:]], d, s, ONE)
    with pytest.raises(TypeError, match=r"decay must be a torch\.Tensor, got float"):
        case.call(x, [0.5, *d[1:]], s, ONE)
    with pytest.raises(ValueError, match=r"decay must have one element or one for each of 3 channels, got \(2,\)"):
        case.call(x, [d[0].expand(2), *d[1:]], s, ONE)
    with pytest.raises(ValueError, match=r"state must have one element or a shape .* to \(2, 3\), got \(2,\)"):
        case.call(x, d, [*s[:-1], torch.zeros(2)], ONE)
    with pytest.raises(ValueError, match="state must be finite"):
        case.call(x, d, [*s[:-1], torch.tensor([float("nan")])], ONE)
    for bad in (float("nan"), 4097.0, case.decays[0][0] - 1.0):
        with pytest.raises(ValueError, match=rf"decay must be from -?\d+ to 4096, got \[{bad}\]"):
            case.call(x, [torch.tensor([bad]), *d[1:]], s, ONE)
    for part in range(case.inputs):
        wrong = [p.clone() for p in x]
        wrong[part][0, 1, 2] = float("nan")
        with pytest.raises(ValueError, match="must be finite"):
            case.call(wrong, d, s, ONE)
    if case.inputs == 2:
        with pytest.raises(ValueError, match="inputs must have one shape"):
            case.call([x[0], x[1][..., 1:]], d, s, ONE)


def test_the_dynamics_have_their_public_names():
    assert neuron.dynamics is dynamics
    for name in dynamics.__all__:
        assert callable(getattr(dynamics, name).dynamics)


@every
@pytest.mark.parametrize("shape", [(12,), (3, 12)])
def test_inputs_with_fewer_axes_are_those_with_axes_of_length_one(case, shape):
    """As with leading axes of length 1, in values and gradients: those of (C, T) are channels."""
    own = len(shape) > 1
    lead = (1,) * (3 - len(shape))
    results = []
    for size in (shape, lead + shape):
        x, d, s = draw(case, lead + shape, own)
        x, s = [part.reshape(size).requires_grad_() for part in x], [state.reshape(size[:-1]) for state in s]
        d = [rate.requires_grad_() for rate in d]
        values = case.call(x, d, s, ONE)
        assert [value.shape for value in values] == [torch.Size(size)] * len(values)
        sum((value * torch.arange(12)).sum() for value in values).backward()
        results.append([value.detach().reshape(shape) for value in values] + [p.grad for p in d])
        results[-1] += [part.grad.reshape(shape) for part in x if part.grad is not None]
    for actual, wanted in zip(*results, strict=True):
        assert torch.equal(actual, wanted)
    x, d, s = draw(case, lead + shape, own)
    for value, wanted in zip(results[0], expected(case, x, d, s), strict=False):
        assert torch.equal(value.double(), wanted.reshape(shape))


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_inputs_may_have_other_floating_dtypes(case, dtype):
    """Inputs become the integers that they stand for in their own dtype; results are float32 numbers in it."""
    x, d, s = draw(case, (2, 3, 12))
    # just below an integer, where float32 would round up
    x = [torch.nextafter((part * ONE).round().double() / ONE, torch.tensor(0.0).double()).to(dtype) for part in x]
    x = [part.requires_grad_() for part in x]
    actual = case.call(x, [rate.to(dtype) for rate in d], [state.to(dtype) for state in s], ONE)
    wide = [part.detach().double() for part in x]
    d, s = [rate.to(dtype).float() for rate in d], [state.to(dtype).double() for state in s]
    for value, wanted in zip(actual, expected(case, wide, d, s), strict=True):
        assert value.dtype == dtype
        assert torch.equal(value.detach(), wanted.float().to(dtype))
    actual[0].sum().backward()
    if x[0].grad is not None:  # thresholds give none to the inputs
        assert x[0].grad.dtype == dtype
        plain = [part.trunc().div(ONE).float().requires_grad_() for part in (w * ONE for w in wide)]
        case.call(plain, d, s, ONE)[0].sum().backward()
        assert torch.equal(x[0].grad, plain[0].grad.to(dtype))


@every
def test_float64_that_float32_does_not_hold_is_refused(case):
    x, d, s = draw(case, (2, 3, 12))
    for wrong in (2.0**13 + 1 / ONE, float("inf"), float("nan")):
        for part in range(case.inputs):
            given = [p.double() for p in x]
            given[part][0, 1, 2] = wrong
            with pytest.raises(ValueError, match=r"input must be finite and, in steps of 1/4096, a float32 number"):
                case.call(given, d, s, ONE)
            given[part][0, 1, 2] = 2.0**12 + 0.5 / ONE  # whose integer fits
            assert all(value.isfinite().all() for value in case.call(given, d, s, ONE))


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.int16, torch.uint8])
def test_decays_may_have_other_dtypes(case, dtype):
    x, d, s = draw(case, (2, 3, 12))
    if dtype == torch.uint8:
        d = [rate.abs() % 256 for rate in d]
    other = [rate.to(dtype) for rate in d]
    if dtype == torch.float64:
        other = [torch.where(rate > 0, rate + 1 - 1e-12, rate).requires_grad_() for rate in other]
    results = case.call(x, other, s, ONE)
    for actual, whole in zip(results, case.call(x, d, s, ONE), strict=True):
        assert torch.equal(actual, whole)
    if dtype == torch.float64:
        results[0].sum().backward()
        d = [rate.requires_grad_() for rate in d]
        case.call(x, d, s, ONE)[0].sum().backward()
        for a, e in zip(other, d, strict=True):
            assert (a.grad is None) == (e.grad is None)
            assert a.grad is None or torch.equal(a.grad, e.grad.double())


@every
def test_states_are_expanded_to_the_input(case):
    x, d, s = draw(case, (2, 3, 12))
    s = [state[0] for state in s]
    whole = case.call(x, d, [state.expand(2, 3) for state in s], ONE)
    for actual, wanted in zip(case.call(x, d, s, ONE), whole, strict=True):
        assert torch.equal(actual, wanted)


def test_what_a_spike_leaves_is_not_cut_to_the_dtype_of_the_state():
    state, spike = torch.tensor([3, -2]), torch.tensor([0, 1])
    assert resonator.persistent_imag_state(state, spike, 0.75, 4).tolist() == [3, 0.5]
    assert adaptive_threshold.persistent_th_state(state, spike, 0.25).tolist() == [3, -1.75]
    for dtype in (torch.float16, torch.float64, torch.int32):
        given = state.to(dtype)
        assert adaptive_threshold.persistent_ref_state(given, spike, given).dtype == dtype
        assert adaptive_threshold.persistent_ref_state(given, spike, given).tolist() == [3, -6]


@every
@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.int64, torch.float16])
def test_states_may_have_other_dtypes(case, dtype):
    """Multiplied by w_scale in a dtype that holds the product."""
    x, d, _ = draw(case, (2, 3, 12))
    s = [(torch.arange(6).reshape(2, 3) * 4).to(dtype) for _ in range(case.states)]
    whole = case.call(x, d, [state.double() for state in s], ONE)
    for actual, wanted in zip(case.call(x, d, s, ONE), whole, strict=True):
        assert torch.equal(actual, wanted)
    for value, wanted in zip(whole, expected(case, x, d, [state.double() for state in s]), strict=True):
        assert torch.equal(value.double(), wanted)
