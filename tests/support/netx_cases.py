"""Small networks, one for each thing netx has to get right, with their inputs and arguments."""

from __future__ import annotations

import numpy as np

from lavadl_ref.exchange.describe import Conv, Dense, Flatten, Input, Neuron
from lavadl_ref.netx.run.runtime import Job
from tests.support.oracle.netx import network

#: NumPy 1 runs Lava unpatched, and its convolution then counts groups up to 127.
UNPATCHED = int(np.__version__.split(".")[0]) < 2

CASES: dict[str, Job] = {}
#: What the table must say of a network's processes, where that is part of the case.
PROCESSES: dict[str, list[str]] = {}


#: Networks whose output is 0 throughout.
SILENT = {"weights_all_zero", "threshold_beyond_reach"}


def cuba(threshold=120, current_decay=1000, voltage_decay=300):
    """Neurons; decays may be arrays per channel."""
    return Neuron(
        "CUBA",
        {"current_decay": current_decay, "voltage_decay": voltage_decay, "threshold": threshold},
    )


def even(rng, *shape, low=-40, high=60):
    """Random even weights."""
    return rng.integers(low, high, shape) * 2


def spikes(rng, *shape, rate=0.3):
    """Random binary input."""
    return (rng.random(shape) < rate).astype(np.int64)


def case(processes=None, steps=40, **arguments):
    """Register the network and input that the decorated function returns."""

    def register(function):
        name = function.__name__.strip("_")
        layers, inputs = function(np.random.default_rng(len(CASES)))
        states = [(0, 0), (0, 7)] if layers[0].neuron is not None and steps > 7 else []
        CASES[name] = Job(network(*layers), inputs, steps, states_at=states, arguments=arguments)
        if processes is not None:
            PROCESSES[name] = processes
        return function

    return register


def chain(rng, bias=None, **last):
    """Two dense layers, 8 to 12 to 5."""
    first = Dense(shape=(12,), neuron=cuba(), weight=even(rng, 12, 8), bias=bias and rng.integers(*bias, 12))
    second = Dense(shape=(5,), neuron=cuba(), weight=even(rng, 5, 12), bias=bias and rng.integers(*bias, 5), **last)
    return [first, second], spikes(rng, 8, 40)


@case(["Dense + LIF", "Dense + LIF"])
def dense(rng):
    return chain(rng)


@case(["Sparse + LIF", "Sparse + LIF"], sparse_fc_layer=True)
def sparse(rng):
    return chain(rng)


@case(["Dense + LIFReset", "Dense + LIFReset"])
def bias_that_cannot_spike_early(rng):
    return chain(rng, bias=(-30, 60))


@case(["Dense + ExactLIF (own)", "Dense + ExactLIF (own)"])
def bias_that_would_spike_early(rng):
    return chain(rng, bias=(100, 200))


@case(["Dense + LIF", "Dense + LIF"], time_base="lava")
def bias_from_the_first_step(rng):
    return chain(rng, bias=(100, 200))


@case(["Dense + LIFReset", "Dense + LIFReset"], reset_interval=7, reset_offset=3)
def reset(rng):
    return chain(rng)


@case(["Dense + ExactLIF (own)", "Dense + ExactLIF (own)"], reset_interval=7, reset_offset=9)
def reset_and_bias(rng):
    return chain(rng, bias=(-30, 130))


@case(["Dense + LIFReset", "Dense + LIFReset"], reset_interval=6, time_base="lava")
def reset_and_bias_from_the_first_step(rng):
    return chain(rng, bias=(-30, 130))


@case(reset_interval=1)
def reset_at_each_step(rng):
    return chain(rng, bias=(-30, 130))


@case(["Dense + LIFReset", "Dense + LIFReset"])
def layers_without_shift(rng):
    """Each layer starts one step after the one before it."""
    layers, x = chain(rng, bias=(10, 40), delay_shift=False)
    first = Dense(shape=(12,), neuron=cuba(), weight=layers[0].weight, bias=layers[0].bias, delay_shift=False)
    return [first, layers[1]], x


