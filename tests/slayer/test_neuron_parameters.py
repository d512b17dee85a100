"""Parameters of all spiking neurons: quantisation, per channel, to the device and back, checkpoints, errors."""

import copy
import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from lavadl_ref import exchange
from lavadl_ref.slayer import neuron
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm
from tests.support.families import SPIKING as FAMILIES
from tests.support.slayer_neurons import OWN, arguments, decays, each, make, require_grad, signal, spike_of

every = pytest.mark.parametrize("name", FAMILIES)
complex_ones = pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.complex])
adaptive_ones = pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.adaptive])
leaks = [(name, decay) for name, f in FAMILIES.items() for decay in f.kernel.FAMILY.decays if decay in OWN]


def equal(actual, expected):
    """Device parameters: the same keys, values and types."""
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        assert type(actual[key]) is type(value), key
        np.testing.assert_array_equal(actual[key], value, key)


def again(name, params):
    """The neuron that device parameters tell of."""
    return getattr(neuron, name).Neuron(**getattr(neuron, name).neuron_params(params))


# -- quantisation -----------------------------------------------------------------------------


@every
@pytest.mark.parametrize(("asked", "mantissa"), [(0.1, 6), (1, 64), (0.999, 63), (1.25, 80), (0, 0)])
def test_the_threshold_of_every_family_is_truncated(name, asked, mantissa):
    n = make(name, threshold=asked)
    assert (n.v_th_mant, n.threshold) == (mantissa, mantissa / 64)
    assert (f"threshold={mantissa / 64} (asked {asked})" in repr(n)) == (mantissa / 64 != asked)


@adaptive_ones
def test_threshold_step_is_truncated(name):
    n = make(name, threshold_step=0.999)
    assert (n.v_th_step, n.threshold_step) == (63, 63 / 64)
    assert "threshold_step=0.984375 (asked 0.999)" in repr(n)


@pytest.mark.parametrize("name", ["cuba", "rf"])
def test_a_threshold_step_belongs_to_adaptive_neurons_alone(name):
    assert not hasattr(make(name), "threshold_step")


@pytest.mark.parametrize(("name", "decay"), leaks)
@pytest.mark.parametrize(("value", "integer"), [(0.3, 1229), (0, 0), (1, 4096), (0.5, 2048)])
def test_the_decays_of_every_family_are_rounded(name, decay, value, integer):
    n = make(name, **{decay: value})
    assert getattr(n, f"cx_{decay}") == integer
    assert isinstance(getattr(n, f"cx_{decay}"), np.int64)
    assert (f"{decay}={integer / 4096} (asked {value})" in repr(n)) == (integer / 4096 != value)


@complex_ones
def test_rotation_is_rounded(name):
    n = make(name, period=10, decay=0.1)
    sine, cosine = 2167, 2982  # 0.9 * 4096 times those of 36 degrees
    assert (n.cx_sin_decay, n.cx_cos_decay) == (sine, cosine)
    gain = math.hypot(sine, cosine) / 4096
    assert n.decay == pytest.approx(1 - gain, abs=1e-12)
    assert n.lam == pytest.approx(-math.log(gain), abs=1e-12)
    assert n.period == pytest.approx(2 * math.pi / math.atan2(sine, cosine), rel=1e-12)
    assert n.frequency == pytest.approx(1 / n.period, rel=1e-12)
    assert f"period={n.period} (asked 10)" in repr(n)
    assert f"decay={n.decay} (asked 0.1)" in repr(n)


@complex_ones
@pytest.mark.parametrize(
    ("period", "decay", "integers"),
    [
        (4, 0, (4095, 0)),
        (4, 1 / 4096, (4095, 0)),
        (1e9, 0, (1, 4095)),
        (8, 0, (2896, 2896)),
        (8, 1, (1, 0)),
        (100, 0.5, (129, 2044)),
    ],
)
def test_rotation_keeps_a_little_decay_and_turns_a_little(name, period, decay, integers):
    n = make(name, period=period, decay=decay)
    assert (n.cx_sin_decay, n.cx_cos_decay) == integers
    assert 0 < n.decay < 1
    assert np.isfinite([n.lam, n.period, n.frequency]).all()


@complex_ones
@pytest.mark.parametrize(
    ("stored", "kept"),
    [((5000.0, 0.0), (4095, 0)), ((3.0, -7.0), (3, 0)), ((-9.0, 10.0), (1, 10)), ((0.0, 0.0), (1, 0))],
)
def test_training_keeps_the_rotation_in_range(name, stored, kept):
    n = make(name, requires_grad=True)
    n.sin_decay.data.fill_(stored[0])
    n.cos_decay.data.fill_(stored[1])
    n(signal(name)).sum().backward()
    assert (n.sin_decay.item(), n.cos_decay.item()) == pytest.approx(kept, abs=1e-3)
    assert n.sin_decay.grad is not None


