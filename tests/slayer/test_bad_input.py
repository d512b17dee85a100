"""Every entry point with every kind of bad argument: one line that names the argument, raised in this package.

The rows are made from what is public: classes and functions by their signatures, blocks by the matrix of families.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from lavadl_ref import bootstrap, slayer
from lavadl_ref.slayer import axon, classifier, dendrite, loss, neuron, spike, synapse, utils
from tests.support import matrix

OURS = ("lavadl_ref.", "lavadl_kernels.")
DTYPES = (torch.float64, torch.int64, torch.bool, torch.complex64, torch.float16, torch.bfloat16)

#: What no number, size, flag, tensor or table of arguments is. Anything may be refused, and some may be taken.
VALUES: dict[str, Any] = {
    "text": "x",
    "object": object(),
    "dict": {"nonsense": 1},
    "complex": 1j,
    "nan": float("nan"),
    "inf": float("inf"),
    "fraction": 2.5,
    "whole": 3.0,
    "negative": -1,
    "zero": 0,
    "true": True,
    "none": None,
    "empty": [],
    "list": [1.0, 2.0, 3.0],
    "ragged": [[1.0], [2.0, 3.0]],
    "array": np.array([1.0, 2.0, 3.0]),
    "tensor": torch.tensor([1.0, 2.0, 3.0]),
    "lines": "x\ny",
}
#: What none of the arguments here may be, but those that are anything.
NEVER = ("text", "object", "complex", "lines")
ANYTHING = {"debug", "voltage_last", "inplace"}


@dataclass
class Entry:
    """A callable with good arguments."""

    call: Any
    arguments: dict[str, Any]

    @classmethod
    def of(cls, call: Any, *args: Any, **kwargs: Any) -> Entry:
        return cls(call, dict(inspect.signature(call).bind(*args, **kwargs).arguments))

    @property
    def parameters(self) -> list[str]:
        kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        return [p.name for p in inspect.signature(self.call).parameters.values() if p.kind not in kinds]


X = torch.arange(30).reshape(2, 3, 5) % 2 * 1.0
_ONE, _REST = torch.tensor([1000.0]), torch.zeros(1)
_CLASSES = torch.zeros(2, dtype=torch.int64)


def _entries() -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for name, params in matrix.FAMILIES.items():
        family = getattr(neuron, name).Neuron
        found[f"neuron.{name}"] = Entry.of(family, **params)
        found[f"neuron.{name}.own"] = Entry.of(family, **params, shared_param=False)
    for case in matrix.cases(states=False) + matrix.cases(neurons=False):
        spec = matrix.BLOCKS[case.block]
        first = (case.params,) if spec.neurons else ()
        made = getattr(case.module, case.block)
        found[f"block.{case}"] = Entry.of(made, *first, *spec.inputs[case.form][0])
        rated = getattr(getattr(bootstrap.block, case.family), case.block, None)
        if rated is not None:
            found[f"bootstrap.block.{case}"] = Entry.of(rated, *first, *spec.inputs[case.form][0])
    sizes = {"Dense": (4, 3), "Conv": (2, 4, 3), "ConvTranspose": (2, 4, 3), "Pool": (2,), "Unpool": (2,)}
    for name, given in sizes.items():
        found[f"synapse.{name}"] = Entry.of(getattr(synapse, name), *given)
        found[f"synapse.complex.{name}"] = Entry.of(getattr(synapse.complex, name), *given)
    rates = X, _CLASSES
    x, y = X, X.clone()
    dynamics = neuron.dynamics
    found |= {
        "axon.Delay": Entry.of(axon.Delay),
        "axon.Delta": Entry.of(axon.Delta, 0.1),
        "axon.delay": Entry.of(axon.delay, x),
        "dendrite.Sigma": Entry.of(dendrite.Sigma),
        "neuron.norm.MeanOnlyBatchNorm": Entry.of(neuron.norm.MeanOnlyBatchNorm),
        "neuron.norm.WgtScaleBatchNorm": Entry.of(neuron.norm.WgtScaleBatchNorm),
        "neuron.Dropout": Entry.of(neuron.Dropout),
        "loss.SpikeTime": Entry.of(loss.SpikeTime),
        "loss.SpikeRate": Entry.of(loss.SpikeRate, 0.2, 0.1),
        "loss.SpikeMax": Entry.of(loss.SpikeMax),
        "loss.SpikeMoid": Entry.of(loss.SpikeMoid),
        "loss.SparsityEnforcer": Entry.of(loss.SparsityEnforcer),
        "loss.SpikeTime()": Entry.of(loss.SpikeTime().forward, x, y),
        "loss.SpikeRate()": Entry.of(loss.SpikeRate(0.2, 0.1).forward, *rates),
        "loss.SpikeMax()": Entry.of(loss.SpikeMax().forward, *rates),
        "loss.SpikeMoid()": Entry.of(loss.SpikeMoid().forward, x, torch.zeros(2, 3)),
        "loss.SparsityEnforcer.append": Entry.of(loss.SparsityEnforcer().append, x),
        "classifier.MovingWindow": Entry.of(classifier.MovingWindow, 3),
        "classifier.Rate()": Entry.of(classifier.Rate().forward, x),
        "classifier.Rate.confidence": Entry.of(classifier.Rate.confidence, x),
        "classifier.MovingWindow()": Entry.of(classifier.MovingWindow(3).forward, x),
        "spike.Spike": Entry.of(spike.Spike.apply, x, 0.5, 1.0, 1.0, False, 0),
        "spike.complex.Spike": Entry.of(spike.complex.Spike.apply, x, y, 0.5, 1.0, 1.0, False, 0),
        "utils.quantize": Entry.of(utils.quantize, x),
        "utils.quantize_hook_fx": Entry.of(utils.quantize_hook_fx, x),
        "utils.diagonal_mask": Entry.of(utils.diagonal_mask, 3, 2),
        "utils.event_rate": Entry.of(utils.event_rate, x),
        "utils.time.replicate": Entry.of(utils.time.replicate, x, 3),
        "utils.time.shift": Entry.of(utils.time.shift, x, 3),
        "utils.filter.conv": Entry.of(utils.filter.conv, x, torch.ones(3)),
        "utils.filter.corr": Entry.of(utils.filter.corr, x, torch.ones(3)),
        "utils.filter.FIR": Entry.of(utils.filter.FIR),
        "utils.filter.FIRBank": Entry.of(utils.filter.FIRBank, 2, 3),
        "dynamics.leaky_integrator": Entry.of(dynamics.leaky_integrator.dynamics, x, _ONE, _REST, 4096),
        "dynamics.resonator": Entry.of(dynamics.resonator.dynamics, x, y, _ONE, _ONE, _REST, _REST, 4096),
        "dynamics.adaptive_threshold": Entry.of(
            dynamics.adaptive_threshold.dynamics, x, _REST, _ONE, _REST, _ONE, 0.5, 0.5, 4096
        ),
        "dynamics.adaptive_phase_th": Entry.of(
            dynamics.adaptive_phase_th.dynamics, x, y, _REST, _REST, _ONE, _REST, _ONE, 0.5, 0.5, 4096
        ),
        "dynamics.adaptive_resonator": Entry.of(
            dynamics.adaptive_resonator.dynamics, x, y, *[_ONE] * 4, *[_REST] * 4, 0.5, 0.5, 4096
        ),
        "bootstrap.AnnSampler": Entry.of(bootstrap.ann_sampler.AnnSampler),
        "auto.SequentialNetwork": Entry.of(slayer.auto.SequentialNetwork, "missing.net"),
    }
    return found


ENTRIES = _entries()


def _error(call: Any) -> Exception | None:
    try:
        call()
    except Exception as error:
        return error
    return None


def _check(error: Exception | None, named: tuple[str, ...]) -> None:
    """That `error` is of the kind this package promises."""
    if error is None:
        return
    assert isinstance(error, (ValueError, TypeError)), repr(error)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    assert trace is not None
    assert str(trace.tb_frame.f_globals["__name__"]).startswith(OURS), repr(error)
    assert len(str(error).splitlines()) == 1, repr(error)
    assert any(name in str(error) for name in named), repr(error)


@pytest.mark.filterwarnings("ignore:.*cannot be had")
@pytest.mark.parametrize("name", ENTRIES)
def test_bad_arguments_of_slayer_are_refused(name):
    entry = ENTRIES[name]
    for parameter in entry.parameters:
        for kind, value in VALUES.items():
            given = {**entry.arguments, parameter: value}
            error = _error(lambda given=given: entry.call(**given))
            if isinstance(given.get("network_config"), str):
                continue  # a file that is not there: the file is named
            if parameter == "neuron_params" and kind in ("dict", "none"):
                continue  # Python says which arguments of the neuron are missing or unknown
            # a quantiser's first argument is called its input
            _check(error, (parameter, "input"))
            if kind in NEVER and parameter not in ANYTHING:
                assert error is not None, (parameter, kind)


def test_every_class_and_function_has_a_row():
    """Those that a module of the public names holds and that take arguments of a user's."""
    covered = {inspect.unwrap(entry.call) for entry in ENTRIES.values()} | {
        getattr(entry.call, "__self__", entry.call).__class__ for entry in ENTRIES.values()
    }
    places = (axon, dendrite, synapse, synapse.complex, neuron.norm, utils.filter, utils.time, loss, classifier)
    named = {
        value
        for place in places
        for key, value in vars(place).items()
        if not key.startswith("_") and getattr(value, "__module__", "").startswith("lavadl_ref.slayer")
        if inspect.isclass(value) or inspect.isfunction(value)
        if place.__name__ in value.__module__
    }
    bases = {synapse.GenericLayer, synapse.complex.ComplexLayer, synapse.path, synapse.ChosenPath}
    assert {value.__name__ for value in named - covered - bases} <= {"Rate", "FullPrecision", "LazyShapes"}


