"""What each layer becomes, and what is refused; none of this needs Lava."""

from __future__ import annotations

import numpy as np
import pytest

from lavadl_ref.exchange.describe import Average, Conv, Dense, Flatten, Input, Neuron, Pool, Recurrent
from lavadl_ref.netx.choice import UnsupportedLayer
from lavadl_ref.netx.plan import Options, plan
from lavadl_ref.netx.table import table
from lavadl_ref.netx.weights import dense_encoding, kernel_weight
from tests.netx.cases import cuba
from tests.netx.oracle import network


def dense(outputs=3, inputs=4, **more):
    more.setdefault("neuron", cuba())
    more.setdefault("weight", np.full((outputs, inputs), 2))
    return Dense(shape=(outputs,), **more)


def conv(**more):
    more.setdefault("neuron", cuba())
    return Conv(shape=(2, 3, 4), weight=np.full((2, 1, 2, 2), 2), **more)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Pool(shape=(1, 1, 1), weight=np.full((1, 1, 2, 2), 2))], r"layer 0 \(pool\).*not yet available"),
        ([dense(), Average(shape=(1, 1, 1))], r"layer 1 \(average\).*not yet available"),
        ([Recurrent(shape=(1,), neuron=cuba(), weight=np.eye(1), weight_rec=np.eye(1))], r"layer 0 \(dense_rec\)"),
        ([dense(neuron=Neuron("ALIF", {}))], r"layer 0 \(dense\) has ALIF neurons.*not yet available"),
        ([dense(), dense(5, 3, neuron=Neuron("SDNN", {}))], r"layer 1 \(dense\) has SDNN neurons"),
        ([dense(neuron=Neuron("CUBA", {"graded_spike": True}))], "graded spikes"),
        ([dense(neuron=Neuron("CUBA", {"weight_exp": 2}))], "weight_exp 2"),
        ([dense(neuron=Neuron("CUBA", {"refractory_delay": 3}))], "refractory_delay 3"),
        ([dense(neuron=None), dense(5, 3)], r"layer 0 \(dense\) has no neurons"),
        ([dense(neuron=None, bias=np.array([0, 1, 0]))], "has a bias but no neurons"),
        ([dense(weight_imag=np.zeros((3, 4), int))], "complex weights"),
        ([dense(1, 2, weight=np.array([[300, 2]]))], r"weight\[0, 0\] = 300 \(-256 to 255"),
        ([dense(1, 2, weight=np.array([[-200, 3]]))], r"weight\[0, 1\] = 3 \(odd weights"),
        ([dense(), Input(shape=(3,), neuron=cuba())], r"layer 1 \(input\) stands behind"),
        ([Input(shape=(1, 4, 5), weight=2), conv()], "weight 2 and bias 0 but no neurons"),
    ],
)  # fmt: skip
def test_refuses_what_lava_cannot_do(layers, message):
    with pytest.raises(UnsupportedLayer, match=message):
        plan(network(*layers))


@pytest.mark.parametrize(
    ("layers", "options", "message"),
    [
        ([conv()], {}, r"input_shape=\(W, H, C\)"),
        ([conv()], {"input_shape": (5, 4, 3)}, r"takes 1 channels.*\(5, 4, 3\)"),
        ([conv()], {"input_shape": (6, 4, 1)}, r"turns \(6, 4, 1\) into \(5, 3, 2\), the file says \(4, 3, 2\)"),
        ([conv()], {"input_shape": (20,)}, r"takes \(W, H, C\)"),
        ([dense(), dense(2, 5)], {}, r"layer 1 \(dense\) takes 5 inputs.*\(3,\)"),
        ([dense()], {"skip_layers": 1}, "no layer is left of 1"),
        ([dense()], {"num_layers": 0}, "num_layers must be at least 1, got 0"),
        ([dense()], {"reset_interval": 0}, "reset_interval must be at least 1, got 0"),
        ([dense()], {"reset_offset": -1}, "reset_offset must not be negative, got -1"),
        ([dense()], {"time_base": "chip"}, "time_base must be one of .*got 'chip'"),
    ],
)
def test_refuses_what_does_not_fit(layers, options, message):
    with pytest.raises(ValueError, match=message):
        plan(network(*layers), Options(**options))


@pytest.mark.parametrize(
    "weight",
    [
        [[-256, 254, 0]], [[-256, -256]], [[0, 0]], [[1, 255]], [[-1, -255]], [[-128, 127, 3]], [[0]], [[-256, 0]],
    ],
)  # fmt: skip
def test_dense_encoding_survives_eight_bits(weight):
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
def test_dense_encoding_refuses_loss(weight):
    assert dense_encoding(np.array(weight)) is None


def test_kernel_is_flipped_and_transposed():
    weight = np.arange(24).reshape(2, 1, 3, 4)
    turned = kernel_weight(weight)
    assert turned.shape == (2, 4, 3, 1)
    for o, y, x in np.ndindex(2, 3, 4):
        assert turned[o, 3 - x, 2 - y, 0] == weight[o, 0, y, x]


def test_resets_count_generated_layers():
    """Flatten and skipped layers have no turn."""
    layers = [conv(), Flatten(shape=(24, 1, 1)), dense(4, 24), dense(3, 4)]
    whole = plan(network(*layers), Options(input_shape=(5, 4, 1), reset_interval=9, reset_offset=2))
    assert [entry.neuron.arguments["reset_offset"] for entry in whole] == [3, 4, 5]
    rest = plan(network(*layers), Options(skip_layers=1, reset_interval=9, reset_offset=2))
    assert [entry.neuron.arguments["reset_offset"] for entry in rest] == [3, 4]
    assert [entry.position for entry in rest] == [2, 3]


def test_parts_of_a_network():
    layers = [Input(shape=(1, 4, 5), neuron=cuba()), conv(), Flatten(shape=(24, 1, 1)), dense(4, 24)]
    assert [p.shape for p in plan(network(*layers))] == [(5, 4, 1), (4, 3, 2), (4,)]
    assert [p.shape for p in plan(network(*layers), Options(num_layers=2))] == [(5, 4, 1), (4, 3, 2)]
    skipped = plan(network(*layers), Options(skip_layers=1))
    assert skipped[0].input_shape == (5, 4, 1)
    assert skipped[0].flatten is False
    assert skipped[1].flatten is True
    assert plan(network(*layers), Options(skip_layers=2))[0].input_shape == (24,)


def test_input_that_only_tells_its_shape():
    assert plan(network(Input(shape=(1, 4, 5)), conv()))[0].input_shape == (5, 4, 1)


def test_delay_is_repeated_for_each_place_of_a_channel():
    layers = [conv(delay=np.array([0, 5])), Flatten(shape=(24, 1, 1)), dense(4, 24)]
    synapse = plan(network(*layers), Options(input_shape=(5, 4, 1)))[1].synapse
    assert synapse.arguments["max_delay"] == 5
    assert (synapse.arguments["delays"] == np.repeat([0, 5], 12)).all()


def test_table():
    layers = [conv(delay=np.array([0, 5]), stride=(1, 1)), Flatten(shape=(24, 1, 1)), dense(4, 24)]
    assert table(plan(network(*layers), Options(input_shape=(5, 4, 1)))).splitlines() == [
        "|   Type   |  W  |  H  |  C  | ker | str | pad | dil | grp |delay| Lava processes",
        "|Conv      |    4|    3|    2| 2, 2| 1, 1| 0, 0| 1, 1|    1|True | Conv + LIF",
        "|Dense     |    1|    1|    4|     |     |     |     |     |False| DelayDense + LIF",
    ]