@pytest.mark.parametrize("bad", [-7.0, 5000.0])
@pytest.mark.parametrize(("name", "decay"), leaks)
def test_training_keeps_decays_of_every_family_in_range(name, decay, bad):
    n = make(name, requires_grad=True)
    getattr(n, decay).data.fill_(bad)
    n(signal(name)).sum().backward()
    assert getattr(n, decay).item() == min(max(bad, 0), 4096)


@every
def test_the_clamp_keeps_decays_in_range(name):
    n = make(name)
    for decay in decays(n, name):
        decay.data.fill_(5000.0)
    n.clamp()
    rotation = 4095 / math.sqrt(2)
    for decay, row in zip(FAMILIES[name].kernel.FAMILY.decays, decays(n, name), strict=True):
        assert row.item() == pytest.approx(4096 if decay in OWN else rotation)


# -- warnings ---------------------------------------------------------------------------------


@every
def test_parameters_within_a_step_give_no_warning(name):
    steps = {"threshold_step": 0.1} if FAMILIES[name].adaptive else {}
    turns = {"period": 1e7, "decay": 0} if FAMILIES[name].complex else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(name, threshold=0.1, **steps)
        make(name, threshold=0, **turns)
        make(name, own=True)(signal(name))


@every
@pytest.mark.parametrize("own", [False, True])
def test_a_parameter_out_of_range_gives_one_warning(name, own):
    cases = [("threshold", 0.01)]
    cases += [(decay, value) for decay in OWN if decay in arguments(name) and decay != "period" for value in (10, -0.1)]
    cases += [("threshold_step", 0.01)] if FAMILIES[name].adaptive else []
    for parameter, value in cases:
        with pytest.warns(UserWarning, match=rf"{name}: {parameter} {value} ") as warned:
            n = make(name, own, **{parameter: value})
        assert len(warned) == 1
        assert warned[0].filename == make.__code__.co_filename
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            n(signal(name))
            repr(n)


# -- per channel ------------------------------------------------------------------------------


@every
def test_own_decays_lie_in_their_range(name):
    n = make(name, own=True)
    n(signal(name, (1, 50, 2)))
    for decay, row in zip(FAMILIES[name].kernel.FAMILY.decays, decays(n, name), strict=True):
        assert row.shape == (50,)
        if decay in OWN:
            low, high = OWN[decay]
            assert ((row >= 4096 * low - 1) & (row <= 4096 * high + 1)).all()
            assert len(row.unique()) > 25
    if FAMILIES[name].complex:
        for value, (low, high) in ((n.period, OWN["period"]), (n.decay, OWN["decay"])):
            assert ((value >= low - 0.01) & (value <= high + 0.05)).all()


@every
def test_one_number_spreads_by_a_hundredth_but_not_in_the_adaptation(name):
    n = make(name, shared_param=False)
    n(signal(name, (1, 50, 2)))
    for decay, row in zip(FAMILIES[name].kernel.FAMILY.decays, decays(n, name), strict=True):
        if decay in ("threshold_decay", "refractory_decay"):
            assert row.tolist() == [pytest.approx(4096 * arguments(name)[decay])] * 50
        elif decay in OWN:
            relative = row.detach() / (4096 * arguments(name)[decay])
            assert ((relative >= 0.99 - 1e-6) & (relative <= 1.01 + 1e-6)).all()
            assert len(row.unique()) > 25


@every
def test_decays_of_every_family_may_be_arrays(name):
    given = {key: np.array([0.1, 0.2, 0.9]) for key in OWN if key in arguments(name)}
    if FAMILIES[name].complex:
        given["period"] = np.array([4.0, 10.0, 33.0])
    n = make(name, **given, shared_param=False)
    before = n.device_params
    n(signal(name))
    equal(n.device_params, before)
    for decay in FAMILIES[name].kernel.FAMILY.decays:
        if decay in OWN:
            assert getattr(n, f"cx_{decay}").tolist() == [410, 819, 3686]
    if FAMILIES[name].complex:
        np.testing.assert_allclose(n.period, given["period"], rtol=0.02)


