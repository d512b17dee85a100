"""Equal paths are found equal; a path that differs is found, with place, values and states."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from lavadl_ref import exchange, verify
from lavadl_ref._cost import estimate
from lavadl_ref.deployed import reference
from lavadl_ref.exchange import Conv, Dense, Flatten, Input, Network, Neuron, Recurrent, TimeDecimation
from lavadl_ref.netx import lava_support
from lavadl_ref.netx.run import runtime
from lavadl_ref.verify.inputs import chosen_input
from tests.support import generate

torch = pytest.importorskip("torch")
from lavadl_ref.slayer import auto  # noqa: E402
from lavadl_ref.slayer.block import cuba as block  # noqa: E402
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm  # noqa: E402

USABLE, WHY = lava_support.available()
lava = [pytest.mark.lava, pytest.mark.skipif(not USABLE, reason=WHY)]


def on_lava(test):
    for mark in lava:
        test = mark(test)
    return test


def cuba(threshold=120, current_decay=1000, voltage_decay=300, **more):
    decays = {"current_decay": current_decay, "voltage_decay": voltage_decay}
    return Neuron("CUBA", {"threshold": threshold, **decays, **more})


def layer(outputs, inputs, seed=0, **more):
    weight = 2 * np.random.default_rng(seed).integers(-20, 50, (outputs, inputs))
    return Dense(shape=(outputs,), **{"neuron": cuba(), "weight": weight, **more})


def two(**last):
    return Network((layer(5, 6), layer(4, 5, 1, **last)))


def changed(network, position, neuron, by=2):
    """The network with one bias added, which no file says."""
    layers = list(network.layers)
    bias = np.zeros(layers[position].channels, np.int64)
    bias[neuron] = by
    layers[position] = replace(layers[position], bias=bias)
    return Network(tuple(layers))


def first_difference(left, right, x, position):
    """(step, neuron, left's spike, right's), of the earliest spike of a layer that differs, and their number."""
    a, b = (reference.Network(n).run(x, layers=[position]).layers[position].spikes for n in (left, right))
    different = np.argwhere(a != b)
    *neuron, step = different[different[:, -1].argmin()]
    neuron = tuple(int(i) for i in neuron)
    return int(step), neuron, int(a[(*neuron, step)]), int(b[(*neuron, step)]), len(different)


# -- paths that agree ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2000, 2040))
def test_slayer_agrees_with_the_reference(seed):
    case = generate.case(seed)
    report = verify.verify(case.network, case.inputs, lava=False, **case.options)
    assert report.exceeded == ()
    assert report.divergences == []
    if "slayer" in report.skipped:
        assert case.options
        assert not report.exact
        return
    assert report.exact
    sizes = [x.size * 30 for x in case.network.layers if x.kind != "flatten"]
    assert report.compared > 0.9 * sum(sizes) or case.options
    assert [bool(result.paths) for result in report.layers] == [x.kind != "flatten" for x in case.network.layers]


def test_resets_make_samples_of_a_stream():
    """Windows between resets against slayer's samples, the last window incomplete."""
    network = two(bias=np.array([30, -20, 0, 9]))
    x = (np.random.default_rng(0).random((6, 47)) < 0.4).astype(int)
    report = verify.verify(network, x, lava=False, reset_interval=10, reset_offset=1)
    assert report.exact
    assert not report.skipped
    assert [result.paths["slayer"].compared for result in report.layers] == [4 * 10 * 5, 4 * 10 * 4]
    assert report.run.layers[1].spikes.any()


def test_a_network_that_begins_with_flattening_may_have_resets():
    network = Network((Flatten(shape=(6,)), *two(bias=np.array([30, -20, 0, 9])).layers))
    assert verify.verify(network, steps=47, lava=False, reset_interval=10, reset_offset=1).exact
    report = verify.verify(network, steps=47, lava=False, reset_interval=10, reset_offset=0)
    assert "use reset_offset=1" in report.skipped["slayer"]


def test_resets_out_of_step_with_the_data_are_not_samples():
    report = verify.verify(two(), lava=False, reset_interval=10, reset_offset=3)
    assert report.skipped == {"slayer": "resets with offset 3 do not begin with the data; use reset_offset=1"}
    assert not report.exact


