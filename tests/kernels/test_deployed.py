"""Deployed neurons of every family against the oracle, with ==."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from lavadl_kernels.engine import deployed
from lavadl_kernels.neurons import sigma_delta

from tests.support import oracle as naive
from tests.support.families import ADAPTIVE
from tests.support.families import SPIKING as FAMILIES
from tests.support.kernel_deployment import STATES, UNITS, deploy, deployments, same, uniform
from tests.support.oracle import deployed as naive_deployed

every = pytest.mark.parametrize("kind", STATES)
either = pytest.mark.parametrize("loihi", [True, False], ids=["loihi", "slayer"])


def check(case):
    expected = naive_deployed.run(case)
    assume(case.loihi or naive_deployed.bounded(expected))
    same(case.run(), expected)


@every
@either
@given(st.data())
def test_a_deployment_equals_the_oracle(kind, loihi, data):
    check(data.draw(deployments(kind, loihi)))


@every
@given(st.data())
def test_recording_changes_nothing(kind, data):
    case = data.draw(deployments(kind))
    recorded = case.run()
    same(case.run(record=False), recorded._replace(record=recorded.record[:, :0]))


@every
@given(st.data())
def test_pieces_of_time_are_the_whole(kind, data):
    case = data.draw(deployments(kind))
    whole, cut = case.run(), data.draw(st.integers(0, len(case.reset)))
    first = replace(case, total=case.total[:, :cut].copy(), reset=case.reset[:cut]).run()
    total = case.total[:, cut:].copy()
    if case.weights is not None and 0 < cut < len(case.reset):  # what the last messages send is the caller's to add
        sent = first.message[-1].reshape(-1, UNITS).astype(np.int64)
        total[:, 0] += np.stack([(sent @ part.T).reshape(-1) for part in case.weights])
    rest = replace(case, total=total, reset=case.reset[cut:], start=case.start - cut, state=first.state).run()
    later = np.where(rest.exceeded < 0, -1, rest.exceeded + cut)
    exceeded = np.where(first.exceeded < 0, later, first.exceeded)
    message = np.concatenate([first.message, rest.message])
    same((message, np.concatenate([first.record, rest.record], axis=1), rest.state, exceeded), whole)


@every
@given(st.data())
def test_the_profiles_agree_until_a_width_matters(kind, data):
    case = data.draw(deployments(kind, loihi=True))
    narrow, free = case.run(), replace(case, loihi=False).run()
    units = 1 if case.weights is None else UNITS
    first = narrow.exceeded.reshape(-1, units).astype(np.uint64).min(1)  # -1 is the largest
    np.testing.assert_array_equal(free.exceeded.reshape(-1, units).astype(np.uint64).min(1), first)
    before = np.arange(len(case.reset), dtype=np.uint64)[:, None] < np.repeat(first, units)
    np.testing.assert_array_equal(narrow.message[before], free.message[before])
    np.testing.assert_array_equal(narrow.record[:, before], free.record[:, before])


@every
@given(st.data())
def test_lanes_move_together_as_they_do_one_by_one(kind, data):
    case = data.draw(deployments(kind))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deployed, "TOGETHER", False)
        each = case.run()
    same(case.run(), each)


@every
@pytest.mark.parametrize("beyond", [False, True])
def test_lanes_move_together_until_a_number_leaves_its_width(kind, beyond):
    case = build(kind, np.zeros((2, 1, 3)))
    count = len(case.state)
    decay, after, message = np.zeros((5, 3), np.int32), np.full((count, 3), 9, np.int32), np.full(3, 9)
    assert deployed.fetch_rows(case.neuron, 0, 3, decay)
    x = np.zeros((2, 3), np.int32)
    x[:, 2] = 2**28 if beyond else 90
    state = case.state.astype(np.int32)
    moved = deployed.advance_within(case.neuron, decay, state, after, x, message, 0, case.graded)
    assert moved != beyond
    if moved:
        case.total[:] = x[: len(case.total), None]
        ran = case.run()
        np.testing.assert_array_equal(after, ran.state)
        np.testing.assert_array_equal(message, ran.message[0])


@every
def test_lanes_may_share_their_values(kind):
    """Bias, rest and, where there are decays, these."""
    case = uniform(kind, 7, 9, 4)
    case.bias[:], case.rest[:] = 3000, 50
    if hasattr(case.neuron, "decay"):
        case.neuron = case.neuron._replace(decay=np.repeat(case.neuron.decay[:, :1], 7, axis=1))
    once = replace(case, bias=case.bias[:, :1].copy(), rest=case.rest[:, :1].copy())
    if hasattr(case.neuron, "decay"):
        once.neuron = case.neuron._replace(decay=case.neuron.decay[:, :1].copy())
    same(once.run(), case.run())
    case.total[:, 3] = once.total[:, 3] = 2**34  # lanes one by one
    same(once.run(), case.run())


@every
@either
@pytest.mark.parametrize(("steps", "lanes"), [(0, 3), (3, 0)])
def test_a_deployment_runs_without_steps_or_lanes(kind, loihi, steps, lanes):
    case = build(kind, np.zeros((2, steps, lanes)), loihi=loihi)
    ran = case.run()
    assert (ran.message.shape, ran.exceeded.tolist()) == ((steps, lanes), [-1] * lanes)
    np.testing.assert_array_equal(ran.state, case.state)


@given(deployments("cuba", loihi=True, feedback=False))
def test_cuba_runs_deployed_in_one_go(case):
    """The oracle's own `start` and `resets`, over all steps at once."""
    case = replace(case, up=np.zeros(1, np.int64), bits=32, rest=0 * case.rest, bias=0 * case.bias, graded=False)
    case.neuron = case.neuron._replace(exponent=0)
    ran, lane = case.run(), 0
    current_decay, voltage_decay, bias = case.neuron.decay[:, lane].tolist()
    us, _, vs, spikes = naive.cuba(
        case.total[0, :, lane].tolist(),
        current_decay,
        voltage_decay,
        case.neuron.threshold,
        bias,
        *case.state[:, lane].tolist(),
        loihi=True,
        start=case.start,
        resets=set(np.flatnonzero(case.reset).tolist()),
    )
    assert ran.record[:, :, lane].tolist() == [us, vs]
    assert ran.message[:, lane].tolist() == spikes