@complex_ones
def test_frequencies_spread_evenly_or_at_random(name):
    options = {"period": (4.0, 64.0), "decay": 0.0, "shared_param": False}
    n = make(name, **options)
    n(signal(name, (1, 5, 2)))
    np.testing.assert_allclose(n.period, [64, 32, 16, 8, 4], rtol=5e-3)
    torch.manual_seed(0)
    n = make(name, **options, log_init=False)
    n(signal(name, (1, 1000, 2)))
    assert ((n.frequency > 1 / 64.5) & (n.frequency < 1 / 3.99)).all()
    assert np.mean(n.frequency) == pytest.approx((1 / 4 + 1 / 64) / 2, rel=0.05)
    single = make(name, **options)
    single(signal(name, (1, 1, 2)))
    assert single.sin_decay.shape == (1,)


# -- to the device and back -------------------------------------------------------------------


@every
def test_device_parameters_are_those_of_the_file(name):
    n = make(name, threshold=0.3)
    params = n.device_params
    family = exchange.FAMILIES[n.family]
    written = [field.key for field in family.fields if field.name not in ("weight_exp", "weight_exp_imag")]
    assert sorted(params) == sorted(["type", *written])
    assert (params["type"], params["vThMant"], params["gradedSpike"]) == (n.family, 19, False)


@every
@pytest.mark.parametrize("own", [False, True])
@given(st.data())
def test_a_neuron_of_every_family_comes_back_from_its_device_parameters(name, own, data):
    """Whatever training made of it: every threshold, and every decay that clamping leaves."""
    family = FAMILIES[name]
    steps = {"threshold_step": data.draw(st.integers(0, 2**24)) / 64} if family.adaptive else {}
    mantissa = data.draw(st.sampled_from([1, 2**24]) | st.integers(0, 2**24))
    n = make(name, own, threshold=mantissa / 64, graded_spike=data.draw(st.booleans()), **steps)
    size = 3 if own else 1
    n._ranges, n._bounds = {}, None
    for row in decays(n, name):
        edges = st.sampled_from([0.0, 0.49, 0.51, 1.0, 2048.0, 4095.0, 4095.6, 4096.0])
        values = data.draw(st.lists(edges | st.floats(0, 4096, width=32), min_size=size, max_size=size))
        row.data = torch.tensor(values)
    n.clamp()
    params = n.device_params
    equal(again(name, params).device_params, params)


@complex_ones
@example(8.0, 0.0)
@example(4.0, 1.0)
@given(st.floats(4, 1e6), st.sampled_from([0.0, 1e-4, 1.0]) | st.floats(0, 1))
def test_a_rotation_comes_back(name, period, decay):
    params = make(name, period=period, decay=decay).device_params
    equal(again(name, params).device_params, params)


def test_a_rotation_rounded_beyond_the_largest_gain_comes_back():
    """Of all pairs of integers near the circle, those and only those that a clamped rotation rounds to."""
    sine, cosine = (part.ravel() for part in np.meshgrid(np.arange(1, 4096), np.arange(4096), indexing="ij"))
    gain, inner = np.hypot(sine, cosine), np.hypot(sine - 0.499, np.maximum(cosine - 0.499, 0))
    near = (gain > 4094.5) & (inner <= 4095)
    assert (gain[near] > 4095).sum() > 4000
    params = {"vThMant": 64, "sinDecay": sine[near], "cosDecay": cosine[near]}
    n = again("rf", params)
    np.testing.assert_array_equal(n.cx_sin_decay, sine[near])
    np.testing.assert_array_equal(n.cx_cos_decay, cosine[near])
    beyond = np.argmax((gain > 4095) & (inner > 4095.01))
    with pytest.raises(ValueError, match="at most 4095"):
        neuron.rf.neuron_params({"vThMant": 64, "sinDecay": sine[beyond], "cosDecay": cosine[beyond]})


@every
@pytest.mark.parametrize("shape", [(2, 3, 20), (2, 3, 4, 3, 20)])
def test_own_parameters_come_back(name, shape):
    n = make(name, own=True, threshold=0.3, graded_spike=True)
    x = signal(name, shape)
    expected = n(x)
    copied = again(name, n.device_params)
    assert torch.equal(copied(x), expected)
    equal(copied.device_params, n.device_params)


@every
def test_one_number_beside_one_for_each_channel_comes_back(name):
    params = make(name).device_params
    own = "cosDecay" if "cosDecay" in params else "vDecay"
    params[own] = params[own] - np.arange(3)
    n = again(name, params)
    n(signal(name))
    for key, value in n.device_params.items():
        assert np.array_equal(value, np.broadcast_to(params[key], np.shape(value))), key