def test_delays_carry_spikes_over_resets():
    report = verify.verify(two(delay=np.array([0, 0, 2, 0])), lava=False, reset_interval=10, reset_offset=1)
    assert "axonal delays carry spikes over the resets" in report.skipped["slayer"]
    zero = verify.verify(two(delay=np.zeros(4, np.int64)), lava=False, reset_interval=10, reset_offset=1)
    assert zero.exact


def test_the_report_counts_what_was_compared():
    report = verify.verify(two(), steps=20, lava=False)
    assert [result.paths["slayer"].compared for result in report.layers] == [100, 80]
    assert report.compared == 180
    assert (report.steps, report.samples) == (20, 1)
    assert [result.spikes for result in report.layers] == [int(ran.spikes.sum()) for ran in report.run.layers]
    assert set(report.seconds) == {"reference", "slayer"}


def test_input_is_cut_to_the_steps_and_never_continued():
    x = (np.random.default_rng(0).random((6, 30)) < 0.4).astype(int)
    short = verify.verify(two(), x, 12, lava=False)
    plain = reference.Network(two()).run(x).output
    assert (short.steps, short.random) == (12, None)
    np.testing.assert_array_equal(short.run.output, plain[:, :12])
    assert short.exact
    with pytest.raises(ValueError, match="steps must be at most 30, which the input has, got 40"):
        verify.verify(two(), x, 40, lava=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reset_offset": 3}, "reset_offset needs a reset_interval, got 3 alone"),
        ({"timeout": 5.0}, "timeout must be left out where Lava does not run"),
        ({"in_process": True}, "in_process must be left out where Lava does not run"),
        ({"inputs": np.zeros((6, 9), int), "seed": 0}, "seed must be left out where input is given"),
        ({"inputs": np.zeros((6, 9), int), "rate": 0.2}, "rate must be left out where input is given"),
    ],
)
def test_what_would_have_no_effect_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        verify.verify(two(), lava=False, **options)


def test_a_random_input_is_told():
    report = verify.verify(two(), steps=9, lava=False, seed=7, rate=0.5)
    assert report.random == "random spikes, rate 0.5, seed 7"
    x = verify.random_input(two(), 9, 7, 0.5)
    assert 0.4 < x.mean() < 0.6
    np.testing.assert_array_equal(report.run.output, reference.Network(two()).run(x).output)
    driven = Network((Input(shape=(6,), neuron=cuba()), *two().layers))
    assert verify.verify(driven, steps=9, lava=False).random == "random currents in 0..127, seed 0"
    with pytest.raises(ValueError, match="rate must be left out: the network begins with an input layer"):
        verify.verify(driven, lava=False, rate=0.5)


def test_a_run_is_priced_before_it_takes_memory():
    """A few weights and a stride name an input of gigabytes, and a wide layer."""
    conv = Conv(shape=(1, 4000, 4000), weight=np.full((1, 1, 1, 1), 2), stride=(8000, 8000), neuron=cuba())
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"64 steps of input of shape \(1, 31992001, 31992001\) would take about"):
            verify.verify(Network((conv,)), lava=False)
        with pytest.raises(ValueError, match=r"would take about [1-9] MB of memory, more than the 1 MB allowed"):
            verify.verify(two(), steps=9999, lava=False, megabytes=1)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    assert verify.verify(two(), steps=9, lava=False, megabytes=1).exact


@pytest.mark.parametrize("seed", range(6))
def test_the_price_of_a_run_is_about_what_it_takes(seed):
    case = generate.case(seed, steps=400, families=generate.ALL_FAMILIES)
    shape = case.inputs.shape[:-1]
    reference.Network(case.network).run(case.inputs[..., :2])  # loads the kernels
    tracemalloc.start()
    try:
        x, _ = chosen_input(reference.Network(case.network), case.inputs, None, None, None, 4000)
        reference.Network(case.network).run(x, record=reference.RECORDABLE)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken / 2 < estimate(case.network, shape, 400) < 8 * taken


def test_verify_reads_a_file(tmp_path):
    exchange.write(tmp_path / "x.net", two())
    assert verify.verify(tmp_path / "x.net", lava=False).exact


