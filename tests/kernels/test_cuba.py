"""CUBA's `step`, `forward` and `run` against the oracle, with ==."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lavadl_kernels import cuba
from lavadl_kernels.fixed_point import input_bound

from tests import naive
from tests.kernels.cases import MANY, Case, cases


def oracle(case, **options):
    """Arrays u, w, v, spike of shape (T, M), of Python integers."""
    lanes = [
        naive.cuba(
            column,
            int(case.current_decay[i]),
            int(case.voltage_decay[i]),
            case.threshold,
            u=int(case.u[i]),
            v=int(case.v[i]),
            **options,
        )
        for i, column in enumerate(zip(*case.integers, strict=True))
    ]
    return [np.array(part).T for part in zip(*lanes, strict=True)]


def parameters(case):
    return case.current_decay, case.voltage_decay, case.threshold


def forward(case):
    return cuba.forward(case.x, case.u, case.v, *parameters(case), case.graded)


def check_forward(case):
    spike, u, v = forward(case)
    us, ws, vs, spikes = oracle(case)
    size = (ws / 4096).astype(np.float32) if case.graded else 1
    assert spike.dtype == np.float32
    assert (u.dtype, v.dtype) == (np.int64, np.int64)
    np.testing.assert_array_equal(spike, np.where(spikes == 1, size, 0))
    np.testing.assert_array_equal(u, us[-1])
    np.testing.assert_array_equal(v, vs[-1])


def uniform(value, current_decay, voltage_decay, threshold, steps=4, state=0):
    """One lane with constant input `value` (1/4096)."""
    one = np.ones(1, np.int64)
    x = np.full((steps, 1), value / 4096, np.float32)
    return Case(x, state * one, state * one, current_decay * one, voltage_decay * one, threshold, False)


@given(cases())
@example(uniform(64, 4096, 4096, 64))
@example(uniform(65, 4096, 4096, 64))
@example(uniform(0, 0, 0, 0))
@example(uniform(-1, 1, 1, 0, steps=9, state=-1))
def test_forward(case):
    check_forward(case)


@given(cases((2**36, 2**39, 2**40), off_grid=False))
def test_forward_beyond_float64(case):
    """Inputs too large for float64 states fall back to int64, still exact."""
    case.x[0, 0] = 2.0**28
    assert abs(case.x).max() * 4096 > input_bound(len(case.x), 2, wide=False)
    check_forward(case)


def test_float64_would_not_have_sufficed():
    """The fallback matters: the same recurrence in float64 gives another integer."""
    state = 2**44 + 1
    assert int(np.float64(state) * 4095 / 4096) != naive.leak(state, 1)
    check_forward(uniform(0, 1, 1, 2**60, steps=1, state=state))


def test_equality_neither_spikes_nor_resets():
    spike, _, v = forward(uniform(4096, 4096, 4096, 4096))
    assert spike.sum() == 0
    assert v[0] == 4096
    spike, _, v = forward(uniform(4097, 4096, 4096, 4096))
    assert spike.all()
    assert v[0] == 0


@given(cases(), st.data())
def test_chunks_in_time_are_the_whole(case, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(case.x)), max_size=3)))
    spike, u, v = forward(case)
    parts, state = [], (case.u, case.v)
    for lo, hi in zip([0, *cuts], [*cuts, len(case.x)], strict=True):
        part, *state = cuba.forward(case.x[lo:hi], *state, *parameters(case), case.graded)
        parts.append(part)
    np.testing.assert_array_equal(np.concatenate(parts), spike)
    np.testing.assert_array_equal(state, (u, v))


@given(cases())
def test_both_number_types_agree(case):
    results = []
    for zero in (np.float64(0), np.int64(0)):
        spike, u, v = np.empty_like(case.x), np.empty_like(case.u), np.empty_like(case.v)
        bound = np.float32(2**40)
        assert cuba._forward(
            case.u.size, case.x, case.u, case.v, *parameters(case), case.graded, bound, zero, spike, u, v
        )
        results.append((spike, u, v))
    for actual, other in zip(*results, strict=True):
        np.testing.assert_array_equal(actual, other)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2.0**50, -3e38])
@pytest.mark.parametrize("lane", [0, MANY - 1])
def test_input_without_a_fixed_point_value(bad, lane):
    x = np.zeros((3, MANY), np.float32)
    x[1, lane] = bad
    state = np.zeros(MANY, np.int64)
    with pytest.raises(ValueError, match="must be finite and below"):
        cuba.forward(x, state, state, state, state, 64)


@pytest.mark.parametrize(("steps", "lanes"), [(0, 3), (3, 0), (0, 0)])
def test_nothing_to_do(steps, lanes):
    x, state = np.zeros((steps, lanes), np.float32), np.arange(lanes, dtype=np.int64)
    spike, u, v = cuba.forward(x, state, state, state, state, 64)
    assert spike.shape == (steps, lanes)
    if steps == 0:
        np.testing.assert_array_equal([u, v], [state, state])
    grads = cuba.backward(x, state, state, state, state, 64, 1.0, 1.0, False, x)
    assert [g.shape for g in grads] == [(steps, lanes), (lanes,), (lanes,)]


@given(
    st.integers(-(2**26), 2**26),
    st.integers(-(2**26), 2**26),
    st.integers(-(2**34), 2**34),
    st.integers(-(2**24), 2**24),
    st.integers(0, 4096),
    st.integers(0, 4096),
    st.integers(0, 2**24),
    st.booleans(),
)
@example(0, 0, 2**23, 0, 0, 0, 2**23 - 1, True)
@example(0, 0, 3 * 2**23 + 1, 0, 0, 0, 0, True)
@example(-1, -1, 0, 0, 1, 1, 0, False)
def test_step(u, v, a, bias, current_decay, voltage_decay, threshold, loihi):
    actual = cuba.step(u, v, a, bias, current_decay, voltage_decay, threshold, loihi)
    us, ws, vs, spikes = naive.cuba([a], current_decay, voltage_decay, threshold, bias, u, v, loihi)
    assert actual == (us[0], vs[0], bool(spikes[0]), ws[0])
    assert all(isinstance(value, int) for value in actual)


def test_step_on_unbounded_integers():
    u, v, a = 2**90 + 1, -(3**60), 7**40
    actual = cuba.step(u, v, a, -1, 5, 4000, 2**80, False)
    us, ws, vs, spikes = naive.cuba([a], 5, 4000, 2**80, -1, u, v)
    assert actual == (us[0], vs[0], bool(spikes[0]), ws[0])


# -- run: integers with the chip's widths ---------------------------------------------------


@st.composite
def deployed(draw):
    """Arguments of `run` as a dict; sums up to and beyond the widths."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lanes, steps = draw(st.sampled_from([(1, 20), (5, 12), (MANY, 3)]))
    magnitude = draw(st.sampled_from([1, 64, 2**14, 2**20, 2**23, 3 * 2**23 + 5, 2**31, 2**33]))
    case = draw(cases((4096,)))
    inside = min(magnitude, 2**23 - 1)
    return {
        "a": rng.integers(-magnitude, magnitude + 1, (steps, lanes)),
        "bias": rng.integers(-inside, inside + 1, lanes) if draw(st.booleans()) else np.zeros(lanes, np.int64),
        "u": rng.integers(-inside, inside + 1, lanes),
        "v": rng.integers(-inside, inside + 1, lanes),
        "current_decay": np.resize(case.current_decay, lanes),
        "voltage_decay": np.resize(case.voltage_decay, lanes),
        "threshold": draw(st.sampled_from([0, 64, inside // 2, inside, (2**17 - 1) * 64])),
        "start": draw(st.integers(0, steps + 1)),
        "reset": rng.random(steps) < draw(st.sampled_from([0, 0.4])),
    }


def run(case, record=True):
    steps, lanes = case["a"].shape
    rows = steps if record else 0
    out = {
        "spike": np.full((steps, lanes), 9, np.uint8),
        "current": np.full((rows, lanes), 9, np.int32),
        "voltage": np.full((rows, lanes), 9, np.int32),
        "exceeded": np.full(lanes, 9, np.int64),
    }
    u, v = case["u"].copy(), case["v"].copy()
    cuba.run(*({**case, "u": u, "v": v} | out).values())
    return {**out, "u": u, "v": v}


def run_oracle(case, i):
    """Lane i: u, v after reset, spikes, and the first step at which a width did not hold."""
    keys = ("current_decay", "voltage_decay")
    constants = [int(case[key][i]) for key in keys] + [case["threshold"], int(case["bias"][i])]
    u, v = int(case["u"][i]), int(case["v"][i])
    us, vs, spikes, exceeded = [], [], [], -1
    for t, a in enumerate(case["a"][:, i].tolist()):
        if case["reset"][t]:
            u = v = 0
        if t >= case["start"]:
            free = naive.leak(u, constants[0]) + a
            (u1,), (w1,), (v1,), (s,) = naive.cuba([a], *constants, u, v, loihi=True)
            if exceeded < 0 and (free != u1 or naive.leak(v, constants[1]) + u1 + constants[3] != w1):
                exceeded = t
            u, v = u1, v1
        else:
            s = 0
        us.append(u), vs.append(v), spikes.append(s)
    return us, vs, spikes, exceeded


@given(deployed())
def test_run(case):
    actual = run(case)
    expected = [run_oracle(case, i) for i in range(case["a"].shape[1])]
    us, vs, spikes, exceeded = (np.array(part).T for part in zip(*expected, strict=True))
    np.testing.assert_array_equal(actual["current"], us)
    np.testing.assert_array_equal(actual["voltage"], vs)
    np.testing.assert_array_equal(actual["spike"], spikes)
    np.testing.assert_array_equal(actual["exceeded"], exceeded)
    np.testing.assert_array_equal(actual["u"], us[-1])
    np.testing.assert_array_equal(actual["v"], vs[-1])


@given(deployed())
def test_run_agrees_with_the_oracle_in_one_go(case):
    """The oracle's own `start` and `resets`, over all steps at once."""
    actual = run(case)
    lane = 0
    us, _, vs, spikes = naive.cuba(
        case["a"][:, lane].tolist(),
        int(case["current_decay"][lane]),
        int(case["voltage_decay"][lane]),
        case["threshold"],
        int(case["bias"][lane]),
        int(case["u"][lane]),
        int(case["v"][lane]),
        loihi=True,
        start=case["start"],
        resets=set(np.flatnonzero(case["reset"]).tolist()),
    )
    np.testing.assert_array_equal(actual["current"][:, lane], us)
    np.testing.assert_array_equal(actual["voltage"][:, lane], vs)
    np.testing.assert_array_equal(actual["spike"][:, lane], spikes)


@given(deployed())
def test_run_without_recording(case):
    silent, recorded = run(case, record=False), run(case)
    for key in ("spike", "exceeded", "u", "v"):
        np.testing.assert_array_equal(silent[key], recorded[key])


@given(deployed(), st.data())
def test_run_in_chunks_is_the_whole(case, data):
    cut = data.draw(st.integers(0, len(case["a"])))
    whole = run(case)
    first = run({**case, "a": case["a"][:cut], "reset": case["reset"][:cut]})
    second = run(
        {
            **case,
            "a": case["a"][cut:],
            "reset": case["reset"][cut:],
            "start": case["start"] - cut,
            "u": first["u"],
            "v": first["v"],
        }
    )
    for key in ("spike", "current", "voltage"):
        np.testing.assert_array_equal(np.concatenate([first[key], second[key]]), whole[key])
    later = np.where(second["exceeded"] < 0, -1, second["exceeded"] + cut)
    np.testing.assert_array_equal(np.where(first["exceeded"] < 0, later, first["exceeded"]), whole["exceeded"])


@given(cases((4096, 2**16), off_grid=False))
def test_run_equals_forward_inside_the_widths(case):
    """Slayer's integers and the chip's are the same while nothing exceeds a width."""
    spike, u, v = cuba.forward(case.x, case.u, case.v, *parameters(case))
    steps, lanes = case.x.shape
    deployed = {
        "a": np.array(case.integers, dtype=np.int64),
        "bias": np.zeros(lanes, np.int64),
        "u": case.u,
        "v": case.v,
        "current_decay": case.current_decay,
        "voltage_decay": case.voltage_decay,
        "threshold": case.threshold,
        "start": 0,
        "reset": np.zeros(steps, bool),
    }
    actual = run(deployed)
    inside = actual["exceeded"] < 0
    assert inside.any()
    np.testing.assert_array_equal(actual["spike"][:, inside], spike[:, inside])
    np.testing.assert_array_equal(actual["u"][inside], u[inside])
    np.testing.assert_array_equal(actual["v"][inside], v[inside])