@case(["Dense + ExactLIF (own)"])
def bias_beyond_16_bits(rng):
    neuron = cuba(threshold=100000)
    return [Dense(shape=(4,), neuron=neuron, weight=even(rng, 4, 3), bias=np.array([40000, -40000, 1, 0]))], spikes(
        rng, 3, 40
    )


@case(["Dense + LIF"])
def decays_per_neuron(rng):
    neuron = cuba(current_decay=np.array([0, 1, 4095, 4096, 700, 33]), voltage_decay=np.arange(6) * 800 + 96)
    return [Dense(shape=(6,), neuron=neuron, weight=even(rng, 6, 9))], spikes(rng, 9, 40)


@case(steps=60)
def states_that_leave_their_widths(rng):
    """Currents wrap, voltages saturate."""
    neuron = cuba(current_decay=0, voltage_decay=0, threshold=2**17 - 1)
    weight = np.repeat(np.array([[254], [-256], [254]]), 64, axis=1)
    return [Dense(shape=(3,), neuron=neuron, weight=weight)], np.ones((64, 60), np.int64)


@case(["Dense + LIF"])
def threshold_beyond_reach(rng):
    """The threshold that layers without spikes are exported with."""
    return [Dense(shape=(3,), neuron=cuba(threshold=2**18 - 1), weight=even(rng, 3, 20, low=40))], spikes(rng, 20, 40)


@case(["Dense + LIF"])
def threshold_reached_but_not_exceeded(rng):
    neuron = cuba(current_decay=4096, voltage_decay=4096, threshold=20)
    return [Dense(shape=(3,), neuron=neuron, weight=np.array([[18], [20], [22]]))], spikes(rng, 1, 40)


def delayed(rng, bias=None, longest=6):
    """Delays of every length up to `longest` on the hidden and on the last layer."""
    (first, second), x = chain(rng, bias)
    first = Dense(
        shape=(12,), neuron=first.neuron, weight=first.weight, bias=first.bias, delay=np.arange(12) % (longest + 1)
    )
    second = Dense(
        shape=(5,), neuron=second.neuron, weight=second.weight, bias=second.bias, delay=np.array([0, 3, 1, longest, 2])
    )
    return [first, second], x


@case(["Dense + LIF", "DelayDense + LIF + DelayLine (own)"])
def delays(rng):
    return delayed(rng)


@case(["Sparse + LIF", "DelaySparse + LIF + DelayLine (own)"], sparse_fc_layer=True)
def delays_on_sparse_synapses(rng):
    return delayed(rng)


@case(reset_interval=11)
def delays_bias_and_reset(rng):
    return delayed(rng, bias=(-20, 140))


@case(["Dense + LIF + DelayLine (own)", "Dense + LIF"], steps=90)
def delay_beyond_six_bits(rng):
    (first, second), x = chain(rng)
    first = Dense(shape=(12,), neuron=first.neuron, weight=first.weight, delay=np.arange(12) * 6)
    return [first, second], x


@case(["Conv + LIFReset", "Dense + LIFReset"], input_shape=(7, 6, 4))
def convolution(rng):
    """Everything a convolution can have, then flatten."""
    neuron = cuba(current_decay=np.array([0, 300, 4096, 1000, 2, 77]), voltage_decay=np.arange(6) * 600)
    weight = even(rng, 6, 2, 3, 2)
    conv = Conv(
        shape=(6, 2, 7), neuron=neuron, weight=weight, bias=np.arange(6) * 9 - 20,
        stride=(2, 1), padding=(1, 1), dilation=(2, 2), groups=2,
    )  # fmt: skip
    dense = Dense(shape=(3,), neuron=cuba(), weight=even(rng, 3, 84), bias=np.array([5, -5, 30]))
    return [conv, Flatten(shape=(84, 1, 1)), dense], spikes(rng, 4, 6, 7, 30)