def test_widths_are_passed_on():
    strong = Network((layer(1, 64, weight=np.full((1, 64), -254), neuron=cuba(100, 0, 0)),))
    (beyond,) = verify.verify(strong, np.ones((64, 40), int), slayer=False, lava=False).exceeded
    assert beyond.layer == 0


# -- paths that differ --------------------------------------------------------------------------


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("delay", [None, np.array([3, 0, 1, 2])])
def test_a_wrong_slayer_is_found(monkeypatch, position, delay):
    """One weight of the rebuilt network is wrong; where it first shows comes from running that network."""
    network = two(delay=delay)
    wrong = list(network.layers)
    weight = wrong[position].weight.copy()
    weight[2, 1] = -200
    wrong[position] = layer(*weight.shape, weight=weight, delay=wrong[position].delay)
    wrong = Network(tuple(wrong))
    x = verify.random_input(network, 50)
    sequential = auto.SequentialNetwork
    monkeypatch.setattr(auto, "SequentialNetwork", lambda _: sequential(wrong))
    report = verify.verify(network, x, lava=False)
    step, neuron, expected, found, _ = first_difference(network, wrong, x, position)
    divergence = report.layers[position].paths["slayer"].divergence
    assert (divergence.layer, divergence.what, divergence.sample) == (position, "spikes", 0)
    assert (divergence.expected, divergence.found) == (expected, found)
    if delay is None:
        assert (divergence.step, divergence.neuron) == (step, neuron)
    else:  # of several neurons the one whose spike leaves first
        assert divergence.neuron == (2,) or position == 1
    assert not report.exact
    assert report.divergences[0].layer == position
    assert report.layers[0].paths["slayer"].exact == (position > 0)
    run = reference.Network(network).run(x, record=("current", "voltage")).layers[position]
    u, v = run.current[divergence.neuron], run.voltage[divergence.neuron]
    near = range(divergence.step - 2, divergence.step + 3)
    assert list(divergence.around) == [f"  step {n}: reference current {u[n]}, voltage {v[n]}" for n in near]
    assert str(divergence).startswith(
        f"layer {position}, neuron ({divergence.neuron[0]},), step {divergence.step}: "
        f"spikes reference {expected}, found {found} ({divergence.count} differ)\n  step"
    )


def test_the_earliest_wrong_neuron_of_the_reference_is_found(monkeypatch):
    """The earliest of two differences, its neuron by channel, row and column."""
    conv = Conv(shape=(2, 3, 4), weight=np.full((2, 1, 2, 2), 40), neuron=cuba())
    network = Network((conv, Flatten(shape=(24,)), layer(3, 24)))
    run = reference.Network.run

    def wrong(self, *arguments, **options):
        result = run(self, *arguments, **options)
        if result.output.shape[-1] > 1:  # not the run of one step that loads the kernels
            result.layers[0].spikes[1, 2, 3, 17] ^= 1
            result.layers[0].spikes[0, 0, 0, 30] ^= 1
        return result

    monkeypatch.setattr(reference.Network, "run", wrong)
    report = verify.verify(network, lava=False)
    (divergence,) = report.divergences
    assert (divergence.layer, divergence.neuron, divergence.step, divergence.count) == (0, (1, 2, 3), 17, 2)
    assert {divergence.expected, divergence.found} == {0, 1}
    assert [line.split(":")[0] for line in divergence.around] == [f"  step {n}" for n in range(15, 20)]


@pytest.mark.parametrize("readout", [None, cuba(threshold=generate.NEVER)])
def test_a_wrong_readout_is_found(monkeypatch, readout):
    """Bare sums in 1/64, voltages in 1/4096."""
    shift = {} if readout is None else {"delay_shift": False}
    network = two(neuron=readout, **shift)
    sequential = auto.SequentialNetwork

    def wrong(config):
        net = sequential(config)
        net.blocks[1].synapse.weight.data[3, 2] += 2 / 64
        return net

    assert verify.verify(network, lava=False).exact
    monkeypatch.setattr(auto, "SequentialNetwork", wrong)
    (divergence,) = verify.verify(network, lava=False).divergences
    run = reference.Network(network).run(verify.random_input(network, 64), record=reference.RECORDABLE)
    step = int(run.layers[0].spikes[2].argmax()) + 1
    what, scale = ("weighted", 1) if readout is None else ("voltage", 64)
    assert (divergence.layer, divergence.neuron, divergence.step, divergence.what) == (1, (3,), step, what)
    assert divergence.found == divergence.expected + 2 * scale
    assert divergence.expected == getattr(run.layers[1], what)[3, step]


