"""The oracle of whole networks against integers computed by hand.

A decay of 4096 forgets at once, 0 keeps.  One unit is 64 in weights and 4096 in states.
"""

from __future__ import annotations

import numpy as np
import pytest

from lavadl_ref.exchange import Average, Conv, ConvTranspose, Dense, Flatten, Input, Network, Neuron, Pool, Recurrent
from tests.support.families import BY_ADAPTATION
from tests.support.oracle import network as naive_network
from tests.support.oracle.network import network

ADAPTIVE_RESONATOR = BY_ADAPTATION["resonator"].type

FORGET, KEEP = 4096, 0


def cuba(threshold=2**18 - 1, current_decay=FORGET, voltage_decay=FORGET, **more):
    decays = {"current_decay": current_decay, "voltage_decay": voltage_decay}
    return Neuron("CUBA", {**decays, "threshold": threshold, **more})


def alif(threshold=2**18 - 1, decay=FORGET, adaptation=KEEP, step=0, **more):
    decays = {"current_decay": decay, "voltage_decay": decay}
    adapting = {"threshold_decay": adaptation, "refractory_decay": adaptation, "threshold_step": step}
    return Neuron("ALIF", {**decays, **adapting, "threshold": threshold, **more})


def resonator(family, threshold=2**18 - 1, turn=(0, 0), **more):
    if family.startswith("AD"):
        more = {"threshold_decay": KEEP, "refractory_decay": KEEP, "threshold_step": 0, **more}
    return Neuron(family, {"sin_decay": turn[0], "cos_decay": turn[1], "threshold": threshold, **more})


def sdnn(threshold=0, **more):
    return Neuron("SDNN", {"threshold": threshold, "activation": "identity", **more})


def dense(weight, neuron, cls=Dense, **more):
    arrays = {name: np.array(value) if isinstance(value, list) else value for name, value in more.items()}
    return cls(shape=(len(weight),), weight=np.array(weight), neuron=neuron, **arrays)


def one(layers, *trains, **options):
    """Records of `layers`, each state of one neuron as a list over time; `trains` are what each input sends."""
    records, left = network(layers, [list(frame) for frame in zip(*trains, strict=True)], **options)
    return [{name: [frame[0] for frame in r[name]] for name in r if name != "exceeded"} for r in records], left


# -- messages and sums ----------------------------------------------------------------------------


def test_a_synapse_takes_a_step_and_an_input_layer_none():
    layers = (Input(shape=(1,), neuron=cuba(1)), dense([[128]], cuba(1)), Flatten(shape=(1,)))
    (first, second, third), _ = one(layers, [2, 0, 0])
    assert first["spikes"] == [1, 0, 0]
    assert second["spikes"] == [0, 1, 0]
    assert third["spikes"] == [0, 1, 0]


def test_an_input_layer_without_neurons_passes_on_what_comes():
    layers = (Input(shape=(1,)), dense([[3]], cuba()))
    assert one(layers, [5, 7, 0])[0][1]["current"] == [0, 5 * 3 * 64, 7 * 3 * 64]


@pytest.mark.parametrize(
    ("neuron", "compared"),
    [
        (cuba(0, graded_spike=True), 5 * 64),
        (alif(0, graded_spike=True), 5 * 64),
        (resonator("RF_IZHIKEVICH", 0, graded_spike=True), 7 * 64),
        (resonator(ADAPTIVE_RESONATOR, 0, graded_spike=True), 7 * 64),
    ],
)
def test_a_graded_spike_is_the_value_compared(neuron, compared):
    imag = {"weight_imag": [[7]]} if "RF" in neuron.type else {}
    (first, second), _ = one((dense([[5]], neuron, **imag), dense([[64]], cuba())), [1, 0, 0, 0])
    assert first["spikes"][1] == compared
    assert second["current"][2] == compared, "a weight of 1 passes it on as it is"


@pytest.mark.parametrize("family", ["RF_PHASE", "ADRF_PHASE"])
def test_a_graded_spike_of_a_phase_is_the_real_part(family):
    """A quarter turn takes (0, -9) to (9, 0) in units of 64: imag rises to 0."""
    layer = dense([[0]], resonator(family, 1, (4096, 0), graded_spike=True), weight_imag=[[-9]])
    (record,), _ = one((layer,), [1, 0, 0, 0])
    assert record["imag"][1:3] == [-9 * 64, 0]
    assert record["spikes"] == [0, 0, 9 * 64, 0]


def test_a_graded_sum_is_cut_toward_zero():
    """A message of 8 / 4096 times -9 / 64 is -72 / 2**18, or -1.125 / 4096."""
    sender = Input(shape=(1,), neuron=cuba(0, graded_spike=True, weight_exp=3))
    for receiver, state in ((cuba(), "current"), (alif(), "current"), (sdnn(), "sigma")):
        (first, second), _ = one((sender, dense([[-9]], receiver)), [1, 0, 0])
        assert first["spikes"] == [8, 0, 0]
        assert second[state][1] == (-72 if state == "sigma" else -1)