@case(["Conv + LIF + DelayLine (own)", "Conv + LIF", "DelayDense + LIF"], input_shape=(5, 4, 1))
def convolution_with_delays(rng):
    first = Conv(
        shape=(3, 4, 5), neuron=cuba(), weight=even(rng, 3, 1, 3, 3), padding=(1, 1), delay=np.array([0, 4, 1])
    )
    second = Conv(shape=(2, 2, 4), neuron=cuba(), weight=even(rng, 2, 3, 3, 2), delay=np.array([2, 5]))
    dense = Dense(shape=(4,), neuron=cuba(), weight=even(rng, 4, 16))
    return [first, second, Flatten(shape=(16, 1, 1)), dense], spikes(rng, 1, 4, 5, 40)


@case(steps=8, input_shape=(140, 1, 1))
def convolution_of_a_wide_picture(rng):
    return [Conv(shape=(1, 1, 140), neuron=cuba(), weight=even(rng, 1, 1, 1, 3), padding=(0, 1))], spikes(
        rng, 1, 1, 140, 8
    )


@case(steps=8, input_shape=(2, 1, 130))
def convolution_in_many_groups(rng):
    return [Conv(shape=(130, 1, 2), neuron=cuba(), weight=even(rng, 130, 1, 1, 1, low=20), groups=130)], spikes(
        rng, 130, 1, 2, 8
    )


if UNPATCHED:
    TOO_MANY_GROUPS = CASES.pop("convolution_in_many_groups")


@case(["LIF", "Conv + LIF", "Dense + LIF"])
def input_layer(rng):
    """It takes current in 1/64, of either sign, in the same step."""
    first = Input(shape=(2, 4, 3), neuron=cuba(), weight=36, bias=34)
    conv = Conv(shape=(3, 3, 2), neuron=cuba(), weight=even(rng, 3, 2, 2, 2), bias=np.array([150, -3, 0]))
    dense = Dense(shape=(3,), neuron=cuba(), weight=even(rng, 3, 18), bias=np.array([20, 5, -40]))
    return [first, conv, Flatten(shape=(18, 1, 1)), dense], rng.integers(-20, 50, (2, 4, 3, 40))


@case(["Dense"])
def sums_without_neurons(rng):
    return [Dense(shape=(5,), weight=even(rng, 5, 9))], spikes(rng, 9, 40)


def sums(*weights):
    """One layer of bare sums of the given weights, fed with every input alone and all together."""
    weight = np.array(weights)
    inputs = weight.shape[1]
    x = np.concatenate([np.eye(inputs, dtype=np.int64), np.ones((inputs, 2), np.int64)], axis=1)
    return [Dense(shape=(len(weight),), weight=weight)], x


@case()
def weights_all_zero(rng):
    return sums([0, 0], [0, 0])


@case()
def weights_all_at_the_lower_end(rng):
    return sums([-256, -256, -256], [-256, -256, -256])


@case()
def weights_all_negative(rng):
    return sums([-128, -64, -2], [-64, -64, -64])


@case()
def weights_over_the_whole_range(rng):
    return sums([-256, 254, 0, 2], [-2, 128, -128, 64])


@case()
def weights_odd_positive(rng):
    return sums([1, 255, 0], [3, 128, 7])


@case()
def weights_odd_negative(rng):
    return sums([-1, -255, 0], [-3, -128, -7])


@case()
def weights_odd_mixed(rng):
    return sums([-127, 127, -1, 3], [-128, 5, 0, -9])


@case(input_message_bits=8)
def graded_input(rng):
    return [Dense(shape=(4,), neuron=cuba(threshold=900), weight=np.array([[1, -7], [9, 3], [-5, 5], [127, -127]]))], (
        rng.integers(-9, 30, (2, 40))
    )


@case()
def input_that_is_not_binary(rng):
    """Without message bits any non-zero input is one spike."""
    return [Dense(shape=(4,), neuron=cuba(), weight=even(rng, 4, 6))], rng.integers(-2, 3, (6, 40))