def test_a_wrong_window_between_resets_is_told_with_its_sample(monkeypatch):
    sequential = auto.SequentialNetwork
    x = np.zeros((6, 40), int)
    x[1, 25:30] = 1  # only the third sample has spikes, in one input
    monkeypatch.setattr(auto, "SequentialNetwork", lambda network: sequential(changed(network, 0, 0, by=60)))
    network = Network((layer(5, 6, bias=np.zeros(5, np.int64)),))
    (divergence,) = verify.verify(network, x, lava=False, reset_interval=10, reset_offset=1).divergences
    assert (divergence.layer, divergence.neuron, divergence.sample) == (0, (0,), 0)
    assert divergence.step < 10
    assert "sample" not in str(divergence)


# -- paths that cannot run ----------------------------------------------------------------------


def test_a_network_that_the_reference_cannot_run_is_an_error():
    with pytest.raises(NotImplementedError, match=r"layer 1 \(time_decimation\)"):
        verify.verify(Network((layer(5, 6), TimeDecimation(shape=(5,), factor=2))))


def test_steps_must_be_positive():
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        verify.verify(two(), steps=0, lava=False)


def test_a_missing_lava_is_skipped_with_the_reason(monkeypatch):
    monkeypatch.setattr(lava_support, "available", lambda: (False, "type this"))
    report = verify.verify(two())
    assert report.skipped == {"lava": "type this"}
    assert report.exact


def test_what_lava_does_not_have_is_skipped_with_the_reason():
    bare = Input(shape=(6,), weight=32)
    report = verify.verify(Network((bare, layer(5, 6))), slayer=False)
    if USABLE:
        assert report.skipped["lava"].startswith("layer 0 (input) has weight 32 and bias 0 but no neurons to apply")


def test_what_slayer_does_not_have_is_skipped_with_the_reason():
    square = np.full((5, 5), 2)
    scaled = Recurrent(shape=(5,), weight=square, weight_rec=square, neuron=cuba(weight_exp=1))
    report = verify.verify(Network((scaled,)), lava=False)
    reason = "layer 0 (dense_rec) has a weight exponent: slayer has no norm that scales in feedback"
    assert report.skipped == {"slayer": reason}


def test_what_is_read_out_can_only_be_last_in_slayer():
    silent = layer(5, 6, neuron=cuba(threshold=2**18 - 1))
    report = verify.verify(Network((silent, layer(4, 5))), lava=False)
    assert report.skipped["slayer"].startswith("layer 0 (dense) is a readout whose values slayer passes on")
    assert verify.verify(Network((layer(5, 6), replace(silent, weight=silent.weight[:, :5]))), lava=False).exact


def test_resets_do_not_make_samples_of_a_network_with_feedback():
    square = np.full((5, 5), 2)
    recurrent = Recurrent(shape=(5,), weight=square, weight_rec=square, neuron=cuba())
    report = verify.verify(Network((recurrent,)), lava=False, reset_interval=8, reset_offset=1)
    assert report.skipped["slayer"].startswith("feedback carries spikes over the resets")


def test_nothing_compared_is_not_exact():
    report = verify.verify(two(), slayer=False, lava=False)
    assert not report.exact
    assert report.compared == 0


# -- blocks in memory ---------------------------------------------------------------------------

NEURON = {"threshold": 0.6, "current_decay": 0.4, "voltage_decay": 0.15}


def blocks():
    torch.manual_seed(0)
    norm = {**NEURON, "norm": MeanOnlyBatchNorm}
    made = [
        block.Input(NEURON, 1.5, 0.125),
        block.Conv(norm, 2, 3, 3, padding=1, weight_scale=3, delay=True),
        block.Flatten(),
        block.Dense(norm, 60, 7, weight_scale=3),
        block.Affine(NEURON, 7, 2, weight_scale=3),
    ]
    x = torch.randint(-2, 4, (3, 2, 4, 5, 20)).float()
    y = x
    for part in made:
        y = part(y)
    made[1].delay.delay.data *= 9
    return [part.eval() for part in made], x


