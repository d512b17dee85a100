"""The processes that each layer becomes, and the layers that are refused; none of this needs Lava."""

from __future__ import annotations

import numpy as np
import pytest

from lavadl_ref.exchange.describe import Average, Conv, Dense, Flatten, Input, Neuron, Pool, TimeDecimation
from lavadl_ref.netx.plan.network import Options, plan, waiting
from lavadl_ref.netx.plan.process_spec import UnsupportedLayer
from lavadl_ref.netx.plan.table import table
from lavadl_ref.netx.plan.transposed import transposed_matrix
from lavadl_ref.netx.plan.weights import dense_encoding, kernel_weight, pool_padding, pool_window
from tests.support import netx_families as families
from tests.support.families import BY_TYPE
from tests.support.netx_cases import cuba
from tests.support.netx_families import COMPLEX, FAMILIES, OWN, STOCK, neuron
from tests.support.oracle.netx import network


def dense(outputs=3, inputs=4, **more):
    more.setdefault("neuron", cuba())
    more.setdefault("weight", np.full((outputs, inputs), 2))
    return Dense(shape=(outputs,), **more)


def conv(**more):
    more.setdefault("neuron", cuba())
    return Conv(shape=(2, 3, 4), weight=np.full((2, 1, 2, 2), 2), **more)


SUM = Neuron("SDNN", {"activation": None, "threshold": None, "sigma_output": True})


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([TimeDecimation(shape=(4,), factor=2), dense()], r"layer 0 \(time_decimation\) averages over bins of time"),
        ([dense(), Average(shape=(1,)), dense(2, 1)], r"layer 1 \(average\) averages, which .* only the last layer"),
        ([dense(neuron=None), dense(5, 3)], r"layer 0 \(dense\) has no neurons, which only the last layer may do"),
        ([dense(neuron=SUM), dense(5, 3)], r"layer 0 \(dense\) sends its sums, which only the last layer may do"),
        ([dense(), dense(5, 3, neuron=neuron("SDNN", activation="tanh"))], r"layer 1 \(dense\) .*activation 'tanh'"),
        ([dense(neuron=neuron("SDNN", threshold=2**20))], "threshold 1048576, which leaves 32 bits"),
        ([dense(neuron=neuron("ALIF", weight_exp=40))], r"layer 0 \(dense\) has a weight exponent of 40"),
        ([dense(neuron=cuba(), delay=np.array([0, -1, 0]))], r"layer 0 \(dense\) has a negative delay, -1"),
        ([dense(), Input(shape=(3,), neuron=cuba())], r"layer 1 \(input\) stands behind"),
        ([Input(shape=(1, 4, 5), weight=2), conv()], "weight 2 and bias 0 but no neurons"),
    ],
)  # fmt: skip
def test_a_plan_refuses_what_lava_cannot_do(layers, message):
    with pytest.raises(UnsupportedLayer, match=message):
        plan(network(*layers))


@pytest.mark.parametrize(
    ("layers", "options", "message"),
    [
        ([conv()], {}, r"layer 0 \(conv\) .*input_shape=\(W, H, C\)"),
        ([Average(shape=(3,))], {}, r"layer 0 \(average\) .*input_shape=\(W, H, C\)"),
        ([conv()], {"input_shape": (5, 4, 3)}, r"layer 0 \(conv\) does not fit .*the input is \(3, 4, 5\) \(C, H, W\)"),
        ([conv()], {"input_shape": (6, 4, 1)}, r"must have shape \(2, 3, 5\), got \(2, 3, 4\)"),
        ([conv()], {"input_shape": (20,)}, r"must have input \(C, H, W\), got \(20,\)"),
        ([dense(), dense(2, 5)], {}, r"layer 1 \(dense\) does not fit .*\(2, 3\), got \(2, 5\)"),
        ([dense()], {"skip_layers": 1}, "no layer is left of 1"),
        ([dense()], {"num_layers": 0}, "num_layers must be at least 1, got 0"),
        ([dense()], {"reset_interval": 0}, "reset_interval must be at least 1, got 0"),
        ([dense()], {"reset_offset": -1}, "reset_offset must be at least 0, got -1"),
        ([dense()], {"time_base": "chip"}, "time_base must be one of .*got 'chip'"),
        ([dense()], {"spike_exp": 13}, r"spike_exp must be in 0\.\.12, got 13"),
        ([dense()], {"input_message_bits": 25}, r"input_message_bits must be in 0\.\.24, got 25"),
    ],
)
def test_a_plan_refuses_what_does_not_fit(layers, options, message):
    with pytest.raises(ValueError, match=message):
        plan(network(*layers), Options(**options))