@every
def test_the_device_parameters_of_every_family_may_be_incomplete(name):
    params = make(name, threshold=1.25).device_params
    del params["gradedSpike"], params["type"]
    back = getattr(neuron, name).neuron_params(params)
    assert back["threshold"] == 1.25
    assert "graded_spike" not in back
    getattr(neuron, name).Neuron(**back)
    for key in params:
        if key != "refDelay":
            with pytest.raises(KeyError):
                getattr(neuron, name).neuron_params({k: v for k, v in params.items() if k != key})


@complex_ones
@pytest.mark.parametrize("rotation", [(-1, 5), (5, -1), (0, 4), (4096, 0), (2897, 2897)])
def test_rotations_that_no_neuron_here_has_are_refused(name, rotation):
    params = {**make(name).device_params, "sinDecay": rotation[0], "cosDecay": rotation[1]}
    with pytest.raises(ValueError, match=f"got {rotation[0]} and {rotation[1]}"):
        getattr(neuron, name).neuron_params(params)


# -- checkpoints ------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("norm", [None, MeanOnlyBatchNorm, WgtScaleBatchNorm])
@pytest.mark.parametrize("shape", [(2, 3, 20), (2, 3, 4, 3, 20)])
def test_a_fresh_neuron_takes_a_state_dict(name, norm, shape):
    n = make(name, own=True, norm=norm)
    x = signal(name, shape)
    n(x)
    fresh = make(name, own=True, norm=norm)
    fresh.load_state_dict(copy.deepcopy(n.state_dict()), strict=True)
    n.eval(), fresh.eval()
    assert torch.equal(fresh(x), n(x))
    equal(fresh.device_params, n.device_params)
    for key, value in n.state_dict().items():
        assert torch.equal(fresh.state_dict()[key], value), key


@every
def test_parameters_of_a_neuron_that_never_ran_are_drawn(name):
    fresh = make(name, own=True)
    fresh.load_state_dict(make(name, own=True).state_dict())
    fresh(signal(name))
    assert all(row.shape == (3,) for row in decays(fresh, name))


@pytest.mark.parametrize("name", [name for name in FAMILIES if "sin_decay" in FAMILIES[name].kernel.FAMILY.decays])
def test_rotations_saved_by_lava_dl_before_any_input_are_drawn(name):
    """It saves NaN for them."""
    fresh = make(name, own=True)
    state = fresh.state_dict()
    state.update({key: torch.full((1,), torch.nan) for key in ("sin_decay", "cos_decay")})
    fresh.load_state_dict(state)
    fresh(signal(name))
    for key in ("sin_decay", "cos_decay"):
        drawn = getattr(fresh, key)
        assert drawn.shape == (3,)
        assert drawn.isfinite().all()


@every
def test_states_are_saved_where_they_persist_and_a_copy_is_its_own(name):
    plain, n = make(name), make(name, persistent_state=True)
    plain(signal(name))
    n(signal(name))
    assert sorted(plain.state_dict()) == sorted(FAMILIES[name].kernel.FAMILY.decays)
    states = [f"persistent_{state}" for state in n._states]
    assert sorted(n.state_dict()) == sorted([*FAMILIES[name].kernel.FAMILY.decays, *states])
    other = copy.deepcopy(n)
    assert torch.equal(other(signal(name, seed=1)), n(signal(name, seed=1)))
    other.reset()
    assert [state for state in n._states if getattr(n, state) is None] == []


@every
def test_arguments_stay_as_they_are(name):
    given = arguments(name, own=True, norm=MeanOnlyBatchNorm)
    before = copy.deepcopy(given)
    getattr(neuron, name).Neuron(**given)(signal(name))
    assert given == before


# -- errors -----------------------------------------------------------------------------------


@every
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": float("nan")}, "threshold must be finite, got nan"),
        ({"tau_grad": 0}, "tau_grad must be positive and finite, got 0"),
        ({"scale_grad": float("inf")}, "scale_grad must be positive"),
        ({"scale": 48}, "scale must be a power of two"),
    ],
)
def test_errors_of_every_family_name_what_was_given(name, options, message):
    with pytest.raises(ValueError, match=message):
        make(name, **options)


@every
def test_decays_of_the_wrong_form_are_refused(name):
    for decay in OWN:
        if decay not in arguments(name):
            continue
        with pytest.raises(ValueError, match=f"{decay} must be .*, got nan"):
            make(name, **{decay: float("nan")})
        with pytest.raises(ValueError, match=rf"{decay} must be one number.* shared_param is True, got \(5, 6\)"):
            make(name, **{decay: (5, 6)})
        with pytest.raises(ValueError, match=rf"{decay} must be one number, a .*got \[5, 6, 7\]"):
            make(name, **{decay: [5, 6, 7], "shared_param": False})