def test_the_scale_of_input_depends_on_the_first_neurons():
    """Units of 1, or messages in 1/4096 where sigma-delta neurons take them first."""
    assert one((dense([[64]], cuba()),), [3, 0])[0][0]["current"][1] == 3 * 4096
    assert one((dense([[64]], sdnn()),), [3, 0])[0][0]["sigma"][1] == 3 * 64
    behind = (dense([[2]], cuba(1)), dense([[64]], sdnn()))
    assert one(behind, [1, 0, 0])[0][1]["sigma"][2] == 2**18


def test_bare_sums_have_a_bias_from_their_start_on():
    layers = (dense([[128]], cuba(1), delay_shift=False), dense([[3]], None, bias=[5]))
    assert one(layers, [1, 0, 0, 0])[0][1]["weighted"] == [0, 0, 3 + 5, 5]
    assert one(layers, [1, 0, 0, 0], time_base="lava")[0][1]["weighted"] == [5, 5, 3 + 5, 5]
    graded = (Input(shape=(1,), neuron=cuba(0, graded_spike=True)), dense([[3]], None, bias=[5]))
    assert one(graded, [1, 0, 0])[0][1]["weighted"] == [5 * 4096, 3 * 64 + 5 * 4096, 5 * 4096]


def test_an_average_sums_groups_in_the_same_step():
    layers = (dense([[2], [2], [2], [0]], cuba(1)), Average(shape=(2,)))
    records, left = network(layers, [[1], [0], [1]])
    assert records[1]["weighted"] == [[0, 0], [2, 1], [0, 0]] == left


@pytest.mark.parametrize(("kind", "bits"), [(Conv, 24), (Pool, 24), (ConvTranspose, 32)])
def test_sums_wrap_behind_windows(kind, bits):
    layer = kind(shape=(1, 1, 1), weight=np.array([[[[64]]]]))
    x = [[[[2 ** (bits - 7)]]], [[[0]]]]
    records, _ = network((layer,), x)
    assert records[0]["weighted"][1] == [-(2 ** (bits - 1))]
    assert records[0]["exceeded"] == [1]
    records, _ = network((layer,), x, profile="slayer")
    assert records[0]["weighted"][1] == [2 ** (bits - 1)]
    assert records[0]["exceeded"] == [-1]


def test_input_wraps_at_32_bits_and_the_current_folds_once():
    records, _ = network((dense([[64]], cuba()),), [[2**19 + 1], [0]])
    assert (records[0]["current"], records[0]["exceeded"]) == ([[0], [-(2**31) + 4096 + 2**24]], [1])
    records, _ = network((dense([[64]], cuba(current_decay=KEEP)),), [[2**10], [2**10], [2**10], [0]])
    assert records[0]["current"] == [[0], [2**22], [2**23], [3 * 2**22 - 2**24]]
    assert (records[0]["voltage"][2], records[0]["exceeded"]) == ([2**23 - 1], [2]), "saturated before it folds"


# -- order of one step ----------------------------------------------------------------------------


def test_feedback_is_neither_delayed_nor_gated_by_the_delay():
    layer = dense([[2]], cuba(1), Recurrent, weight_rec=[[2]], delay=[2])
    (record,), left = one((layer,), [1, 0, 0, 0, 0])
    assert record["spikes"] == [0, 1, 1, 1, 1]
    assert left == [[0], [0], [0], [1], [1]]


def test_graded_feedback_counts_with_its_own_scale():
    """5 / 64 is sent as 320 / 4096; half of it comes back, then half of that."""
    layer = dense([[5]], cuba(0, graded_spike=True), Recurrent, weight_rec=[[32]])
    assert one((layer,), [1, 0, 0, 0])[0][0]["spikes"] == [0, 320, 160, 80]


def test_input_bias_acts_on_the_current_and_bias_behind_it():
    layer = dense([[0]], cuba(), Recurrent, weight_rec=[[0]], input_bias=[3], bias=[4])
    (record,), _ = one((layer,), [0, 0, 0])
    assert (record["current"], record["voltage"]) == ([0, 3 * 64, 3 * 64], [0, 7 * 64, 7 * 64])
    layer = dense([[5]], cuba(current_decay=KEEP), input_bias=[3])
    assert one((layer,), [0, 1, 0])[0][0]["current"] == [0, 3 * 64, (3 + 5 + 3) * 64]