def build(kind, total, **options):
    """Neurons without decay or rotation at threshold 100; of `total` (2, T, M) they take the parts they need."""
    lanes = np.shape(total)[2]
    of = np.full(lanes, 100)
    if kind in FAMILIES:
        family = FAMILIES[kind]
        decay = np.zeros((family.rows, lanes), np.int64)
        decay[1] = 4096 * family.complex
        neuron = family.kernel.Parameters(decay, 100, *[10] * family.adaptive)
        total = total[: family.parts]
    else:
        neuron = {
            "sigma_delta": sigma_delta.SigmaDelta(of, 0 * of, False, False),
            "delta": sigma_delta.Delta(of, False),
            "sigma": sigma_delta.Sigma(0 * of),
        }[kind]
        total = total[:1]
    state = np.zeros((STATES[kind], lanes), np.int64)
    if kind in FAMILIES and FAMILIES[kind].adaptive:
        state[2] = 100
    case = deploy(neuron, total, state, graded=kind not in FAMILIES, **options)
    case.rest[:] = state
    return case


# -- the numbers of a step, one by one ------------------------------------------------------


def over_time(*values):
    """The same real and imaginary input of one lane, (2, T, 1)."""
    return np.array([[[value] for value in values]] * 2)


@pytest.mark.parametrize(
    ("bits", "total", "kept", "exceeded"),
    [
        (24, 2**23 - 1, 2**23 - 1, -1),
        (24, 2**23, -(2**23), 0),
        (24, -(2**23), -(2**23), -1),
        (24, -(2**23) - 1, 2**23 - 1, 0),
        (24, 2**24 + 5, 5, 0),
        (32, 2**24 + 5, 2**24 + 5, -1),
        (32, 2**31 - 1, 2**31 - 1, -1),
        (32, 2**31, -(2**31), 0),
        (32, -(2**31) - 1, 2**31 - 1, 0),
    ],
)
def test_a_sum_wraps_at_its_width(bits, total, kept, exceeded):
    ran = build("sigma", over_time(total), bits=bits).run()
    assert (ran.message[0, 0], ran.exceeded[0]) == (kept, exceeded)
    ran = build("sigma", over_time(total), bits=bits, loihi=False).run()
    assert (ran.message[0, 0], ran.exceeded[0]) == (total, exceeded)


@pytest.mark.parametrize(("total", "exceeded"), [(49, -1), (50, 1)])
def test_feedback_counts_to_the_width_of_the_sum(total, exceeded):
    """A spike adds 2**23 - 50 at the next step."""
    case = build("alif", over_time(200 * 64, total), bits=24, weights=np.array([[[2**23 - 50]]]))
    case.up[0] = -6
    ran = case.run()
    assert (ran.message[0, 0], ran.exceeded[0]) == (1, exceeded)