@pytest.mark.parametrize(
    "weight",
    [
        [[-256, 254, 0]], [[-256, -256]], [[0, 0]], [[1, 255]], [[-1, -255]], [[-128, 127, 3]], [[0]], [[-256, 0]],
    ],
)  # fmt: skip
def test_a_dense_encoding_survives_eight_bits(weight):
    """Lava clips to its range, then drops the last bit where the sign takes one, then shifts the sums."""
    weight = np.array(weight)
    encoding = dense_encoding(weight)
    mixed = encoding["sign_mode"] == "MIXED"
    sign = -1 if encoding["sign_mode"] == "INHIBITORY" else 1
    held = np.clip(sign * encoding["weights"], -256 if mixed else 0, 255)
    held = sign * (held >> mixed << mixed)
    assert (held >> -encoding["weight_exp"] == weight).all()
    assert encoding["num_weight_bits"] == 8


@pytest.mark.parametrize("weight", [[[256, 0]], [[-258, 0]], [[-256, 1]], [[129, -2]], [[-129, 2]], [[-255, 255]]])
def test_a_dense_encoding_refuses_loss(weight):
    assert dense_encoding(np.array(weight)) is None


def test_a_kernel_is_flipped_and_transposed():
    weight = np.arange(24).reshape(2, 1, 3, 4)
    turned = kernel_weight(weight)
    assert turned.shape == (2, 4, 3, 1)
    for o, y, x in np.ndindex(2, 3, 4):
        assert turned[o, 3 - x, 2 - y, 0] == weight[o, 0, y, x]


def test_resets_are_counted_by_generated_layers():
    """Flatten and skipped layers have no turn."""
    layers = [conv(), Flatten(shape=(24, 1, 1)), dense(4, 24), dense(3, 4)]
    whole = plan(network(*layers), Options(input_shape=(5, 4, 1), reset_interval=9, reset_offset=2))
    assert [entry.neuron.arguments["reset_offset"] for entry in whole] == [3, 4, 5]
    rest = plan(network(*layers), Options(skip_layers=1, reset_interval=9, reset_offset=2))
    assert [entry.neuron.arguments["reset_offset"] for entry in rest] == [3, 4]
    assert [entry.position for entry in rest] == [2, 3]


def test_a_part_of_a_network_has_the_shapes_of_the_whole():
    layers = [Input(shape=(1, 4, 5), neuron=cuba()), conv(), Flatten(shape=(24, 1, 1)), dense(4, 24)]
    assert [p.shape for p in plan(network(*layers))] == [(5, 4, 1), (4, 3, 2), (4,)]
    assert [p.shape for p in plan(network(*layers), Options(num_layers=2))] == [(5, 4, 1), (4, 3, 2)]
    skipped = plan(network(*layers), Options(skip_layers=1))
    assert skipped[0].input_shape == (5, 4, 1)
    assert skipped[0].flatten is False
    assert skipped[1].flatten is True
    assert plan(network(*layers), Options(skip_layers=2))[0].input_shape == (24,)


def test_an_input_layer_without_neurons_only_tells_its_shape():
    assert plan(network(Input(shape=(1, 4, 5)), conv()))[0].input_shape == (5, 4, 1)


def test_a_delay_is_repeated_for_each_place_of_a_channel():
    layers = [conv(delay=np.array([0, 5])), Flatten(shape=(24, 1, 1)), dense(4, 24)]
    synapse = plan(network(*layers), Options(input_shape=(5, 4, 1)))[1].synapse
    assert synapse.arguments["max_delay"] == 5
    assert (synapse.arguments["delays"] == np.repeat([0, 5], 12)).all()