def test_current_and_bias_are_divided_together_toward_zero():
    """-(1 + 1) * 64 / 128 is -1, and either by itself would be 0."""
    layer = dense([[-1]], cuba(weight_exp=7), bias=[-1])
    (record,), _ = one((layer,), [1, 0, 0])
    assert (record["current"], record["voltage"]) == ([0, -64, 0], [0, -1, 0])
    assert one((dense([[-1]], cuba(weight_exp=-2)),), [1, 0])[0][0]["voltage"] == [0, -256]


def test_sum_and_bias_are_divided_together_toward_zero():
    (record,), _ = one((dense([[-3]], alif(weight_exp=7), bias=[-4]),), [1, 0, 0])
    assert record["current"] == [0, -3, -2], "-3.5 and -2"


def test_a_complex_synapse_has_two_of_everything():
    neuron = resonator("RF_IZHIKEVICH", weight_exp=1, weight_exp_imag=-1)
    more = {"weight_imag": [[5]], "bias": [1], "bias_imag": [2], "weight_rec": [[0]], "weight_rec_imag": [[0]]}
    (record,), _ = one((dense([[3]], neuron, Recurrent, **more),), [1, 0, 0])
    assert record["real"] == [0, (3 + 1) * 32, 32]
    assert record["imag"] == [0, (5 + 2) * 128, 2 * 128]


def test_complex_feedback_reaches_both_parts():
    neuron = resonator(ADAPTIVE_RESONATOR, 5)
    more = {"weight_imag": [[5]], "weight_rec": [[-7]], "weight_rec_imag": [[4]]}
    (record,), _ = one((dense([[3]], neuron, Recurrent, **more),), [1, 0, 0])
    assert (record["real"], record["imag"]) == ([0, 3 * 64, -7 * 64], [0, 5 * 64, 4 * 64])
    assert record["refractory"] == [0, 10 * 64, 10 * 64]


def test_an_input_layer_adds_to_the_real_part():
    layer = Input(shape=(1,), neuron=resonator("ADRF_PHASE"))
    (record,), _ = one((layer,), [3, 0], bias=[1])
    assert (record["real"], record["imag"]) == ([4 * 64, 64], [0, 0])


def test_an_izhikevich_resonator_is_recorded_after_its_reset():
    layer = dense([[3]], resonator("RF_IZHIKEVICH", 5), weight_imag=[[6]])
    (record,), _ = one((layer,), [1, 0, 0])
    assert (record["real"][1], record["imag"][1], record["spikes"]) == (0, 5 * 64 - 1, [0, 1, 0])


# -- sigma-delta ----------------------------------------------------------------------------------


def test_messages_of_sigma_delta_are_cut_to_the_floor():
    """-1 / 2**18 is sent as -1 / 4096 and nothing of it is kept."""
    (record,), _ = one((dense([[1]], sdnn()),), [-1, -63, -1, 65, 0])
    assert record["sigma"] == [0, -1, -64, -65, 0]
    assert record["spikes"] == [0, -1, -1, -1, 1]
    assert record["residue"] == [0, 0, 0, 0, 0]


def test_sigma_delta_keeps_the_bits_that_its_weight_exponent_asks_for():
    """Threshold 1 is 2**12 of the sum's units and 2**14 of those two bits finer."""
    (record,), _ = one((dense([[64]], sdnn(1, weight_exp=2)),), [255, 1, 255, 0])
    assert record["activation"] == [0, 255 * 64, 2**14, 2**14 + 255 * 64]
    assert record["residue"] == [0, 255 * 64, 0, 255 * 64]
    assert record["spikes"] == [0, 0, 64, 0]
    (record,), _ = one((dense([[1]], sdnn(weight_exp=-3)),), [-1, 0])
    assert (record["activation"][1], record["spikes"][1]) == (-8, -1)


def test_cum_error_compares_the_sum_of_changes():
    """Changes include what was not sent: 3 + 6 + 9 units of 2**12 reach 10 at the third step."""
    x = [3 * 64, 3 * 64, 3 * 64, 0]
    (record,), _ = one((dense([[64]], sdnn(10, cum_error=True)),), x)
    assert [value / 2**12 for value in record["error"]] == [0, 3, 9, 0]
    assert [value / 2**12 for value in record["residue"]] == [0, 3, 6, 0]
    assert [value / 64 for value in record["spikes"]] == [0, 0, 0, 9]


def test_sigma_delta_applies_its_bias_and_relu():
    layer = dense([[64]], sdnn(activation="relu"), bias=[-2])
    (record,), _ = one((layer,), [64, 128, 0])
    assert [value / 2**12 for value in record["sigma"]] == [0, 1, 3]
    assert [value / 2**12 for value in record["activation"]] == [0, 0, 1]
    assert record["spikes"] == [0, 0, 64]


