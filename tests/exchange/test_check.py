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
        ((), "layer: must have 1 to 1024 layers, got 0"),
        ((object(),), "layer 0: type: must be one of average, .*, got object"),
        ((dense(shape=[3]),), r"layer 0: shape: must be \(N,\), got \[3\]"),
        ((dense(shape=(3.0,)),), "layer 0: shape: must be an integer, got 3.0"),
        ((dense(shape=(True,)),), "layer 0: shape: must be an integer, got True"),
        ((exchange.Input(shape=(2**14,) * 3),), "layer 0: shape: must have at most 268435456 neurons"),
        ((dense(weight=ONES.astype(float)),), "layer 0: weight: must be an int64 array, got float64"),
        ((dense(weight=[[1, 2]] * 3),), "layer 0: weight: must be an int64 array, got list"),
        ((dense(weight=ONES[:, :0]),), r"layer 0: weight: must have shape \(3, any\), got \(3, 0\)"),
        ((dense(neuron=Neuron("X", {})),), "layer 0: neuron/type: must be one of ADRF_"),
        ((dense(neuron=Neuron("CUBA", {"decay": 1})),), "layer 0: neuron: CUBA has no parameter decay"),
        (
            (dense(neuron=Neuron("CUBA", {"threshold": 80})),),
            "layer 0: neuron/iDecay: missing; CUBA neurons need it",
        ),
        (
            (dense(neuron=Neuron("CUBA", {**CUBA.parameters, "graded_spike": 1})),),
            "layer 0: neuron/gradedSpike: must be a bool, got 1",
        ),
        (
            (dense(neuron=Neuron("CUBA", {**CUBA.parameters, "threshold": 1.5})),),
            "layer 0: neuron/vThMant: must be an integer, got 1.5",
        ),
        (
            (dense(neuron=Neuron("SDNN", {"threshold": 6, "activation": "a b"})),),
            "layer 0: neuron/activation: must be a name, got 'a b'",
        ),
        (
            (exchange.Flatten(shape=(3,), neuron=CUBA),),
            "layer 0: neuron: must be absent in a layer of type 'flatten'",
        ),
        (
            (exchange.Input(shape=(3,), delay=np.zeros(3, np.int64)),),
            "layer 0: delay: must be absent in a layer of type 'input'",
        ),
        ((dense(neuron=None, delay_shift=True),), "layer 0: delayShift: must be absent in a layer without"),
        ((dense(delay_shift=1),), "layer 0: delayShift: must be a bool, got 1"),
        ((exchange.Input(shape=(3,), weight=1.5),), "layer 0: weight: must be an integer, got 1.5"),
        ((exchange.Input(shape=(3,), bias=2**31),), "layer 0: bias: must be integers in"),
        ((exchange.TimeDecimation(shape=(3,), factor=0),), "layer 0: factor: must be integers in"),
        ((dense(weight_imag=ONES),), "layer 0: weight/imag: must be absent; CUBA neurons have real input"),
        ((dense(neuron=RF),), "layer 0: weight/imag: missing; RF_PHASE neurons have complex input"),
        (
            (dense(neuron=RF, weight_imag=ONES[:, :1]),),
            r"layer 0: weight/imag: must have shape \(3, 2\), got \(3, 1\)",
        ),
        (
            (exchange.Recurrent(shape=(3,), weight=ONES, weight_rec=ONES, neuron=CUBA),),
            r"layer 0: weight_rec: must have shape \(3, 3\), got \(3, 2\)",
        ),
        (
            (exchange.Recurrent(shape=(3,), weight=ONES, weight_rec=np.eye(3, dtype=np.int64)),),
            "layer 0: neuron: missing; feedback needs neurons",
        ),
        ((conv(stride=2),), r"layer 0: stride: must be \(height, width\), got 2"),
        ((conv(groups=3),), "layer 0: groups: must be a divisor of 4 channels, got 3"),
        (
            (exchange.Pool(shape=(4, 2, 2), weight=np.ones((1, 1, 2, 2), np.int64), groups=2),),
            "layer 0: groups: must be 1 in a layer of type 'pool', got 2",
        ),
        ((exchange.Input(shape=(3,)), dense()), r"layer 1: weight: must have shape \(3, 3\), got \(3, 2\)"),
        ((dense(), exchange.Input(shape=(3,))), "layer 1: type: must be 'input' in layer 0 only"),
        ((dense(), exchange.Flatten(shape=(4,))), r"layer 1: shape: must have shape \(3,\), got \(4,\)"),
        ((dense(), exchange.Average(shape=(2,))), "layer 1: shape: must be a divisor of 3 neurons, got"),
        (
            (dense(), exchange.TimeDecimation(shape=(4,), factor=2)),
            r"layer 1: shape: must have shape \(3,\), got \(4,\)",
        ),
        (
            (exchange.Input(shape=(3, 4, 4)), conv(groups=2, weight=np.ones((4, 1, 3, 3), np.int64))),
            "layer 1: groups: must be a divisor of 3 input channels, got 2",
        ),
        (
            (exchange.Input(shape=(2, 4, 5)), conv()),
            r"layer 1: shape: must have shape \(4, 2, 3\), got \(4, 2, 2\); the input is \(2, 4, 5\)",
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
            r"bias/imag: must have shape \(3,\), got \(2,\)",
        ),
        (
            dense,
            {"weight_imag": ONES, "bias": ZEROS + 2**31, "bias_imag": ZEROS},
            r"bias/real: must be integers in \[-2147483648, 2147483647\], got 2147483648",
        ),
        (dense, {"weight_imag": ONES + 511}, r"weight/imag: must be integers in \[-512, 511\], got 512"),
        (dense, {"weight_imag": ONES.astype(float)}, "weight/imag: must be an int64 array, got float64"),
        (recurrent, {}, "weight/imag: missing; X neurons have complex input"),
        (recurrent, {"weight_imag": ONES}, "weight_rec/imag: missing; X neurons have complex input"),
        (
            recurrent,
            {"weight_imag": ONES, "weight_rec_imag": ONES},
            r"weight_rec/imag: must have shape \(3, 3\), got \(3, 2\)",
        ),
        (
            recurrent,
            {"weight_imag": ONES, "weight_rec_imag": SQUARE, "input_bias": ZEROS},
            "inputBias: must be absent; X neurons have bias in that place",
        ),
        (conv, {}, "weight/imag: missing; X neurons have complex input"),
        (
            conv,
            {"weight_imag": np.ones((4, 2, 3, 2), np.int64)},
            r"weight/imag: must have shape \(4, 2, 3, 3\), got \(4, 2, 3, 2\)",
        ),
        (pool, {}, "weight/imag: missing; X neurons have complex input"),
        (
            pool,
            {"weight_imag": np.ones((1, 1, 2, 2), np.int64), "bias_imag": np.zeros(4, np.int64)},
            "bias: must be absent in a layer of type 'pool'",
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
        key, why = "neuron/type", "name neurons that spike in a layer of type 'dense_rec', got SDNN"
        changes = {}
    else:
        why = f"be absent; {name} neurons have real input"
    with pytest.raises(ExchangeError, match=f"^layer 0: {key}: must {why}$"):
        check(Network((make(neuron=of_family(name), **changes),)))


@pytest.mark.parametrize("field", ["weight_imag", "bias_imag"])
def test_a_layer_without_neurons_has_no_imaginary_part(field):
    values = {"weight_imag": ONES, "bias_imag": ZEROS}
    key = field.replace("_", "/")
    with pytest.raises(
        ExchangeError, match=f"^layer 0: {key}: must be absent; a layer without neurons has real input$"
    ):
        check(Network((dense(neuron=None, **{field: values[field]}),)))


@pytest.mark.parametrize(
    ("neuron", "expected"),
    [
        (Neuron("CUBA", {**CUBA.parameters, "weight_exp_imag": 1}), "neuron: CUBA has no parameter weight_exp_imag"),
        (Neuron("SDNN", {**SDNN.parameters, "weight_exp_imag": 1}), "neuron: SDNN has no parameter weight_exp_imag"),
        (Neuron("RF_PHASE", {**RF.parameters, "cum_error": True}), "neuron: RF_PHASE has no parameter cum_error"),
        (
            Neuron("RF_PHASE", {**RF.parameters, "weight_exp_imag": 65}),
            r"neuron/weight_exp_imag: must be integers in \[-64, 64\], got 65",
        ),
        (
            Neuron("RF_PHASE", {**RF.parameters, "threshold": np.array([1, 2, 3])}),
            "neuron/vThMant: must be an integer, got array",
        ),
        (Neuron("SDNN", {**SDNN.parameters, "cum_error": 1}), "neuron/cum_error: must be a bool, got 1"),
        (
            Neuron("SDNN", {**SDNN.parameters, "threshold": np.array([1, 2])}),
            r"neuron/vThMant: must have shape \(3,\), got \(2,\)",
        ),
        (
            Neuron("SDNN", {**SDNN.parameters, "threshold": np.array([1, 2, -1])}),
            r"neuron/vThMant: must be integers in \[0, 16777216\], got -1",
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
        (ZEROS[:2], r"must have shape \(3,\), got \(2,\)"),
        (ZEROS.astype(float), "must be an int64 array, got float64"),
        (ZEROS - 2**31 - 1, "must be integers in"),
    ):
        for make in (dense, recurrent):
            with pytest.raises(ExchangeError, match=f"^layer 0: inputBias: {expected}"):
                check(Network((make(input_bias=values),)))
    with pytest.raises(ExchangeError, match=r"^layer 0: inputBias: must have shape \(4,\), got \(3,\)"):
        check(Network((conv(input_bias=ZEROS),)))


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (recurrent(neuron=of_family("ALIF"), input_bias=ZEROS), "; ALIF neurons have bias in that place"),
        (dense(neuron=of_family("ALIF"), input_bias=ZEROS), "; ALIF neurons have bias in that place"),
        (dense(neuron=RF, weight_imag=ONES, input_bias=ZEROS), "; RF_PHASE neurons have bias in that place"),
        (dense(neuron=SDNN, input_bias=ZEROS), "; SDNN neurons would sum it without end"),
        (dense(neuron=None, input_bias=ZEROS), "; a layer without neurons has bias in that place"),
        (pool(input_bias=np.zeros(4, np.int64)), " in a layer of type 'pool'"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.kind,
)
def test_an_input_bias_is_refused_where_nothing_could_take_it(layer, why):
    with pytest.raises(ExchangeError, match=f"^layer 0: inputBias: must be absent{why}$"):
        check(Network((layer,)))


def test_an_input_bias_of_cuba_neurons_passes():
    check(Network((recurrent(input_bias=ZEROS),)))
    check(Network((dense(input_bias=ZEROS, bias=ZEROS), dense(input_bias=ZEROS, weight=SQUARE))))
    check(Network((exchange.Input(shape=(2, 4, 4)), conv(input_bias=np.arange(4)))))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_may_have_neurons_that_never_spike(name):
    neuron = Neuron(name, {**of_family(name).parameters, "threshold": NEVER})
    check(Network((dense(neuron=neuron, weight_imag=ONES if name in COMPLEX else None, delay_shift=False),)))


def test_simulation_entries_are_checked():
    with pytest.raises(ExchangeError, match=r"^simulation/steps: unknown key"):
        check(Network((dense(),), {"steps": 1}))
    with pytest.raises(ExchangeError, match=r"^simulation/Ts: must be an integer, got 0\.5"):
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