# -- signals ----------------------------------------------------------------------------------


def _signals(x: torch.Tensor) -> dict[str, Any]:
    kinds: dict[str, Any] = {str(dtype): x.to(dtype) for dtype in DTYPES}
    return kinds | {
        "list": x.tolist(),
        "array": x.numpy(),
        "none": None,
        "no steps": x[..., :0],
        "no samples": x[:0],
        "no channels": x[:, :0],
        "two axes": x.flatten(1, -2)[0],
        "one axis": x.flatten(),
        "no axes": x.sum(),
        "many axes": x[None, None],
        "more channels": torch.cat([x, x], 1),
        "nan": x * torch.nan,
        "inf": torch.where(x > 0, torch.inf, x),
        "sparse": x.to_sparse(),
    }


#: What no block takes.
REFUSED = ("torch.complex64", "list", "array", "none", "two axes", "one axis", "no axes", "sparse")
ONLY_FLOAT32 = ("torch.float64", "torch.float16", "torch.bfloat16")
BLOCKS = matrix.cases(states=False) + matrix.cases(neurons=False)


@pytest.mark.parametrize("case", BLOCKS, ids=str)
def test_bad_signals_of_blocks_are_refused(case):
    neurons = matrix.BLOCKS[case.block].neurons
    for kind, value in _signals(case.input()).items():
        error = _error(lambda value=value: case.build()(value))
        _check(error, ("input", "num_outputs"))
        flat = case.block == "Flatten" and kind == "torch.complex64"
        if (kind in REFUSED and not flat) or (neurons and kind in ONLY_FLOAT32):
            assert error is not None, kind