def test_an_input_layer_of_sigma_delta_only_sends_changes():
    layer = Input(shape=(2,), neuron=Neuron("SDNN", {"threshold": np.array([2, 6]), "activation": "relu"}))
    records, left = network((layer,), [[-5, -5], [-4, -6], [-2, -6]])
    assert left == [[-5 * 64, 0], [0, -6 * 64], [3 * 64, 0]]
    assert records[0]["activation"][0] == [-5 * 2**12, -5 * 2**12]
    assert set(records[0]) == {"activation", "residue", "error", "spikes", "exceeded"}


def test_sigma_output_sends_sum_and_bias():
    layer = dense([[64]], Neuron("SDNN", {"sigma_output": True}), bias=[1], delay=[1])
    (record,), left = one((layer,), [2, 3, 0])
    assert (record["sigma"], record["spikes"]) == ([0, 128, 320], [0, 128 + 2**12, 320 + 2**12])
    assert left == [[0], [0], [128 + 2**12]]


@pytest.mark.parametrize("spike_exp", [6, 4])
def test_the_scale_of_sigma_delta_follows_spike_exp(spike_exp):
    layers = (Input(shape=(1,), neuron=sdnn(3)), dense([[64]], sdnn(3)), dense([[64]], sdnn(sigma_output=True)))
    records, _ = one(layers, [3, 0, 0], spike_exp=spike_exp)
    assert records[0]["spikes"][0] == records[1]["spikes"][1] == 3 << spike_exp
    assert records[1]["sigma"][1] == records[2]["spikes"][2] == 3 << spike_exp + 6


def test_sigma_delta_wraps_at_32_bits():
    layer = dense([[64]], sdnn())
    records, _ = network((layer,), [[2**24], [2**24], [0]])
    assert (records[0]["sigma"], records[0]["exceeded"]) == ([[0], [2**30], [-(2**31)]], [2])
    records, _ = network((layer,), [[2**24], [2**24], [0]], profile="slayer")
    assert (records[0]["sigma"], records[0]["exceeded"]) == ([[0], [2**30], [2**31]], [-1])


# -- time -----------------------------------------------------------------------------------------


NAMES = ("spikes", "activation", "current", "real", "spikes")  #: what shows that a layer has begun


def test_layers_start_when_their_block_does():
    """Families have their own default shift; behind a layer that shifts the next starts at the same step."""
    kinds = [cuba(0), sdnn(), alif(0), resonator("RF_IZHIKEVICH")]
    layers = [dense([[0]], neuron, bias=[64]) for neuron in kinds[:3]]
    layers.append(dense([[0]], kinds[3], bias=[64], weight_imag=[[0]], bias_imag=[0], delay_shift=False))
    layers.append(dense([[0]], cuba(0), bias=[64]))
    assert naive_network.start_steps(layers) == [1, 1, 2, 2, 3]
    assert naive_network.start_steps([Input(shape=(1,), neuron=sdnn()), *layers]) == [0, 1, 1, 2, 2, 3]
    records, _ = network(layers, [[0]] * 4)
    states = [[frame[0] for frame in r[name]] for r, name in zip(records, NAMES, strict=True)]
    assert [next(n for n, value in enumerate(values) if value) for values in states] == [1, 1, 2, 2, 3]


def test_a_reset_is_a_return_to_rest():
    """Layers forget one after the other; the threshold returns to its own."""
    first = dense([[64]], alif(1, KEEP, step=3), delay_shift=False)
    second = dense([[1]], sdnn(100), delay_shift=False)
    records, _ = one((first, second), [1, 0, 0, 0, 0, 0, 0], reset_interval=4, reset_offset=1)
    assert naive_network.resets_of(0, 7, 4, 1) == [1, 5]
    assert naive_network.resets_of(1, 7, 4, 1) == [2, 6]
    assert records[0]["current"] == [0, 4096, 4096, 4096, 4096, 0, 0]
    assert (records[0]["threshold"][1], records[0]["refractory"][1]) == (4 * 64, 2 * 64)
    assert (records[0]["threshold"][5], records[0]["refractory"][5]) == (64, 0)
    assert records[1]["sigma"][5] > 0
    assert records[1]["sigma"][6] == records[1]["residue"][6] == 0


def test_a_resonator_forgets_which_way_it_went():
    """Without the reset imag would rise from below 0 and fire."""
    layer = dense([[0]], resonator("RF_PHASE", 0, (4096, 0)), weight_imag=[[-9]])
    assert one((layer,), [1, 0, 0])[0][0]["spikes"] == [0, 0, 1]
    assert one((layer,), [1, 0, 0], reset_interval=3, reset_offset=2)[0][0]["spikes"] == [0, 0, 0]


def test_the_start_steps_are_those_of_the_description():
    layers = (
        Input(shape=(2,), neuron=sdnn()),
        dense([[1, 1]] * 4, cuba()),
        dense([[1] * 4], sdnn()),
        dense([[1]], None),
    )
    assert naive_network.start_steps(layers) == list(Network(layers).start_steps) == [0, 1, 1, 2]