def test_trained_blocks_equal_their_export():
    report = verify.trained(*blocks())
    assert report.exact
    assert report.samples == 3
    assert [len(result.paths) for result in report.layers] == [1, 1, 0, 1, 1]
    assert [result.spikes > 0 for result in report.layers] == [True, True, True, True, False]


def test_a_wrong_trained_block_is_told_with_sample_and_place(monkeypatch):
    made, x = blocks()
    run = reference.Network.run

    def wrong(self, *arguments, **options):
        result = run(self, *arguments, **options)
        if result.output.shape[-1] > 1:  # not the run of one step that loads the kernels
            result.layers[3].spikes[2, 4, 11] ^= 1
        return result

    monkeypatch.setattr(reference.Network, "run", wrong)
    (divergence,) = verify.trained(made, x).divergences
    assert (divergence.layer, divergence.sample, divergence.neuron, divergence.step) == (3, 2, (4,), 11)
    assert str(divergence).startswith("layer 3, neuron (4,), step 11, sample 2: spikes")
    assert len(divergence.around) == 5


def test_trained_counts_events():
    """A block that returns its event rate too."""
    torch.manual_seed(0)
    made = [block.Dense(NEURON, 6, 5, weight_scale=3, count_log=True).eval()]
    x = (torch.rand(2, 6, 20) < 0.4).float()
    made[0](x)
    assert verify.trained(made, x).exact


def test_trained_quantises_its_input_as_the_block_does():
    made, x = blocks()
    assert verify.trained(made, x + 0.3).exact


def test_trained_refuses_input_that_has_no_integers():
    made, x = blocks()
    with pytest.raises(ValueError, match=r"input current in 1/64 must be whole numbers, got"):
        verify.trained([block.Input(NEURON, 1.25, 0.125).eval(), *made[1:]], x + 0.1)
    with pytest.raises(ValueError, match=r"network input must be whole numbers, got"):
        verify.trained(made[1:], x + 0.3)


@pytest.mark.parametrize("seed", range(12))
def test_networks_of_all_families_agree(seed):
    """As trained and as they come; Lava in this process."""
    case = generate.case(seed, families=generate.ALL_FAMILIES, trained=True)
    report = verify.verify(case.network, case.inputs, in_process=True)
    assert report.divergences == [], case.label
    assert report.skipped == ({} if USABLE else {"lava": lava_support.available()[1]})


# -- random input -------------------------------------------------------------------------------


def test_random_input_of_an_input_layer_without_neurons_is_spikes():
    x = verify.random_input(Network((Input(shape=(4,)), layer(5, 4))), 50)
    assert set(np.unique(x)) == {0, 1}


def test_random_input_fits_the_first_layer():
    for first, shape in [
        (layer(5, 6), (6,)),
        (Input(shape=(2, 3, 4), neuron=cuba()), (2, 3, 4)),
        (Flatten(shape=(24,)), (24,)),
    ]:
        x = verify.random_input(Network((first,)), 50)
        assert x.shape == (*shape, 50)
        assert x.dtype == np.int64
        reference.Network(Network((first,))).run(x)


@pytest.mark.parametrize("kind", ["conv", "convT", "pool", "unpool"])
def test_random_input_fits_a_first_layer_with_a_window(kind):
    """The file does not say how large the input is, but what comes out tells enough."""
    found = 0
    for seed in range(3000, 3200):
        case = generate.case(seed, kinds=(kind, "dense"), steps=3)
        if case.network.layers[0].kind == kind:
            x = verify.random_input(case.network, 3)
            reference.Network(case.network).run(x)  # refuses what does not give the shape
            assert x.shape[0] == case.inputs.shape[0]
            found += 1
    assert found > 20


