"""Networks of every family and block, with what their processes must be."""

from __future__ import annotations

import numpy as np

from lavadl_ref.exchange.describe import Average, Conv, ConvTranspose, Dense, Flatten, Pool, Unpool
from lavadl_ref.netx.run.runtime import Job
from tests.support.netx_families import COMPLEX, FAMILIES, OWN, STOCK, dense, entry, neuron, recurrent, weights
from tests.support.oracle.netx import network

CASES: dict[str, Job] = {}
PROCESSES: dict[str, list[str]] = {}


def add(name, layers, inputs, processes, **arguments):
    """Register a network with its input."""
    states = [] if layers[0].neuron is None else [(0, 9)]
    CASES[name] = Job(network(*layers), inputs, 24, states_at=states, arguments=arguments)
    PROCESSES[name] = processes


def spikes(seed, *shape, rate=0.4):
    """Random binary input."""
    return (np.random.default_rng(seed).random((*shape, 24)) < rate).astype(np.int64)


def messages(seed, *shape):
    """Random sigma-delta messages in 1/4096."""
    return spikes(seed, *shape) * np.random.default_rng(seed + 1).integers(-1500, 3000, (*shape, 24))


def taken(family, seed, *shape):
    """Random input as a network of the family takes it."""
    return messages(seed, *shape) if family == "SDNN" else spikes(seed, *shape)


def synapse(family, name):
    """The name of the family's synapse of this kind in the table."""
    return f"2 {name}" if family in COMPLEX else name


BIAS = np.array([50, -30, 20])
for number, family in enumerate(FAMILIES):
    own = f"{OWN[family]} (own)"
    stock = STOCK[family] or own
    x, two = taken(family, number, 4), synapse(family, "Dense")
    chain = [dense(family, 5, 4, number), dense(family, 3, 5, number + 1, delay=np.array([0, 2, 1]))]
    add(f"{family}_chain", chain, x, [f"{two} + {stock}", f"{two} + {stock} + DelayLine (own)"])
    late = [dense(family, 5, 4, number, delay=np.arange(5)), chain[1]]
    delaying = f"{synapse(family, 'DelayDense')} + {stock} + DelayLine (own)"
    add(f"{family}_delays", late, x, [f"{two} + {stock}", delaying])
    biased = [dense(family, 3, 4, number, bias=BIAS)]
    gated = {"CUBA": "LIFReset"}.get(family, own)
    add(f"{family}_bias", biased, x, [f"{two} + {gated}"])
    early = {"CUBA": "LIF", "SDNN": stock}.get(family, own)
    add(f"{family}_bias_from_the_first_step", biased, x, [f"{two} + {early}"], time_base="lava")
    reset = {"CUBA": "LIFReset"}.get(family, own)
    add(f"{family}_reset", chain[:1], x, [f"{two} + {reset}"], reset_interval=7, reset_offset=2)
    if family in COMPLEX:
        exponents = {"weight_exp": 2, "weight_exp_imag": -1}
    else:
        exponents = {"weight_exp": 1}
    add(f"{family}_weight_exponent", [dense(family, 3, 4, number, exponents, bias=BIAS)], x, [f"{two} + {own}"])
    decays = {
        name: np.array([200, 1800, 4096, 0])
        for name in ("current_decay", "voltage_decay", "threshold_decay", "refractory_decay")
        if name in neuron(family).parameters
    }
    if family in COMPLEX:
        decays |= {"sin_decay": np.array([-4096, 1, 2000, -7]), "cos_decay": np.array([0, -4095, 3571, 3001])}
    if family == "SDNN":
        decays = {"threshold": np.array([0, 10, 20, 90])}
    per_channel = own if family == "SDNN" else stock
    add(f"{family}_per_channel", [dense(family, 4, 4, number, decays)], x, [f"{two} + {per_channel}"])
    driven = spikes(number, 4) * np.random.default_rng(number).integers(-50, 200, (4, 24))
    given = {"SDNN": "Delta"}.get(family, stock)
    add(f"{family}_input", [entry(family), dense(family, 3, 4, number)], driven, [given, f"{two} + {stock}"])
    rng = np.random.default_rng(number)
    conv = Conv(shape=(4, 3, 4), neuron=neuron(family), groups=2, padding=(1, 0), **weights(rng, family, 4, 1, 3, 2))
    last = dense(family, 3, 48, number)
    named = [f"{synapse(family, 'Conv')} + {stock}", f"{two} + {stock}"]
    shape = {"input_shape": (5, 3, 2)}
    add(f"{family}_conv", [conv, Flatten(shape=(48,)), last], taken(family, number, 2, 3, 5), named, **shape)
    if family != "SDNN":
        again = [recurrent(family, 4, 4, number, delay=np.array([0, 1, 2, 0]))]
        feedback = f"{two} + {synapse(family, 'Dense')} (feedback) + {stock} + DelayLine (own)"
        add(f"{family}_recurrent", again, x, [feedback])
        graded = [recurrent(family, 4, 4, number, {"graded_spike": True, "weight_exp": 3}), dense("SDNN", 3, 4)]
        add(
            f"{family}_graded", graded, x,
            [f"{two} + {synapse(family, 'Dense')} (feedback) + {own}", "Dense + SigmaDelta"],
        )  # fmt: skip

