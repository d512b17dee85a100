"""Descriptions that are not legal are refused before anything is written."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from lavadl_ref import exchange
from lavadl_ref.exchange import FAMILIES, ExchangeError, Network, Neuron, check
from lavadl_ref.testing.strategies import networks

CUBA = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
RF = Neuron("RF_PHASE", {"sin_decay": 2167, "cos_decay": 2982, "threshold": 64})
SDNN = Neuron("SDNN", {"threshold": 6, "activation": "relu"})
NEVER = 2**18 - 1  # the threshold that Lava-DL gives neurons that are read out
ONES = np.ones((3, 2), np.int64)
SQUARE = np.ones((3, 3), np.int64)
ZEROS = np.zeros(3, np.int64)


def dense(**changes):
    return exchange.Dense(**({"shape": (3,), "weight": ONES, "neuron": CUBA} | changes))


def conv(**changes):
    values = {"shape": (4, 2, 2), "weight": np.ones((4, 2, 3, 3), np.int64), "neuron": CUBA}
    return exchange.Conv(**(values | changes))


def recurrent(**changes):
    return exchange.Recurrent(**({"shape": (3,), "weight": ONES, "weight_rec": SQUARE, "neuron": CUBA} | changes))


def pool(**changes):
    return exchange.Pool(**({"shape": (4, 2, 2), "weight": np.ones((1, 1, 2, 2), np.int64), "neuron": CUBA} | changes))


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ((), "layer: expected 1 to 1024 layers, found 0"),
        ((object(),), "layer 0: type: expected one of average, .*, found object"),
        ((dense(shape=[3]),), r"layer 0: shape: expected \(N,\), found \[3\]"),
        ((dense(shape=(3.0,)),), "layer 0: shape: expected an integer, found 3.0"),
        ((dense(shape=(True,)),), "layer 0: shape: expected an integer, found True"),
        ((exchange.Input(shape=(2**14,) * 3),), "layer 0: shape: expected at most 268435456 neurons"),
        ((dense(weight=ONES.astype(float)),), "layer 0: weight: expected an int64 array, found float64"),
        ((dense(weight=[[1, 2]] * 3),), "layer 0: weight: expected an int64 array, found list"),
        ((dense(weight=ONES[:, :0]),), r"layer 0: weight: expected shape \(3, any\), found \(3, 0\)"),
        ((dense(neuron=Neuron("X", {})),), "layer 0: neuron/type: expected one of ADRF_"),
        ((dense(neuron=Neuron("CUBA", {"decay": 1})),), "layer 0: neuron: CUBA has no parameter decay"),
        (
            (dense(neuron=Neuron("CUBA", {"threshold": 80})),),
            "layer 0: neuron/iDecay: missing; CUBA neurons need it",
        ),
        (
            (dense(neuron=Neuron("CUBA", {**CUBA.parameters, "graded_spike": 1})),),
            "layer 0: neuron/gradedSpike: expected a bool, found 1",
        ),
        (
            (dense(neuron=Neuron("CUBA", {**CUBA.parameters, "threshold": 1.5})),),
            "layer 0: neuron/vThMant: expected an integer, found 1.5",
        ),
        (
            (dense(neuron=Neuron("SDNN", {"threshold": 6, "activation": "a b"})),),
            "layer 0: neuron/activation: expected a name, found 'a b'",
        ),
        (
            (exchange.Flatten(shape=(3,), neuron=CUBA),),
            "layer 0: neuron: expected none in a layer of type 'flatten'",
        ),
        (
            (exchange.Input(shape=(3,), delay=np.zeros(3, np.int64)),),
            "layer 0: delay: expected none in a layer of type 'input'",
        ),
        ((dense(neuron=None, delay_shift=True),), "layer 0: delayShift: expected none in a layer without"),
        ((dense(delay_shift=1),), "layer 0: delayShift: expected a bool, found 1"),
        ((exchange.Input(shape=(3,), weight=1.5),), "layer 0: weight: expected an integer, found 1.5"),
        ((exchange.Input(shape=(3,), bias=2**31),), "layer 0: bias: expected integers in"),
        ((exchange.TimeDecimation(shape=(3,), factor=0),), "layer 0: factor: expected integers in"),
        ((dense(weight_imag=ONES),), "layer 0: weight/imag: expected none; CUBA neurons have real input"),
        ((dense(neuron=RF),), "layer 0: weight/imag: missing; RF_PHASE neurons have complex input"),
        (
            (dense(neuron=RF, weight_imag=ONES[:, :1]),),
            r"layer 0: weight/imag: expected shape \(3, 2\), found \(3, 1\)",
        ),
        (
            (exchange.Recurrent(shape=(3,), weight=ONES, weight_rec=ONES, neuron=CUBA),),
            r"layer 0: weight_rec: expected shape \(3, 3\), found \(3, 2\)",
        ),
        (
            (exchange.Recurrent(shape=(3,), weight=ONES, weight_rec=np.eye(3, dtype=np.int64)),),
            "layer 0: neuron: missing; feedback needs neurons",
        ),
        ((conv(stride=2),), r"layer 0: stride: expected \(height, width\), found 2"),
        ((conv(groups=3),), "layer 0: groups: expected a divisor of 4 channels, found 3"),
        (
            (exchange.Pool(shape=(4, 2, 2), weight=np.ones((1, 1, 2, 2), np.int64), groups=2),),
            "layer 0: groups: expected 1 in a layer of type 'pool', found 2",
        ),
        ((exchange.Input(shape=(3,)), dense()), r"layer 1: weight: expected shape \(3, 3\), found \(3, 2\)"),
        ((dense(), exchange.Input(shape=(3,))), "layer 1: type: expected 'input' in layer 0 only"),
        ((dense(), exchange.Flatten(shape=(4,))), r"layer 1: shape: expected shape \(3,\), found \(4,\)"),
        ((dense(), exchange.Average(shape=(2,))), "layer 1: shape: expected a divisor of 3 neurons, found"),
        (
            (dense(), exchange.TimeDecimation(shape=(4,), factor=2)),
            r"layer 1: shape: expected shape \(3,\), found \(4,\)",
        ),
        (
            (exchange.Input(shape=(3, 4, 4)), conv(groups=2, weight=np.ones((4, 1, 3, 3), np.int64))),
            "layer 1: groups: expected a divisor of 3 input channels, found 2",
        ),
        (
            (exchange.Input(shape=(2, 4, 5)), conv()),
            r"layer 1: shape: expected shape \(4, 2, 3\), found \(4, 2, 2\); the input is \(2, 4, 5\)",
        ),
    ],
)
def test_an_illegal_layer_is_refused(layers, expected):
    with pytest.raises(ExchangeError, match=f"^{expected}"):
        check(Network(layers))


COMPLEX = [name for name, family in FAMILIES.items() if family.complex_input]
REAL = [name for name, family in FAMILIES.items() if not family.complex_input]


def of_family(name):
    """A neuron with the least that its family asks for."""
    values = {field.name: 6 for field in FAMILIES[name].fields if field.required}
    return Neuron(name, {**values, **({"threshold": 6, "activation": "relu"} if name == "SDNN" else {})})


@pytest.mark.parametrize("name", COMPLEX)
@pytest.mark.parametrize(
    ("make", "changes", "expected"),
    [
        (dense, {}, "weight/imag: missing; X neurons have complex input"),
        (dense, {"weight_imag": ONES, "bias": ZEROS}, "bias/imag: missing; X neurons have complex input"),
        (dense, {"weight_imag": ONES, "bias_imag": ZEROS}, "bias/real: missing; X neurons have complex input"),
        (
            dense,
            {"weight_imag": ONES, "bias": ZEROS, "bias_imag": ZEROS[:2]},
            r"bias/imag: expected shape \(3,\), found \(2,\)",
        ),
        (
            dense,
            {"weight_imag": ONES, "bias": ZEROS + 2**31, "bias_imag": ZEROS},
            r"bias/real: expected integers in \[-2147483648, 2147483647\], found 2147483648",
        ),
        (dense, {"weight_imag": ONES + 511}, r"weight/imag: expected integers in \[-512, 511\], found 512"),
        (dense, {"weight_imag": ONES.astype(float)}, "weight/imag: expected an int64 array, found float64"),
        (recurrent, {}, "weight/imag: missing; X neurons have complex input"),
        (recurrent, {"weight_imag": ONES}, "weight_rec/imag: missing; X neurons have complex input"),
        (
            recurrent,
            {"weight_imag": ONES, "weight_rec_imag": ONES},
            r"weight_rec/imag: expected shape \(3, 3\), found \(3, 2\)",
        ),
        (
            recurrent,
            {"weight_imag": ONES, "weight_rec_imag": SQUARE, "input_bias": ZEROS},
            "inputBias: expected none; X neurons have bias in that place",
        ),
        (conv, {}, "weight/imag: missing; X neurons have complex input"),
        (
            conv,
            {"weight_imag": np.ones((4, 2, 3, 2), np.int64)},
            r"weight/imag: expected shape \(4, 2, 3, 3\), found \(4, 2, 3, 2\)",
        ),
        (pool, {}, "weight/imag: missing; X neurons have complex input"),
        (
            pool,
            {"weight_imag": np.ones((1, 1, 2, 2), np.int64), "bias_imag": np.zeros(4, np.int64)},
            "bias: expected none in a layer of type 'pool'",
        ),
    ],
)
def test_complex_input_asks_for_both_parts(name, make, changes, expected):
    with pytest.raises(ExchangeError, match=f"^layer 0: {expected.replace('X', name)}$"):
        check(Network((make(neuron=of_family(name), **changes),)))


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize(
    ("make", "changes", "key"),
    [
        (dense, {"weight_imag": ONES}, "weight/imag"),
        (dense, {"bias_imag": ZEROS}, "bias/imag"),
        (dense, {"bias": ZEROS, "bias_imag": ZEROS}, "bias/imag"),
        (recurrent, {"weight_imag": ONES}, "weight/imag"),
        (recurrent, {"weight_rec_imag": SQUARE}, "weight_rec/imag"),
        (conv, {"weight_imag": np.ones((4, 2, 3, 3), np.int64)}, "weight/imag"),
        (conv, {"bias_imag": np.zeros(4, np.int64)}, "bias/imag"),
        (pool, {"weight_imag": np.ones((1, 1, 2, 2), np.int64)}, "weight/imag"),
    ],
)
def test_real_input_has_no_imaginary_part(name, make, changes, key):
    if name == "SDNN" and make is recurrent:
        key, why = "neuron/type", "neurons that spike in a layer of type 'dense_rec', found SDNN"
        changes = {}
    else:
        why = f"none; {name} neurons have real input"
    with pytest.raises(ExchangeError, match=f"^layer 0: {key}: expected {why}$"):
        check(Network((make(neuron=of_family(name), **changes),)))


@pytest.mark.parametrize("field", ["weight_imag", "bias_imag"])
def test_a_layer_without_neurons_has_no_imaginary_part(field):
    values = {"weight_imag": ONES, "bias_imag": ZEROS}
    key = field.replace("_", "/")
    with pytest.raises(ExchangeError, match=f"^layer 0: {key}: expected none; a layer without neurons has real input$"):
        check(Network((dense(neuron=None, **{field: values[field]}),)))


@pytest.mark.parametrize(
    ("neuron", "expected"),
    [
        (Neuron("CUBA", {**CUBA.parameters, "weight_exp_imag": 1}), "neuron: CUBA has no parameter weight_exp_imag"),
        (Neuron("SDNN", {**SDNN.parameters, "weight_exp_imag": 1}), "neuron: SDNN has no parameter weight_exp_imag"),
        (Neuron("RF_PHASE", {**RF.parameters, "cum_error": True}), "neuron: RF_PHASE has no parameter cum_error"),
        (
            Neuron("RF_PHASE", {**RF.parameters, "weight_exp_imag": 65}),
            r"neuron/weight_exp_imag: expected integers in \[-64, 64\], found 65",
        ),
        (
            Neuron("RF_PHASE", {**RF.parameters, "threshold": np.array([1, 2, 3])}),
            "neuron/vThMant: expected an integer, found array",
        ),
        (Neuron("SDNN", {**SDNN.parameters, "cum_error": 1}), "neuron/cum_error: expected a bool, found 1"),
        (
            Neuron("SDNN", {**SDNN.parameters, "threshold": np.array([1, 2])}),
            r"neuron/vThMant: expected shape \(3,\), found \(2,\)",
        ),
        (
            Neuron("SDNN", {**SDNN.parameters, "threshold": np.array([1, 2, -1])}),
            r"neuron/vThMant: expected integers in \[0, 16777216\], found -1",
        ),
        (Neuron("SDNN", {"threshold": 6}), "neuron/activation: missing; SDNN neurons need it unless sigma_output"),
        (Neuron("SDNN", {"activation": "relu"}), "neuron/vThMant: missing; SDNN neurons need it unless sigma_output"),
    ],
)
def test_an_illegal_neuron_is_refused(neuron, expected):
    imag = ONES if neuron.type == "RF_PHASE" else None
    with pytest.raises(ExchangeError, match=f"^layer 0: {expected}"):
        check(Network((dense(neuron=neuron, weight_imag=imag),)))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(network=networks())
def test_no_part_of_a_legal_layer_is_dispensable(network):
    for index, layer in enumerate(network.layers):
        for name in ("weight_imag", "weight_rec_imag", "bias_imag", "bias"):
            if getattr(layer, "weight_imag", None) is None or getattr(layer, name, None) is None:
                continue
            layers = list(network.layers)
            layers[index] = dataclasses.replace(layer, **{name: None})
            key = name.replace("_imag", "/imag") if name != "bias" else "bias/real"
            with pytest.raises(ExchangeError, match=f"^layer {index}: {key}: missing; {layer.neuron.type} neurons"):
                check(Network(tuple(layers)))


def test_an_illegal_input_bias_is_refused():
    for values, expected in (
        (ZEROS[:2], r"expected shape \(3,\), found \(2,\)"),
        (ZEROS.astype(float), "expected an int64 array, found float64"),
        (ZEROS - 2**31 - 1, "expected integers in"),
    ):
        with pytest.raises(ExchangeError, match=f"^layer 0: inputBias: {expected}"):
            check(Network((recurrent(input_bias=values),)))
    with pytest.raises(ExchangeError, match=r"^layer 0: inputBias: expected none; ALIF neurons have bias"):
        check(Network((recurrent(neuron=of_family("ALIF"), input_bias=ZEROS),)))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_may_have_neurons_that_never_spike(name):
    neuron = Neuron(name, {**of_family(name).parameters, "threshold": NEVER})
    check(Network((dense(neuron=neuron, weight_imag=ONES if name in COMPLEX else None, delay_shift=False),)))


def test_simulation_entries_are_checked():
    with pytest.raises(ExchangeError, match=r"^simulation/steps: unknown key"):
        check(Network((dense(),), {"steps": 1}))
    with pytest.raises(ExchangeError, match=r"^simulation/Ts: expected an integer, found 0\.5"):
        check(Network((dense(),), {"Ts": 0.5}))


def test_legal_networks_pass():
    check(Network((exchange.Input(shape=(2, 4, 4)), conv(), exchange.Flatten(shape=(16,)))))
    check(Network((dense(neuron=RF, weight_imag=ONES),)))
    check(Network((dense(neuron=None), dense(weight=np.ones((3, 3), np.int64)))))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_unique_names_and_legal_defaults(name):
    fields = FAMILIES[name].fields
    assert len({field.key for field in fields}) == len({field.name for field in fields}) == len(fields)
    for field in fields:
        if field.kind == "int" and field.default is not None:
            assert field.low <= field.default <= field.high
        assert not (field.sparse and field.required)