def test_random_input_is_reproducible():
    first, again, other = (verify.random_input(two(), 400, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert set(first.flat) == {0, 1}
    assert 0.15 < first.mean() < 0.25


def test_random_input_of_an_input_layer_is_current():
    x = verify.random_input(Network((Input(shape=(3,), neuron=cuba()),)), 400)
    assert (x.min(), x.max()) == (0, 127)


# -- Lava ---------------------------------------------------------------------------------------


@on_lava
def test_all_three_agree_on_lava():
    network = Network(
        (
            Conv(shape=(2, 3, 4), weight=np.full((2, 1, 2, 2), 40), neuron=cuba(), bias=np.array([9, -30])),
            Flatten(shape=(24,)),
            layer(5, 24, neuron=cuba(900), delay=np.array([0, 2, 1, 0, 4])),
            layer(2, 5, neuron=None),
        )
    )
    report = verify.verify(network, steps=30)
    assert report.exact
    assert report.skipped == {}
    assert [sorted(result.paths) for result in report.layers] == [["lava", "slayer"], [], *[["lava", "slayer"]] * 2]
    # spikes at each step, and u and v at the end; bare sums at each step
    assert [r.paths["lava"].compared for r in report.layers if r.paths] == [24 * 32, 5 * 32, 2 * 30]
    assert report.seconds["lava"] > 0


@on_lava
def test_graded_messages_arrive_as_they_are():
    network = Network((layer(5, 6, neuron=cuba(2000)), layer(4, 5, 1)))
    x = np.random.default_rng(1).integers(-3, 9, (6, 30))
    report = verify.verify(network, x)
    assert report.exact
    assert report.layers[0].paths["lava"].exact
    assert report.layers[0].spikes > 0
    as_spikes = reference.Network(network).run((x != 0).astype(int), layers=[0]).layers[0].spikes
    assert as_spikes.sum() != report.layers[0].spikes


@on_lava
def test_a_wrong_lava_is_found_with_its_states(monkeypatch):
    """Lava is given another bias than the file says."""
    network = two(bias=np.zeros(4, np.int64))
    wrong = changed(network, 1, 3, by=40)
    run, calls = runtime.run, []

    def misled(config, *arguments, **options):
        calls.append(options.get("states_at"))
        return run(wrong, *arguments, **options)

    monkeypatch.setattr(runtime, "run", misled)
    x = verify.random_input(network, 50)
    report = verify.verify(network, x, slayer=False)
    step, neuron, expected, found, count = first_difference(network, wrong, x, 1)
    (divergence,) = report.divergences
    assert report.layers[0].paths["lava"].exact
    assert (divergence.layer, divergence.neuron, divergence.step, divergence.what) == (1, neuron, step, "spikes")
    assert (divergence.expected, divergence.found, divergence.count) == (expected, found, count)
    near = range(max(step - 2, 0), step + 3)
    assert calls == [None, [(1, n) for n in near]]
    left, right = (reference.Network(n).run(x, record=reference.RECORDABLE).layers[1] for n in (network, wrong))
    assert list(divergence.around) == [
        f"  step {n}: reference current {left.current[neuron][n]}, voltage {left.voltage[neuron][n]}; "
        f"found current {right.current[neuron][n]}, voltage {right.voltage[neuron][n]}"
        for n in near
    ]


@on_lava
def test_a_state_that_is_wrong_without_a_wrong_spike_is_found(monkeypatch):
    silent = Network((layer(3, 6, neuron=cuba(threshold=2**17)),))
    run = runtime.run
    monkeypatch.setattr(runtime, "run", lambda _, *a, **o: run(changed(silent, 0, 1), *a, **o))
    (divergence,) = verify.verify(silent, steps=20, slayer=False).divergences
    assert (divergence.layer, divergence.neuron, divergence.step, divergence.what) == (0, (1,), 19, "voltage")
    assert divergence.found > divergence.expected
    assert divergence.around[-1].startswith("  step 19: reference current ")
    assert f"voltage {divergence.found}" in divergence.around[-1]


@on_lava
def test_a_failing_lava_is_an_error(monkeypatch):
    monkeypatch.setattr(runtime, "_supervise", lambda *_: (_ for _ in ()).throw(runtime.LavaRunError("it broke")))
    with pytest.raises(runtime.LavaRunError, match="it broke"):
        verify.verify(two(), slayer=False)