# -- sigma-delta ----------------------------------------------------------------------------------

for name, parameters in {
    "identity": {"activation": "identity"},
    "cumulative_error": {"cum_error": True, "threshold": 60},
    "coarser": {"threshold": 0},
}.items():
    arguments = {"spike_exp": 4} if name == "coarser" else {}
    layers = [dense("SDNN", 5, 4, 3, parameters, bias=np.full(5, -9)), dense("SDNN", 3, 5, 4, parameters)]
    stock = "ExactSigmaDelta (own)" if name == "identity" else "SigmaDelta"
    add(f"sigma_delta_{name}", layers, messages(3, 4), [f"Dense + {stock}", "Dense + SigmaDelta"], **arguments)

SUM = {"activation": None, "threshold": None, "sigma_output": True}
sums = [dense("SDNN", 5, 4, 3), dense("SDNN", 3, 5, 4, SUM)]
add("sigma_output", sums, messages(3, 4), ["Dense + SigmaDelta", "Dense + Sigma"])
sums = [sums[0], dense("SDNN", 3, 5, 4, SUM, bias=BIAS)]
add("sigma_output_with_bias", sums, messages(3, 4), ["Dense + SigmaDelta", "Dense + ExactSigma (own)"])
add("spikes_into_sums", [dense("CUBA", 5, 4), dense("SDNN", 3, 5, 4)], spikes(3, 4),
    ["Dense + LIF", "Dense + ExactSigmaDelta (own)"])  # fmt: skip
add("messages_into_spikes", [dense("SDNN", 5, 4), dense("CUBA", 3, 5, 4)], messages(3, 4),
    ["Dense + SigmaDelta", "Dense + ExactLIF (own)"])  # fmt: skip
add("input_reset", [entry("SDNN"), dense("SDNN")], messages(3, 4) >> 5,
    ["ExactDelta (own)", "Dense + ExactSigmaDelta (own)"], reset_interval=6)  # fmt: skip

# -- neurons at the edge --------------------------------------------------------------------------

for family in ("ALIF", "RF_IZHIKEVICH"):
    two = synapse(family, "Dense")
    silent = [dense(family, neurons={"threshold": 0})]
    add(f"{family}_spikes_at_rest", silent, spikes(3, 4), [f"{two} + {OWN[family]} (own)"])
    add(
        f"{family}_spikes_at_rest_from_the_first_step",
        silent,
        spikes(3, 4),
        [f"{two} + {STOCK[family]}"],
        time_base="lava",
    )
for family in FAMILIES:
    extreme = {"current_decay": 0, "voltage_decay": 0, "threshold": 2**16, "sin_decay": 2900, "cos_decay": 2900}
    extreme = {name: value for name, value in extreme.items() if name in neuron(family).parameters}
    full = {"weight": np.array([[254, 254], [-256, -256]])}
    if family in COMPLEX:
        full["weight_imag"] = np.array([[-256, 0], [0, 254]])
    given = {} if family == "SDNN" else {"input_message_bits": 24}
    stock = STOCK[family] or f"{OWN[family]} (own)"
    add(
        f"{family}_leaves_its_widths", [Dense(shape=(2,), neuron=neuron(family, **extreme), **full)],
        spikes(1, 2) * (3_000_000 if family == "SDNN" else 3000), [f"{synapse(family, 'Dense')} + {stock}"], **given,
    )  # fmt: skip
add("bias_on_the_current", [recurrent("CUBA", input_bias=BIAS)], spikes(3, 4),
    ["Dense + Dense (feedback) + ExactLIF (own)"])  # fmt: skip
for base in ("slayer", "lava"):
    both = [dense("CUBA", 3, 4, bias=BIAS, input_bias=-BIAS), dense("CUBA", 2, 3, input_bias=BIAS[:2])]
    add(f"biases_of_a_dense_layer_{base}", both, spikes(3, 4), ["Dense + ExactLIF (own)"] * 2, time_base=base)
window = Conv(
    shape=(3, 2, 4), neuron=neuron("CUBA"), bias=BIAS, input_bias=BIAS[::-1],
    **weights(np.random.default_rng(5), "CUBA", 3, 2, 2, 2),
)  # fmt: skip
wider = ConvTranspose(
    shape=(2, 3, 5), neuron=neuron("CUBA"), input_bias=BIAS[:2],
    **weights(np.random.default_rng(6), "CUBA", 3, 2, 2, 2),
)  # fmt: skip
add("biases_of_convolutions", [window, wider], spikes(6, 2, 3, 5),
    ["Conv + ExactLIF (own)", "Sparse + ExactLIF (own)"], input_shape=(5, 3, 2))  # fmt: skip

# -- blocks ---------------------------------------------------------------------------------------