@complex_ones
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"period": 3.99}, "period must be at least 4 steps, got 3.99"),
        ({"period": (2, 10), "shared_param": False}, "period must be at least 4 steps"),
        ({"period": float("inf")}, "period must be one number, finite"),
        ({"period": np.array([5.0, 6.0]), "shared_param": False}, "both be arrays"),
        ({"period": np.array([5.0, 6.0]), "decay": np.full(3, 0.1), "shared_param": False}, "one length"),
    ],
)
def test_periods_of_the_wrong_form_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        make(name, **options)


@adaptive_ones
def test_a_negative_step_of_the_threshold_is_refused(name):
    with pytest.raises(ValueError, match=r"threshold_step must not be negative, got -0\.5"):
        make(name, threshold_step=-0.5)


@every
def test_input_of_the_wrong_kind_is_refused(name):
    n, x = make(name), torch.zeros(2, 3, 20)
    if not FAMILIES[name].complex:
        with pytest.raises(TypeError, match="take one tensor, got 2 values"):
            n((x, x))
        return
    for wrong, kind in ((x, "Tensor"), ((x,), "1 values"), ((x, x, x), "3 values")):
        with pytest.raises(TypeError, match=rf"take a pair \(real, imag\) of tensors, got {kind}"):
            n(wrong)
    with pytest.raises(ValueError, match=r"one shape, got \(2, 3, 20\) and \(2, 3, 19\)"):
        n((x, x[..., 1:]))
    for wrong in ((x.double(), x), (x, x.double())):
        with pytest.raises(TypeError, match=r"must be float32, got torch\.float64"):
            n(wrong)
    with pytest.raises(TypeError, match=r"must be a torch\.Tensor, got int"):
        n((x, 0))


@every
def test_unusable_input_leaves_a_neuron_of_any_family_as_it_was(name):
    n = make(name, own=True)
    x = signal(name)
    for use in (n, n.dynamics):
        with pytest.raises(TypeError, match=r"must be float32, got torch\.float64"):
            use(each(x, lambda part: part.double()))
        with pytest.raises(TypeError, match="on meta; this package computes on the CPU"):
            use(each(x, lambda part: part.to("meta")))
        with pytest.raises(ValueError, match=r"must have shape \(N, C, T\).*got \(3, 20\)"):
            use(each(x, lambda part: part[0]))
    assert n.shape is None
    n(x)
    with pytest.raises(ValueError, match=r"shape \(N, 3, T\), got \(2, 4, 20\)"):
        n(signal(name, (2, 4, 20)))


@every
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_input_without_a_fixed_point_is_refused_in_every_family(name, bad):
    for part in range(FAMILIES[name].parts):
        x = each(signal(name), torch.clone)
        (x[part] if isinstance(x, tuple) else x)[0, 1, 3] = bad
        for n in (make(name), make(name, norm=MeanOnlyBatchNorm)):
            with pytest.raises(ValueError, match="must be finite"):
                n(x)


@every
def test_decays_for_another_number_of_channels_are_refused_in_every_family(name):
    given = {key: np.array([5.0, 6.0]) if key == "period" else np.array([0.1, 0.2]) for key in OWN}
    n = make(name, **{key: given[key] for key in given if key in arguments(name)}, shared_param=False)
    with pytest.raises(ValueError, match="has 2 values, one per channel, but the input has 3 channels"):
        n(signal(name))


@every
def test_a_neuron_of_every_family_may_be_without_spikes(name):
    """Its states are those of a threshold out of reach."""
    n, x = make(name, threshold=-1, persistent_state=True), signal(name)
    with pytest.raises(ValueError, match="negative threshold -1"):
        n(x)
    n.reset()
    traces = n.dynamics(x)
    expected = make(name, threshold=2**17).dynamics(x)
    for trace, wanted in list(zip(traces, expected, strict=True))[:2]:
        assert torch.equal(trace, wanted)
    if FAMILIES[name].adaptive:
        assert (traces[2] == math.inf).all()
        assert not traces[3].any()
    with pytest.raises(ValueError, match="negative threshold -1"):
        spike_of(n, name, traces)
    n.reset()
    first = n.dynamics(each(x, lambda part: part[..., :7]))
    second = n.dynamics(each(x, lambda part: part[..., 7:]))
    for a, b, whole in zip(first, second, traces, strict=True):
        assert torch.equal(torch.cat([a, b], -1), whole)


@every
def test_a_threshold_of_zero_runs_but_does_not_train(name):
    n = make(name, threshold=0)
    x = signal(name)
    assert n(x).any()
    with pytest.raises(ValueError, match="threshold 0 has no surrogate gradient"):
        n(require_grad(x))