def test_the_table_shows_geometry_and_processes():
    layers = [conv(delay=np.array([0, 5]), stride=(1, 1)), Flatten(shape=(24, 1, 1)), dense(4, 24)]
    assert table(plan(network(*layers), Options(input_shape=(5, 4, 1)))).splitlines() == [
        "|   Type   |  W  |  H  |  C  | ker | str | pad | dil | grp |delay| Lava processes",
        "|Conv      |    4|    3|    2| 2, 2| 1, 1| 0, 0| 1, 1|    1|True | Conv + LIF",
        "|Dense     |    1|    1|    4|     |     |     |     |     |False| DelayDense + LIF",
    ]


def processes(*layers, **options):
    """Names of the processes of each layer."""
    return [entry.processes for entry in plan(network(*layers), Options(**options))]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("change", "stock"),
    [
        ({}, FAMILIES),
        ({"neurons": {"weight_exp": 1}}, ()),
        ({"neurons": {"graded_spike": True}}, ()),
        ({"bias": np.array([150, 100, 0])}, ()),
        ({"bias": np.array([-100, -100, 0])}, ("CUBA", "SDNN")),
        ({"bias": np.array([2**18, 0, 0])}, ()),
        ({"reset_interval": 5}, ("CUBA",)),
        ({"time_base": "lava", "bias": np.array([100, 100, 0])}, ("CUBA", "SDNN")),
        ({"time_base": "lava", "bias": np.array([2**19, 0, 0])}, ()),
        ({"neurons": {"threshold": 0}}, ("CUBA", "RF_PHASE", "SDNN")),
        ({"time_base": "lava", "neurons": {"threshold": 0}}, FAMILIES),
    ],
)
def test_neurons_are_lavas_where_these_are_exact(family, change, stock):
    """CUBA with a bias that would spike before the start is ours too."""
    options = {name: change[name] for name in ("reset_interval", "time_base") if name in change}
    layer = families.dense(family, **{name: value for name, value in change.items() if name not in options})
    (found,) = processes(layer, **options)
    expected = STOCK[family] if family in stock and STOCK[family] else f"{OWN[family]} (own)"
    resets = options.get("reset_interval") or (family == "CUBA" and "bias" in change and "time_base" not in options)
    name = "LIFReset" if expected == "LIF" and resets else expected
    assert found == f"{'2 ' if family in COMPLEX else ''}Dense + {name}"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("before", FAMILIES)
def test_messages_of_another_scale_need_own_neurons(before, family):
    (_, found) = plan(network(families.dense(before, 4, 4), families.dense(family)))
    same = (before == "SDNN") == (family == "SDNN")
    assert found.neuron.process == ((same and STOCK[family]) or OWN[family])
    assert found.synapse.arguments["num_message_bits"] == (16 if before == "SDNN" else 0)


def test_graded_spikes_are_told_to_every_synapse_behind_them():
    graded = {"graded_spike": True}
    (again, after) = plan(network(families.recurrent("RF_PHASE", neurons=graded), families.dense("ALIF", 3, 3)))
    assert again.specs.synapse.arguments["num_message_bits"] == 0
    assert again.specs.imag_synapse.arguments["num_message_bits"] == 0
    assert again.specs.rec_synapse.arguments["num_message_bits"] == 24
    assert again.specs.rec_imag_synapse.arguments["num_message_bits"] == 24
    assert after.synapse.arguments["num_message_bits"] == 24
    assert (again.outgoing, after.outgoing) == (12, 0)
    assert after.neuron.process == "ExactALIF"
    assert after.neuron.arguments["incoming"] == 12


@pytest.mark.parametrize(("spike_exp", "outgoing"), [(0, 6), (6, 12), (9, 15)])
def test_the_scale_of_sigma_delta_reaches_its_processes(spike_exp, outgoing):
    (one, two) = plan(network(families.dense("SDNN", 4), families.dense("SDNN")), Options(spike_exp=spike_exp))
    for entry in (one, two):
        assert entry.outgoing == outgoing
        assert entry.neuron.arguments["spike_exp"] == spike_exp
        assert entry.neuron.arguments["state_exp"] == 6
        assert entry.synapse.arguments["num_message_bits"] == 16