SHAPE = {"input_shape": (5, 4, 2)}
POOLS = {
    "even": {"shape": (2, 2, 2), "weight": np.full((1, 1, 2, 2), 60), "stride": (2, 2)},
    "past_the_edge": {"shape": (2, 2, 3), "weight": 2 * np.arange(4).reshape(1, 1, 2, 2) + 40, "stride": (2, 2)},
    "past_both_edges": {
        "shape": (2, 2, 3), "weight": 2 * np.arange(6).reshape(1, 1, 3, 2) + 40,
        "stride": (3, 2), "padding": (1, 1), "dilation": (1, 2),
    },
}  # fmt: skip
for name, window in POOLS.items():
    add(f"pool_{name}", [Pool(neuron=neuron("CUBA"), **window)], spikes(5, 2, 4, 5), ["Conv + LIF"], **SHAPE)
rng = np.random.default_rng(9)
up = ConvTranspose(
    shape=(4, 7, 12), neuron=neuron("RF_PHASE"), stride=(2, 2), padding=(1, 0), dilation=(2, 1), groups=2,
    delay=np.array([0, 3, 1, 2]), **weights(rng, "RF_PHASE", 2, 2, 2, 4),
)  # fmt: skip
back = Pool(shape=(4, 2, 3), neuron=neuron("CUBA"), weight=np.full((1, 1, 4, 4), 30), stride=(4, 4))
out = [Flatten(shape=(24,)), dense("CUBA", 3, 24)]
add("convT_pool_dense", [up, back, *out], spikes(6, 2, 4, 5),
    ["2 Sparse + RF + DelayLine (own)", "Conv + LIF", "Dense + LIF"], **SHAPE)  # fmt: skip
unpool = Unpool(shape=(2, 8, 11), neuron=neuron("SDNN"), weight=np.full((1, 1, 2, 3), 42), stride=(2, 2))
add("unpool_sums", [unpool, Flatten(shape=(176,)), dense("SDNN", 3, 176)], messages(6, 2, 4, 5),
    ["Sparse + SigmaDelta", "Dense + SigmaDelta"], **SHAPE)  # fmt: skip
conv = Conv(shape=(2, 3, 4), neuron=neuron("CUBA"), delay=np.array([1, 4]), **weights(rng, "CUBA", 2, 2, 2, 2))
add("average", [conv, Flatten(shape=(24,)), Average(shape=(3,))], spikes(7, 2, 4, 5),
    ["Conv + LIF + DelayLine (own)", "GroupSum (own)"], **SHAPE)  # fmt: skip
add("sparse_feedback", [recurrent("ALIF", delay=np.array([1, 0, 3])), dense("RF_IZHIKEVICH", 3, 3)], spikes(3, 4),
    ["Sparse + Sparse (feedback) + ATRLIF", "2 DelaySparse + RF_IZ"], sparse_fc_layer=True)  # fmt: skip
bare = {"weight": np.array([[2, 4, 6], [-8, 2, 0]]), "bias": np.array([5, -7]), "delay": np.array([0, 2])}
add("bare_sums_with_bias", [dense("CUBA", delay=np.array([0, 1, 2])), Dense(shape=(2,), **bare)], spikes(3, 4),
    ["Dense + LIF", "DelayDense + AddBias (own) + DelayLine (own)"])  # fmt: skip
plain = Conv(shape=(3, 3, 4), bias=BIAS, **weights(rng, "CUBA", 3, 2, 2, 2))
bare = {"bias": np.array([30]), **weights(rng, "CUBA", 1, 2, 2, 2)}
add("bare_convolution_of_messages", [unpool, Conv(shape=(1, 7, 10), **bare)], messages(6, 2, 4, 5),
    ["Sparse + SigmaDelta", "Conv + AddBias (own)"], **SHAPE)  # fmt: skip
add("bare_convolution", [plain], spikes(6, 2, 4, 5), ["Conv + AddBias (own)"], **SHAPE)
wide = np.array([[511, -512, 3], [1, -301, 400]])
add("wide_weights", [dense("CUBA", delay=np.array([0, 1, 2])), Dense(shape=(2,), neuron=neuron("CUBA"), weight=wide)],
    spikes(3, 4), ["Dense + LIF + DelayLine (own)", "ExactSparse (own) + LIF"])  # fmt: skip
add("odd_weights_of_messages", [Dense(shape=(2,), neuron=neuron("SDNN"), weight=np.array([[127, -3], [5, -128]]))],
    messages(3, 2), ["ExactSparse (own) + SigmaDelta"])  # fmt: skip
add("odd_weights_of_an_unpool", [Unpool(shape=(2, 4, 5), neuron=neuron("CUBA"), weight=np.full((1, 1, 1, 1), 301))],
    spikes(6, 2, 4, 5), ["ExactSparse (own) + LIF"], **SHAPE)  # fmt: skip
parts = [dense("CUBA", 5, 4), dense("ALIF", 4, 5), dense("RF_IZHIKEVICH", 3, 4), dense("CUBA", 2, 3)]
add("part_of_a_network", parts, spikes(3, 5), ["Dense + ATRLIF", "2 Dense + RF_IZ"], skip_layers=1, num_layers=3)
