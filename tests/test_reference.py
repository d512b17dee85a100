"""The integer reference run against the oracle, its options, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from lavadl_ref import exchange
from lavadl_ref.audit import audit
from lavadl_ref.deployed import reference
from lavadl_ref.exchange import Average, Conv, Dense, Flatten, Input, Network, Neuron, Pool, Recurrent, TimeDecimation
from tests.support import generate
from tests.support import oracle as naive
from tests.support.generate import Case, oracle

EVERYTHING = reference.RECORDABLE


def cuba(threshold=120, current_decay=1000, voltage_decay=300, **more):
    decays = {"current_decay": current_decay, "voltage_decay": voltage_decay}
    return Neuron("CUBA", {**decays, "threshold": threshold, **more})


def layer(outputs, inputs, seed=0, **more):
    weight = 2 * np.random.default_rng(seed).integers(-20, 50, (outputs, inputs))
    return Dense(shape=(outputs,), **{"neuron": cuba(), "weight": weight, **more})


def spikes(*shape, seed=0):
    return (np.random.default_rng(seed).random(shape) < 0.4).astype(np.int64)


def two(**last):
    """Two dense layers, 6 to 5 to 4."""
    return Network((layer(5, 6), layer(4, 5, 1, **last)))


def assert_equal(case, run, **more):
    expected, output = oracle(case, **more)
    beyond = {place.layer: place for place in run.exceeded}
    for position, (want, ran) in enumerate(zip(expected, run.layers, strict=True)):
        label = f"layer {position}: {case.label}"
        firsts = want.pop("exceeded", np.array([-1])).reshape(-1)
        for name, values in want.items():
            np.testing.assert_array_equal(getattr(ran, name), values, f"{name} of {label}")
        if more.get("profile") == "slayer":  # the oracle knows no widths there
            continue
        late = np.where(firsts < 0, 10**9, firsts)
        assert (position in beyond) == (firsts >= 0).any(), label
        if position in beyond:
            place = beyond[position]
            flat = np.ravel_multi_index(place.neuron, ran.layer.shape)
            assert (place.step, place.count) == (late.min(), (firsts >= 0).sum()), label
            assert firsts[flat] == place.step, label
    np.testing.assert_array_equal(run.output, output, case.label)


# -- integers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("time_base", reference.TIME_BASES)
@pytest.mark.parametrize("seed", range(40))
def test_the_reference_equals_the_oracle(seed, time_base):
    case = generate.case(seed)
    network = reference.Network(case.network, time_base=time_base, **case.options)
    assert_equal(case, network.run(case.inputs, record=EVERYTHING), time_base=time_base)


OPTIONS = [{}, {"time_base": "lava"}, {"profile": "slayer"}, {"spike_exp": 8}]


@pytest.mark.parametrize("seed", range(60))
def test_the_reference_of_all_families_equals_the_oracle(seed):
    """Networks of mixed families, each with one of the options."""
    case = generate.case(seed, families=generate.ALL_FAMILIES)
    options = OPTIONS[seed % len(OPTIONS)]
    network = reference.Network(case.network, **options, **case.options)
    assert_equal(case, network.run(case.inputs, record=EVERYTHING), **options)


@pytest.mark.parametrize("seed", range(25))
def test_the_reference_beyond_the_widths_equals_the_oracle(seed):
    case = generate.case(seed, families=generate.ALL_FAMILIES, wild=True)
    network = reference.Network(case.network, **case.options)
    assert_equal(case, network.run(case.inputs, record=EVERYTHING))


def test_the_random_networks_are_alive_and_of_all_kinds():
    """Else the test above would show little."""
    cases = [generate.case(seed) for seed in range(60)]
    kinds = {x.kind for case in cases for x in case.network.layers}
    assert kinds == {"input", "flatten", *generate.ALL}
    rates = [r["spikes"].mean() for case in cases for r in oracle(case)[0] if "spikes" in r]
    assert sum(0 < rate < 1 for rate in rates) > 0.75 * len(rates)
    layers = [x for case in cases for x in case.network.layers]
    assert sum(x.delay is not None for x in layers) > 20
    assert sum(getattr(x, "bias", None) is not None and x.kind != "input" for x in layers) > 20
    assert sum(bool(case.options) for case in cases) > 10


def test_the_reference_reads_files(tmp_path):
    exchange.write(tmp_path / "x.net", two())
    x = spikes(6, 30)
    actual = reference.Network(tmp_path / "x.net").run(x)
    np.testing.assert_array_equal(actual.output, reference.Network(two()).run(x).output)
    assert actual.output.any()


def test_a_graded_message_counts_with_its_value():
    """The first synapse multiplies whatever integers it is sent."""
    case = Case(two(), np.random.default_rng(3).integers(-9, 30, (6, 30)))
    assert_equal(case, reference.Network(case.network).run(case.inputs, record=EVERYTHING))


def test_a_weight_that_changes_between_runs_counts():
    described, x = two(), spikes(6, 40)
    network = reference.Network(described)
    before = network.run(x).layers[0].spikes
    described.layers[0].weight[:] = described.layers[0].weight[::-1].copy()
    after = network.run(x).layers[0].spikes
    assert (before != before[::-1]).any()
    np.testing.assert_array_equal(after, before[::-1])


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int8, np.int32])
def test_any_integer_type_will_do(dtype):
    x = spikes(6, 30)
    expected = reference.Network(two()).run(x).output
    np.testing.assert_array_equal(reference.Network(two()).run(x.astype(dtype)).output, expected)


def test_a_synapse_takes_one_step():
    """Input at step 0 changes the first layer at step 1, the second at step 2."""
    strong = {"neuron": cuba(threshold=1, current_decay=4096, voltage_decay=4096), "weight": np.array([[2]])}
    network = Network((layer(1, 1, **strong), layer(1, 1, **strong, delay=np.array([3]))))
    run = reference.Network(network).run(np.array([[1, 0, 0, 0, 0, 0, 0]]))
    assert run.layers[0].spikes.tolist() == [[0, 1, 0, 0, 0, 0, 0]]
    assert run.layers[1].spikes.tolist() == [[0, 0, 1, 0, 0, 0, 0]]
    assert run.output.tolist() == [[0, 0, 0, 0, 0, 1, 0]]


@pytest.mark.parametrize(
    ("time_base", "shift", "first", "second"),
    [("slayer", True, 1, 1), ("slayer", False, 1, 2), ("lava", True, 0, 0)],
)
def test_the_time_base_decides_when_a_bias_begins(time_base, shift, first, second):
    """A neuron that its bias drives over the threshold at once shows when its layer starts."""
    driven = {"neuron": cuba(threshold=10, voltage_decay=4096), "weight": np.array([[0]]), "bias": np.array([11])}
    network = Network((layer(1, 1, delay_shift=shift, **driven), layer(1, 1, **driven)))
    run = reference.Network(network, time_base=time_base).run(np.zeros((1, 6), np.int64))
    assert [int(ran.spikes.argmax()) for ran in run.layers] == [first, second]
    assert [int(ran.spikes.sum()) for ran in run.layers] == [6 - first, 6 - second]


def test_equality_with_the_threshold_is_no_spike():
    network = Network((layer(3, 1, neuron=cuba(20, 4096, 4096), weight=np.array([[18], [20], [22]])),))
    assert reference.Network(network).run(np.array([[1, 0]])).output.tolist() == [[0, 0], [0, 0], [0, 1]]


def test_a_window_of_a_pool_may_lie_past_the_edge():
    """Shape (1, 2, 2) of 3 x 3: the last row and column of windows are half outside."""
    pool = Pool(shape=(1, 2, 2), weight=np.full((1, 1, 2, 2), 64), stride=(2, 2), neuron=cuba(2**18 - 1, 4096, 4096))
    x = np.arange(9).reshape(1, 3, 3, 1).repeat(2, axis=-1)
    run = reference.Network(Network((Input(shape=(1, 3, 3), neuron=cuba()), pool))).run(x * 0, record=EVERYTHING)
    assert not run.layers[1].current.any()
    run = reference.Network(Network((pool,))).run(x, record=EVERYTHING)
    assert (run.layers[0].current[..., 1] / 4096).tolist() == [[[0 + 1 + 3 + 4, 2 + 5], [6 + 7, 8]]]


# -- what is run and what is kept ---------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_a_batch_is_single_runs_side_by_side(seed):
    case = generate.case(seed)
    batch = np.stack([case.inputs, case.inputs[..., ::-1], np.roll(case.inputs, 3, axis=0)])
    network = reference.Network(case.network, **case.options)
    together = network.run(batch, record=EVERYTHING)
    for i, x in enumerate(batch):
        alone = network.run(x, record=EVERYTHING)
        np.testing.assert_array_equal(together.output[i], alone.output)
        for many, one in zip(together.layers, alone.layers, strict=True):
            for name in (*EVERYTHING, "weighted"):
                if getattr(one, name) is not None:
                    np.testing.assert_array_equal(getattr(many, name)[i], getattr(one, name))


@pytest.mark.parametrize("steps", [0, 1, 2, 11])
@pytest.mark.parametrize("seed", range(6))
def test_a_short_run_is_the_beginning_of_a_long_one(seed, steps):
    case = generate.case(seed)
    network = reference.Network(case.network, **case.options)
    whole = network.run(case.inputs).output
    np.testing.assert_array_equal(network.run(case.inputs[..., :steps]).output, whole[..., :steps])


def test_the_reference_runs_a_part_of_the_file():
    network = Network((layer(5, 6), layer(4, 5, 1), layer(3, 4, 2)))
    x = spikes(6, 30)
    whole = reference.Network(network).run(x)
    front = reference.Network(network, num_layers=2)
    assert [part.shape for part in front.layers] == [(5,), (4,)]
    np.testing.assert_array_equal(front.run(x).output, whole.layers[1].spikes)
    hidden = whole.layers[0].spikes
    back = reference.Network(network, skip_layers=1).run(hidden, layers=[2])
    np.testing.assert_array_equal(back.output, whole.output)
    assert back.layers[0].spikes is None
    np.testing.assert_array_equal(back.layers[1].spikes, whole.output)
    middle = reference.Network(network, num_layers=2, skip_layers=1)
    np.testing.assert_array_equal(middle.run(hidden).output, whole.layers[1].spikes)
    assert whole.output.any()


def test_resets_of_a_part_are_counted_from_its_first_layer():
    network = Network((layer(5, 6), layer(4, 5, 1)))
    options = {"reset_interval": 5, "reset_offset": 2}
    x = spikes(5, 30)
    expected = reference.Network(Network(network.layers[1:]), **options).run(x)
    actual = reference.Network(network, skip_layers=1, **options).run(x)
    np.testing.assert_array_equal(actual.output, expected.output)


@pytest.mark.parametrize("record", [(), ("spikes",), ("voltage",), ("spikes", "current"), EVERYTHING])
def test_the_reference_keeps_the_records_that_are_asked_for(record):
    run = reference.Network(two()).run(spikes(6, 30), record=record, layers=[1])
    everything = reference.Network(two()).run(spikes(6, 30), record=EVERYTHING)
    for name in EVERYTHING:
        assert getattr(run.layers[0], name) is None
        if name in record and name in ("spikes", "current", "voltage"):
            np.testing.assert_array_equal(getattr(run.layers[1], name), getattr(everything.layers[1], name))
        else:
            assert getattr(run.layers[1], name) is None
    np.testing.assert_array_equal(run.output, everything.output)


def test_the_records_have_these_types():
    network = Network((layer(5, 6), layer(4, 5, 1, neuron=None)))
    run = reference.Network(network).run(spikes(6, 30), record=EVERYTHING)
    first, last = run.layers
    assert (first.spikes.dtype, first.current.dtype, first.voltage.dtype) == (np.uint8, np.int32, np.int32)
    assert (last.spikes, last.current, last.voltage) == (None, None, None)
    assert run.output.dtype == last.weighted.dtype == np.int64
    np.testing.assert_array_equal(last.weighted, run.output)


def test_bias_drives_an_input_layer():
    network = Network((Input(shape=(2, 3, 2), neuron=cuba(voltage_decay=77)), Flatten(shape=(12,)), layer(4, 12)))
    bias = np.random.default_rng(0).integers(-40, 90, (2, 3, 2))
    options = {"reset_interval": 9, "reset_offset": 4}
    run = reference.Network(network, **options).run(bias=bias, steps=40, record=EVERYTHING)
    assert_equal(Case(network, np.zeros((2, 3, 2, 40), np.int64), options), run, bias=bias.tolist())
    assert run.output.any()


def test_bias_adds_to_messages():
    network = Network((Input(shape=(3,), neuron=cuba(1000)),))
    x, bias = np.arange(60).reshape(3, 20), np.array([5, -80, 0])
    run = reference.Network(network).run(x, bias=bias, record=EVERYTHING)
    assert_equal(Case(network, x), run, bias=bias.tolist())


# -- widths -------------------------------------------------------------------------------------


def heavy(outputs=3, **more):
    """Currents without decay; neuron 1 gets 64 times 254/64 each step."""
    weight = np.zeros((outputs, 64), np.int64)
    weight[1:2] = 254
    neuron = cuba(threshold=2**18 - 1, current_decay=0, voltage_decay=4096)
    return layer(outputs, 64, **{"neuron": neuron, "weight": weight, **more})


def test_a_width_that_is_exceeded_is_reported():
    x = np.ones((64, 30), np.int64)
    run = reference.Network(Network((heavy(),))).run(x, record=EVERYTHING)
    unlimited, *_ = naive.cuba([0, *[64 * 254 * 64] * 29], 0, 4096, (2**18 - 1) * 64)
    step = next(n for n, u in enumerate(unlimited) if u > 2**23)
    (beyond,) = run.exceeded
    assert (beyond.layer, beyond.neuron, beyond.step, beyond.count) == (0, (1,), step, 1)
    assert str(beyond) == f"layer 0, neuron (1,), step {step}: a sum or state left its width (1 neurons in all)"
    assert_equal(Case(Network((heavy(),)), x), run)
    assert run.layers[0].current[1, step] == unlimited[step] - 2**24


def test_a_voltage_that_is_exceeded_is_reported():
    """Negative, so that no spike empties it."""
    network = Network((heavy(neuron=cuba(2**17, 4096, 0), weight=np.full((1, 64), -256), outputs=1),))
    run = reference.Network(network).run(np.ones((64, 30), np.int64), record=EVERYTHING)
    step = -(-(2**23) // (64 * 256 * 64))  # that many steps with input, the first of them being step 1
    (beyond,) = run.exceeded
    assert (beyond.neuron, beyond.step) == ((0,), step)
    assert run.layers[0].voltage[0, -1] == -(2**23 - 1)


def test_the_earliest_of_many_is_reported_by_its_place_in_the_file():
    """Neuron 2 exceeds later than neuron 1; the sample does not matter."""
    weight = np.zeros((4, 64), np.int64)
    weight[1], weight[2] = 254, 200
    first = layer(64, 6, weight=np.full((64, 6), 2), neuron=cuba(threshold=1, current_decay=4096))
    network = Network((first, heavy(4, weight=weight)))
    quiet, loud = np.zeros((6, 30), np.int64), np.ones((6, 30), np.int64)
    (beyond,) = reference.Network(network).run(np.stack([quiet, loud])).exceeded
    alone = reference.Network(Network((heavy(4, weight=weight),))).run(np.ones((64, 30), np.int64)).exceeded[0]
    assert (beyond.layer, beyond.neuron, beyond.count) == (1, (1,), 2)
    assert beyond.step == alone.step + 1


def test_states_within_the_widths_are_not_reported():
    """One step less than it takes."""
    x = np.ones((64, 30), np.int64)
    (beyond,) = reference.Network(Network((heavy(),))).run(x).exceeded
    assert reference.Network(Network((heavy(),))).run(x[:, : beyond.step]).exceeded == ()


# -- refusals -----------------------------------------------------------------------------------

BAD_OPTIONS = [
    ({"time_base": "loihi"}, r"time_base must be one of \('slayer', 'lava'\), got 'loihi'"),
    ({"profile": "lava"}, r"profile must be one of \('loihi', 'slayer'\), got 'lava'"),
    ({"spike_exp": 13}, r"spike_exp must be in 0..12, got 13"),
    ({"num_layers": 0}, "num_layers must be at least 1, got 0"),
    ({"skip_layers": -1}, "skip_layers must be at least 0, got -1"),
    ({"reset_interval": 0}, "reset_interval must be at least 1, got 0"),
    ({"reset_offset": -2}, "reset_offset must be at least 0, got -2"),
    ({"skip_layers": 2}, "must leave a layer of 2, got None and 2"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_the_reference_refuses_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        reference.Network(two(), **options)


FIRST = Input(shape=(2, 3, 4), neuron=cuba())
CONV = Network((Conv(shape=(2, 1, 1), weight=np.full((2, 2, 2, 2), 2), neuron=cuba()),))
POOL = Network((Pool(shape=(2, 2, 2), weight=np.full((1, 1, 2, 2), 2), stride=(2, 2), neuron=cuba()),))
BAD_INPUT = [
    (two(), {"spikes": np.zeros((6, 9))}, TypeError, "input must have an integer type, got float64"),
    (two(), {"spikes": np.zeros((7, 9), int)}, ValueError, r"shape \(6, T\) or \(B, 6, T\), got \(7, 9\)"),
    (two(), {"spikes": np.zeros(6, int)}, ValueError, r"shape \(6, T\) or \(B, 6, T\), got \(6,\)"),
    (Network((FIRST,)), {"spikes": np.zeros((2, 4, 3, 9), int)}, ValueError, r"\(2, 3, 4, T\).*got \(2, 4, 3, 9\)"),
    (CONV, {"spikes": np.zeros((2, 9), int)}, ValueError, r"\(C, H, W, T\) or \(B, C, H, W, T\), got \(2, 9\)"),
    (CONV, {"spikes": np.zeros((3, 2, 2, 9), int)}, ValueError, r"layer 0 \(conv\): weight.*the input is \(3, 2, 2\)"),
    (
        CONV,
        {"spikes": np.zeros((2, 5, 5, 9), int)},
        ValueError,
        r"layer 0 \(conv\): shape: must have shape \(2, 4, 4\)",
    ),
    (
        POOL,
        {"spikes": np.zeros((2, 2, 2, 9), int)},
        ValueError,
        r"layer 0 \(pool\): shape: must have shape \(2, 1, 1\)",
    ),
    (two(), {"spikes": np.full((6, 9), 2**31)}, ValueError, "32 bits, got 2147483648 to 2147483648"),
    (two(), {"spikes": np.full((6, 9), 2**63, np.uint64)}, ValueError, "32 bits"),
    (two(), {}, ValueError, "spikes must be given, or bias and steps"),
    (Network((FIRST,)), {"bias": np.zeros((2, 3, 4), int)}, ValueError, "spikes must be given, or bias and steps"),
    (
        two(),
        {"bias": np.zeros(6, int), "steps": 9},
        ValueError,
        "bias must be left out unless.* got a dense layer",
    ),
    (
        Network((Input(shape=(6,), neuron=Neuron("SDNN", {"activation": "relu", "threshold": 6})),)),
        {"bias": np.zeros(6, int), "steps": 9},
        ValueError,
        "bias must be given as spikes to an input layer that sends changes",
    ),
    (
        Network((FIRST,)),
        {"bias": np.zeros((4, 3, 2), int), "steps": 9},
        ValueError,
        r"bias must have shape \(2, 3, 4\), got \(4, 3, 2\)",
    ),
    (Network((FIRST,)), {"bias": np.zeros((2, 3, 4)), "steps": 9}, TypeError, "bias must have an integer.*got float64"),
    (two(), {"spikes": np.zeros((6, 9), int), "steps": 8}, ValueError, "steps must be left out with spikes.* 9, got 8"),
    (two(), {"spikes": np.zeros((6, 9), int), "layers": [2]}, ValueError, r"layers must be within 0\.\.1, got 2"),
    (
        two(),
        {"spikes": np.zeros((6, 9), int), "record": ["spike"]},
        ValueError,
        r"record must hold .*got \['spike'\]",
    ),
]


@pytest.mark.parametrize(("network", "arguments", "error", "message"), BAD_INPUT)
def test_the_reference_refuses_input_that_does_not_fit(network, arguments, error, message):
    with pytest.raises(error, match=message):
        reference.Network(network).run(**arguments)


BARE = layer(4, 5, neuron=None)
SUMS = Neuron("SDNN", {"activation": None, "threshold": None, "sigma_output": True})


def sigma_delta(**parameters):
    return Neuron("SDNN", {"activation": "relu", "threshold": 6, **parameters})


UNSUPPORTED = [
    ((Average(shape=(1,)), layer(4, 1)), r"layer 1 \(average\) averages, which gives fractions and only the last"),
    ((TimeDecimation(shape=(5,), factor=2),), r"layer 1 \(time_decimation\) averages over bins of time"),
    ((BARE, layer(4, 4)), r"layer 1 \(dense\) has no neurons, which only the last"),
    ((layer(4, 5, neuron=SUMS), layer(4, 4)), r"layer 1 \(dense\) sends its sums, which only the last"),
    ((layer(4, 5, neuron=cuba(refractory_delay=2)),), r"layer 1 \(dense\) has refDelay 2"),
    ((layer(4, 5, neuron=cuba(weight_exp=-17)),), r"layer 1 \(dense\) has a weight exponent of -17, at most 16"),
    ((layer(4, 5, neuron=sigma_delta(activation="tanh")),), r"layer 1 \(dense\) has the activation 'tanh', relu and"),
    ((layer(4, 5, neuron=sigma_delta(threshold=2**19)),), r"layer 1 \(dense\) has the threshold 524288, which leaves"),
]


@pytest.mark.parametrize(("rest", "message"), UNSUPPORTED)
def test_the_reference_refuses_layers_it_cannot_run_exactly(rest, message):
    with pytest.raises(NotImplementedError, match=message):
        reference.Network(Network((layer(5, 6), *rest)))


def test_the_reference_refuses_messages_finer_than_a_sigma_holds():
    network = Network((layer(5, 6, neuron=cuba(graded_spike=True)), layer(4, 5, neuron=sigma_delta())))
    reference.Network(network)
    with pytest.raises(NotImplementedError, match=r"receives messages of 12 fractional bits, .* 11 with spike_exp 5"):
        reference.Network(network, spike_exp=5)


def test_errors_give_the_place_in_the_file_where_layers_are_skipped():
    with pytest.raises(NotImplementedError, match=r"layer 1 \(average\)"):
        reference.Network(Network((layer(5, 6), Average(shape=(1,)), layer(4, 1))), skip_layers=1)


def test_harmless_values_are_accepted():
    neutral = layer(4, 5, neuron=cuba(graded_spike=False, weight_exp=0, refractory_delay=1))
    reference.Network(Network((layer(5, 6), neutral)))


def test_a_bad_file_is_refused(tmp_path):
    (tmp_path / "x.net").write_bytes(b"nothing")
    with pytest.raises(exchange.ExchangeError, match=r"x\.net"):
        reference.Network(tmp_path / "x.net")


# -- recorded on a chip -------------------------------------------------------------------------


def test_the_reference_gives_a_recorded_layer(data):
    """200 to 256 neurons without current memory, 2000 steps."""
    weight, x, out, current = (np.load(data / "dense" / f"{n}.npy") for n in ("weight", "in", "out", "current"))
    dense = Dense(shape=(256,), weight=weight.astype(np.int64), neuron=cuba(6, 4096, 415))
    run = reference.Network(Network((dense,))).run(x.astype(np.int64), record=("spikes", "current"))
    np.testing.assert_array_equal(run.output, out)
    np.testing.assert_array_equal(run.layers[0].current, current * 64)
    assert run.output.sum() == 1826


def test_the_reference_gives_a_recorded_network(data):
    """tinynet: three layers, driven by the bias of its input, reset every 17 steps."""
    folder = data / "tinynet"
    network = reference.Network(folder / "tiny.net", reset_interval=17)
    bias = np.load(folder / "input_bias.npy").astype(np.int64).transpose(2, 1, 0)
    run = network.run(bias=bias, steps=34)
    for position, name in enumerate(["input", "layer1", "output"]):
        recorded = np.load(folder / f"{name}.npy")[0, ..., 1:]
        np.testing.assert_array_equal(run.layers[position].spikes[..., 17 + position : 32 + position], recorded)
        assert recorded.any()


def test_the_reference_gives_a_network_recorded_on_a_chip(data):
    """The last layer of pilotnet_lif, nine layers behind the spikes of the recorded input."""
    folder = data / "pilotnet_lif"
    x = np.load(folder / "input-s.npy").astype(np.int64).transpose(2, 1, 0, 3)
    x = np.concatenate([x, np.zeros_like(x[..., :1])], axis=-1)
    network = reference.Network(folder / "network.net", skip_layers=1, reset_interval=16, time_base="lava")
    last = network.run(x, record=EVERYTHING, layers=[10]).layers[-1]
    for name, values in (("s", last.spikes), ("u", last.current), ("v", last.voltage)):
        np.testing.assert_array_equal(values, np.load(folder / f"fc-3-{name}.npy"))


# -- integers that nothing bounds ---------------------------------------------------------------


def graded(threshold=60):
    return cuba(threshold=threshold, current_decay=4096, voltage_decay=4096, graded_spike=True)


def growing(layers):
    """Messages that grow 64-fold from layer to layer."""
    return Network(tuple(Dense(shape=(4,), weight=np.full((4, 4), 254), neuron=graded()) for _ in range(layers)))


def test_feedback_that_runs_away_is_said_to():
    """Without widths it leaves 64 bits at some step, whatever the input was; on the device it wraps."""
    back = np.full((4, 4), 254)
    network = Network((Recurrent(shape=(4,), weight=np.full((4, 3), 254), weight_rec=back, neuron=graded()),))
    x = np.zeros((3, 60), int)
    x[0, 0] = 1
    message = r"layer 0 \(dense_rec\): its feedback runs away, whatever the input: messages of .* at step 7; profile"
    with pytest.raises(ValueError, match=message):
        reference.Network(network, profile="slayer").run(x)
    assert reference.Network(network).run(x).exceeded
    short = reference.Network(network, profile="slayer").run(x[:, :6], record=EVERYTHING)
    assert short.output.max() < 2**40
    assert "feedback runs away" in audit(network, x).reference


def test_messages_that_grow_from_layer_to_layer_are_said_to():
    x = np.ones((4, 20), int)
    assert reference.Network(growing(5), profile="slayer").run(x).output.any()
    with pytest.raises(ValueError, match=r"layer \d \(dense\): messages of .* arrive at step \d: too large"):
        reference.Network(growing(9), profile="slayer").run(x)
    assert reference.Network(growing(9)).run(x).exceeded


def test_a_state_that_grows_for_ever_is_said_to():
    never = cuba(threshold=2**18 - 1, current_decay=0, voltage_decay=0)
    strong = Network((Dense(shape=(1,), weight=np.full((1, 4), -254), neuron=never),))
    loud = np.full((4, 3000), 2**20)
    for record in ((), EVERYTHING):
        with pytest.raises(ValueError, match=r"layer 0 \(dense\): the state voltage reaches .*more than 64 bits"):
            reference.Network(strong, profile="slayer").run(loud, record=record)
    assert not reference.Network(strong, profile="slayer").run(loud[:, :9]).output.any()