def test_complex_delays_are_in_both_parts():
    delay = np.array([0, 3, 1, 1])
    (_, after) = plan(network(families.dense("RF_PHASE", 4, delay=delay), families.recurrent("RF_IZHIKEVICH")))
    for part in (after.specs.synapse, after.specs.imag_synapse):
        assert part.process == "DelayDense"
        assert (part.arguments["delays"] == delay).all()
    for part in (after.specs.rec_synapse, after.specs.rec_imag_synapse):
        assert part.process == "Dense"


def test_weights_of_the_widest_range_are_ours():
    assert processes(dense(1, 2, weight=np.array([[300, 2]]))) == ["ExactSparse (own) + LIF"]
    assert processes(dense(1, 2, weight=np.array([[-200, 3]]))) == ["ExactSparse (own) + LIF"]
    odd = dense(1, 2, weight=np.array([[-20, 3]]))
    assert processes(odd) == ["Dense + LIF"]
    assert processes(odd, input_message_bits=8) == ["ExactSparse (own) + LIF"]  # sums would leave 31 bits early


def windows(rng, plane, layer, weight, padding, dilation):
    """Sums over the windows of a plane, as many as a convolution has."""
    padded = np.pad(plane, [(p, p) for p in padding])
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape, strict=True)]
    size = [(n - r) // s + 1 for n, r, s in zip(padded.shape, reach, layer.stride, strict=True)]
    out = np.zeros(size, np.int64)
    for y, x in np.ndindex(*size):
        corner = y * layer.stride[0], x * layer.stride[1]
        spans = [slice(c, c + r, d) for c, r, d in zip(corner, reach, dilation, strict=True)]
        out[y, x] = (padded[spans[0], spans[1]] * weight).sum()
    return out


@pytest.mark.parametrize("seed", range(20))
def test_windows_past_the_edge_become_ordinary_ones(seed):
    rng = np.random.default_rng(seed)
    size, kernel = rng.integers(3, 9, 2), rng.integers(1, 4, 2)
    stride, dilation, padding = rng.integers(1, 4, 2), rng.integers(1, 4, 2), rng.integers(0, 2, 2)
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    starts = np.maximum(-(-room // stride), 0)  # of the last window, if it may reach past the edge
    weight = rng.integers(-9, 9, (1, 1, *kernel))
    shape = (1, *(starts + 1).tolist())
    layer = Pool(
        shape=shape, weight=weight, stride=tuple(stride.tolist()), padding=tuple(padding.tolist()),
        dilation=tuple(dilation.tolist()),
    )  # fmt: skip
    plane = rng.integers(-9, 9, size)
    wide = pool_window(layer, weight, tuple(size.tolist()))
    pads, steps = pool_padding(layer, tuple(size.tolist()))
    found = windows(rng, plane, layer, wide[0, 0], pads, steps)
    far = np.pad(plane, [(p, p + 40) for p in padding])
    expected = windows(rng, far, layer, weight[0, 0], (0, 0), dilation)[: shape[1], : shape[2]]
    assert found.shape == shape[1:]
    assert (found == expected).all()


@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_matrix_is_the_transposed_convolution(groups):
    from lavadl_kernels.ops import integer_synapse as synapse

    from lavadl_ref.exchange.describe import ConvTranspose

    rng = np.random.default_rng(groups)
    weight, x = rng.integers(-9, 9, (4, 3, 2, 3)), rng.integers(-3, 9, (5, 4, 3, 4))
    window = {"stride": (2, 1), "padding": (1, 0), "dilation": (2, 1), "groups": groups}
    sums = synapse.conv_transpose(x, weight, **window)
    layer = ConvTranspose(shape=sums.shape[1:], weight=weight, **window)
    matrix = transposed_matrix(layer, weight, (4, 3, 4))
    found = np.array([matrix @ frame.reshape(-1) for frame in x])
    assert (found.reshape(5, *layer.shape[::-1]).transpose(0, 3, 2, 1) == sums).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_that_would_act_before_their_data_are_told(family):
    # behind a layer that does not shift, so that the second one starts a step later
    first = families.dense("CUBA", outputs=4, delay_shift=False)

    def waits(**second):
        return waiting(plan(network(first, families.dense(family, **second))))

    assert waits() == []
    assert waits(bias=np.array([0, 2, 0])) == [1]
    fires = BY_TYPE[family].record.spikes_at_equality  # a spike by phase needs a state that moves
    assert waits(neurons={"threshold": 0}) == ([1] if fires else [])