@pytest.mark.parametrize(
    ("total", "bias", "up", "kept"),
    [
        (-1, 0, -1, 0),
        (1, 0, -1, 0),
        (-3, 0, -1, -1),
        (-64, 1, -6, 0),
        (-65, 1, -6, -1),
        (-5, 2, 6, -192),
        (2**25 - 1, 0, 6, 2**31 - 64),
        (2**25, 0, 6, -(2**31)),
        (2**31 - 1, 1, 0, -(2**31)),
    ],
)
def test_sum_and_bias_are_scaled_together(total, bias, up, kept):
    """Sum and bias are scaled together, toward zero, to 32 bits."""
    case = build("sigma", over_time(total))
    case.bias[0], case.up[0] = bias, up
    ran, exact = case.run(), (total + bias) * 2**up if up >= 0 else kept
    assert (ran.message[0, 0], ran.exceeded[0]) == (kept, -1 if kept == exact else 0)
    assert replace(case, loihi=False).run().message[0, 0] == exact


@pytest.mark.parametrize("kind", ["sigma_delta", "sigma"])
def test_an_input_may_be_wider_than_the_sum_it_gives(kind):
    """2**25 << 6 has no place in 32 bits, although the sum with the state has."""
    case = build(kind, over_time(2**25))
    case.up[0], case.state[0] = 6, -5
    ran = case.run()
    assert (ran.state[0, 0], ran.exceeded[0]) == (2**31 - 5, 0)


@pytest.mark.parametrize("kind", ["sigma_delta", "sigma"])
@pytest.mark.parametrize(("total", "bias", "exceeded"), [(4, 0, -1), (10, 0, 0), (10, -10, 0), (0, 10, 0), (0, 4, -1)])
def test_a_sum_over_time_is_held_to_its_width(kind, total, bias, exceeded):
    """The sum by itself, also where the bias brings it back, and the sum with its bias."""
    case = build(kind, over_time(total))
    case.state[0], case.neuron.bias[0] = 2**31 - 5, bias
    ran = case.run()
    assert (ran.state[0, 0], ran.exceeded[0]) == (naive.wrap32(2**31 - 5 + total), exceeded)


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_state_is_held_to_its_width(kind):
    """A current folds, everything else is clipped."""
    folds = kind in ("cuba", "alif")
    for value, kept in ((2**23 - 1, 2**23 - 1), (2**23 + 5, 5 - 2**23 if folds else 2**23 - 1)):
        case = build(kind, over_time(value))
        ran = replace(case, neuron=case.neuron._replace(threshold=2**40)).run()
        assert (ran.record[0, 0, 0], ran.exceeded[0]) == (kept, -1 if kept == value else 0)


@pytest.mark.parametrize("kind", ADAPTIVE)
@pytest.mark.parametrize(
    ("threshold", "refractory", "exceeded"),
    [(2**31 - 20, 20 - 2**31, -1), (2**31 - 5, 5 - 2**31, 0), (2**31 - 20, 120 - 2**31, 0)],
)
def test_threshold_and_refractory_state_are_held_to_their_width(kind, threshold, refractory, exceeded):
    """A spike adds 10 to the one and twice the threshold to the other, in 32 bits."""
    case = build(kind, over_time(2**20))
    case.state[1:, 0] = -1, threshold, refractory
    ran = case.run()
    assert ran.state[2:, 0].tolist() == [naive.wrap32(threshold + 10), naive.wrap32(refractory + 2 * threshold)]
    assert (ran.message[0, 0], ran.exceeded[0]) == (1, exceeded)


@pytest.mark.parametrize(
    ("threshold", "before", "error", "value"),
    [
        (100, 0, 5, -(2**31)),  # its magnitude is negative in 32 bits, so the message does not clear the error
        (2**31 - 1, -1, -5, 2**31 - 1),  # the change wraps, the error wraps back, and the residue is another
    ],
)
def test_states_may_differ_behind_the_same_message(threshold, before, error, value):
    case = build("delta", over_time(value))
    case.neuron = sigma_delta.Delta(np.array([threshold]), True)
    case.state[:, 0] = before, 0, error
    ran, free = case.run(), replace(case, loihi=False).run()
    assert ran.message.tolist() == free.message.tolist()
    assert ran.state.tolist() != free.state.tolist()
    assert (ran.exceeded[0], free.exceeded[0]) == (0, 0)