@pytest.mark.parametrize("case", BLOCKS, ids=str)
def test_empty_signals_give_empty_ones(case):
    x = case.input()
    assert case.build()(x[..., :0]).shape[-1] == 0
    assert len(case.build()(x[:0])) == 0


@pytest.mark.parametrize("name", matrix.FAMILIES)
def test_bad_signals_of_neurons_are_refused(name):
    made = getattr(neuron, name).Neuron(**matrix.FAMILIES[name])
    for kind, value in _signals(X).items():
        pair = (value, value) if made.complex else value
        for method in ("forward", "dynamics"):
            error = _error(lambda method=method, pair=pair: getattr(made, method)(pair))
            _check(error, ("input", "neurons take", "must"))
            if kind in (*REFUSED, *ONLY_FLOAT32):
                assert error is not None, (method, kind)
        made.shape = None


# -- autocast, and modules of other types -----------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("case", BLOCKS, ids=str)
def test_autocast_changes_nothing(case, dtype):
    """Forward and backward are those of float32, also of an input that another layer made less precise."""
    x, plain, cast = case.input().bfloat16().float(), case.build(), case.build()
    expected = plain(x)
    with torch.autocast("cpu", dtype):
        given = cast(x)
        halved = case.build()(x.bfloat16())
    assert given.dtype == torch.float32
    assert torch.equal(given, expected)
    assert torch.equal(halved, expected)
    if expected.requires_grad:
        expected.sum().backward()
        given.sum().backward()
        for one, other in zip(plain.parameters(), cast.parameters(), strict=True):
            assert one.grad is other.grad or torch.equal(one.grad, other.grad)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("case", matrix.cases(states=False), ids=str)
def test_modules_of_another_type_are_refused(case, dtype):
    error = _error(lambda: case.build().to(dtype)(case.input().to(dtype)))
    assert error is not None
    _check(error, ("input",))


# -- files ------------------------------------------------------------------------------------


def test_errors_of_auto_name_file_and_layer(tmp_path):
    from lavadl_ref import exchange

    weight = np.zeros((3, 4), np.int64)
    odd = exchange.Neuron("SDNN", {"threshold": 64, "activation": "nonsense"})
    network = exchange.Network((exchange.Input(shape=(4,)), exchange.Dense(shape=(3,), weight=weight, neuron=odd)))
    with pytest.raises(exchange.ExchangeError, match=r"^layer 1 \(dense\): activation must be one of"):
        slayer.auto.SequentialNetwork(network)
    exchange.write(tmp_path / "odd.net", network)
    with pytest.raises(exchange.ExchangeError, match=r"odd\.net: layer 1 \(dense\): activation must be one of"):
        slayer.auto.SequentialNetwork(tmp_path / "odd.net")
