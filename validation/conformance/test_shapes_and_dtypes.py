"""Every public function of tensors over one to five axes and eight dtypes: equal to lava-dl's, or refused by name.

Where lava-dl gives a result, so do we, equal in shape, dtype and values, unless the kind of call is in `REFUSED`
or `OTHERWISE`, each with its row of docs/errata.md.  Where we refuse, the error names the argument, what was
given and what is wanted.  Functions are found in the public modules of both packages: one without a call here
fails.
"""

import functools
import importlib
import inspect
import itertools
import math
import re
import warnings
from collections.abc import Callable, Container
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from lavadl_ref import slayer as ours
from tests.support import upstream
from validation.conformance._tensor_calls import (
    CALLS,
    DTYPES,
    MODULES,
    RATES,
    SHAPES,
    STEPS,
    WHOLE,
    WITHOUT,
    signal,
    spikes,
)

pytestmark = [pytest.mark.upstream, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
theirs = upstream.slayer()


class Kind(NamedTuple):
    """Calls that do not give what lava-dl gives."""

    names: str  #: pattern of the functions
    row: str  #: how its row of docs/errata.md begins
    of: Callable[[int, torch.dtype], bool] = lambda ndim, dtype: True
    calls: Container[int] = range(99)  #: which of `CALLS`


def whole(ndim, dtype):
    return dtype in WHOLE


OF_TIME_ALONE = "`conv`, `corr`, `FIR` and `MovingWindow` of (T,)"
REFUSED = [
    Kind(
        r"neuron\.\w+\.Neuron|axon\.Del(ay|ta)|dendrite\.Sigma",
        "Neurons, `Delta`, `Sigma` and `Delay` take any dtype",
        lambda ndim, dtype: dtype != torch.float32,
    ),
    Kind(r".*\.dynamics|spike\..*", "`neuron.dynamics` and graded spikes of integers", whole),
    Kind(r"utils\.filter\.FIRBank", "A filter bank of (N, T)", lambda ndim, dtype: ndim == 2),
    Kind(r"classifier\.MovingWindow", OF_TIME_ALONE, lambda ndim, dtype: ndim == 1),
]
OTHERWISE = [
    Kind(
        r"utils\.filter\.(conv|corr|FIR)|classifier\.MovingWindow",
        OF_TIME_ALONE,
        lambda ndim, dtype: ndim == 1,
    ),
    Kind(
        r"classifier\.MovingWindow",
        "`MovingWindow.predict` looks for the largest rate",
        lambda ndim, dtype: ndim != 3,
        (RATES.index("predict"),),
    ),
    Kind(r"classifier\.MovingWindow", "`MovingWindow.forward` returns None.", calls=(RATES.index("forward"),)),
    Kind(
        r"neuron\.dynamics\.\w+\.dynamics",
        "States of `neuron.dynamics` in a narrow dtype",
        lambda ndim, dtype: dtype == torch.uint8,
        calls=(3,),
    ),
    Kind(r"spike\.complex\.Spike", "The slope of a graded complex spike to the imaginary part", calls=(1,)),
    Kind(
        r"utils\.quantize",
        "A tensor (1,) as step of `quantize`",
        lambda ndim, dtype: dtype in (torch.float16, torch.bfloat16),
        (len(CALLS["utils.quantize"]) - 1,),
    ),
]

#: sums in another order, and quotients: relative to the largest value
ROUNDED = r"utils\.filter\..*|classifier\..*|loss\..*|neuron\.norm\..*|utils\.event_rate"
SLOPES = r"neuron\.dynamics\..*|spike\..*"
TOLERANCE = {torch.float64: 1e-12, torch.float16: 4e-3, torch.bfloat16: 3e-2}


class Results(NamedTuple):
    values: list
    gradient: torch.Tensor | Exception | None  #: of the weighted sum of all values


def outcome(root, call, ndim, dtype):
    """Results, with the gradient of their sum, weighted; or the error."""
    torch.manual_seed(0)
    x = signal(ndim, dtype)
    if dtype.is_floating_point:
        x.requires_grad_()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of lava-dl
            result = call(root, x)
    except Exception as error:
        return error
    values = [None if value is None else value.detach() for value in as_tuple(result)]
    steered = [value for value in as_tuple(result) if value is not None and value.requires_grad]
    if steered:
        weighted = [(value * (torch.arange(value.numel()) % 5 - 2).view(value.shape)).sum() for value in steered]
        try:
            return Results(values, torch.autograd.grad(sum(weighted), x, allow_unused=True)[0])
        except Exception as error:
            return Results(values, error)
    return Results(values, None)


def as_tuple(result):
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def difference(name, actual, expected, dtype):
    """The difference, "" if there is none."""
    if len(actual.values) != len(expected.values):
        return f"{len(actual.values)} tensors, lava-dl gives {len(expected.values)}"
    pairs = list(zip(actual.values, expected.values, strict=True))
    if isinstance(actual.gradient, Exception):
        return f"no gradient: {actual.gradient}"
    if not isinstance(expected.gradient, Exception):
        pairs.append((actual.gradient, expected.gradient))
    for place, (a, e) in enumerate(pairs):
        if (a is None) != (e is None) or (a is not None and (a.shape, a.dtype) != (e.shape, e.dtype)):
            return f"{describe(a)}, lava-dl gives {describe(e)}"
        if a is None or torch.equal(a, e):
            continue
        apart, largest = (value.double().abs().max().item() for value in (a.double() - e.double(), e))
        if not apart <= tolerance(name, dtype, place == len(actual.values)) * max(1, largest):
            return f"values differ by {apart:g} of {largest:g}"
    return ""


def tolerance(name, dtype, of_gradient):
    """0 for values that are exact; kernels compute slopes in float32."""
    if not of_gradient and not re.fullmatch(ROUNDED, name):
        return 0
    relative = TOLERANCE.get(dtype, 1e-5)
    return max(relative, 1e-6) if re.fullmatch(SLOPES, name) else relative


def describe(value):
    return None if value is None else f"{value.dtype} {tuple(value.shape)}"


def unclear(error, ndim, dtype):
    """The part that an error lacks, "" if nothing."""
    lacks = [] if isinstance(error, (TypeError, ValueError)) else ["a TypeError or ValueError"]
    message = str(error)
    if not re.search(r"\b((\w+_)?input|spike|voltage|real|label|x)\b", message):
        lacks.append("the argument")
    if not any(given in message for given in (str(dtype), str(SHAPES[ndim]))):
        lacks.append("what was given")
    if not re.search(r"\b(must|expects)\b", message):
        lacks.append("what is wanted")
    return ", ".join(lacks)


def excused(kinds, name, index, ndim, dtype):
    return [kind for kind in kinds if re.fullmatch(kind.names, name) and kind.of(ndim, dtype) and index in kind.calls]


@functools.cache
def judged(name):
    """Faults of a function's calls, and the kinds of `REFUSED` and `OTHERWISE` that were met."""
    faults, met = [], set()
    for index, call in enumerate(CALLS[name]):
        for ndim, dtype in itertools.product(SHAPES, DTYPES):
            actual, expected = (outcome(root, call, ndim, dtype) for root in (ours, theirs))
            what = f"{name} [{index}] of {dtype} {SHAPES[ndim]}: "
            if isinstance(actual, Exception):
                if lacking := unclear(actual, ndim, dtype):
                    faults.append(f"{what}the error lacks {lacking}: {actual!r}")
                if isinstance(expected, Exception):
                    continue
                kinds, fault = REFUSED, f"refused, lava-dl gives a result: {actual}"
            elif isinstance(expected, Exception) or not (fault := difference(name, actual, expected, dtype)):
                continue
            else:
                kinds = OTHERWISE
            listed = excused(kinds, name, index, ndim, dtype)
            met.update(listed)
            if not listed:
                faults.append(what + fault)
    return faults, met


@pytest.mark.parametrize("name", sorted(CALLS))
def test_every_shape_and_dtype_is_taken_as_by_lava_dl_or_refused_by_name(name):
    faults, _ = judged(name)
    assert faults == []


def label_shapes(x):
    samples, steps, classes = x.shape[0], x.shape[-1], math.prod(x.shape[1:-1])
    one = [(samples,), (samples, 1), (samples, 1, 1)]
    hot = [x.shape[:-1], (samples, classes), (*x.shape[:-1], 1), (samples, classes, 1)]
    return dict.fromkeys([*one, *hot, (samples, steps), x.shape, (samples, classes, steps)])


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("name", ["SpikeRate", "SpikeMax", "SpikeMoid"])
def test_labels_may_have_any_shape_of_lava_dls(name, window):
    """Labels that lava-dl takes are taken here; it fails for many shapes that mean the same."""
    options = {"SpikeRate": {"true_rate": 0.5, "false_rate": 0.25}, "SpikeMax": {"mode": "softmax"}, "SpikeMoid": {}}
    compared = 0
    for ndim in (2, 3, 4, 5):
        x = spikes(signal(ndim, torch.float32))
        for shape in label_shapes(x):
            label = torch.arange(math.prod(shape)).reshape(shape) % 2
            label = label.float() if name == "SpikeMoid" else label * (ndim > 2)
            try:
                expected = getattr(theirs.loss, name)(moving_window=window, **options[name])(x, label)
            except (RuntimeError, ValueError, UserWarning):  # warnings are errors here
                continue
            actual = getattr(ours.loss, name)(moving_window=window, **options[name])(x, label)
            torch.testing.assert_close(actual, expected)
            compared += 1
    assert compared >= 4


def test_labels_that_lava_dl_takes_by_chance_are_refused():
    """See the rows of docs/errata.md on labels."""
    x = spikes(signal(3, torch.float32))
    label = torch.arange(6) % 2.0
    theirs.loss.SpikeMoid()(x, label)
    with pytest.raises(ValueError, match=r"label of SpikeMoid must hold .* shape \(2, 3\) .*, got \(6,\)"):
        ours.loss.SpikeMoid()(x, label)
    ones = torch.zeros(2, 1, STEPS, dtype=torch.int64)
    wanted = ours.loss.SpikeRate(0.5, 0.25, 3)(x, ones[:, 0])
    assert ours.loss.SpikeRate(0.5, 0.25, 3)(x, ones) == wanted
    torch.testing.assert_close(theirs.loss.SpikeRate(0.5, 0.25, 3)(x, ones[:, 0]), wanted)
    assert theirs.loss.SpikeRate(0.5, 0.25, 3)(x, ones) > wanted + 0.5


@pytest.mark.parametrize("kind", REFUSED + OTHERWISE, ids=lambda kind: kind.row)
def test_every_exception_is_one_and_has_its_row(kind):
    assert any(kind in judged(name)[1] for name in CALLS if re.fullmatch(kind.names, name))
    assert f"\n| {kind.row}" in (Path(__file__).resolve().parents[2] / "docs" / "errata.md").read_text()


def public(root, module):
    """Functions and classes that a module defines, or a package shows."""
    found = importlib.import_module(f"{root.__name__}.{module}")
    shown = getattr(found, "__all__", None)
    for name, value in vars(found).items():
        if name.startswith("_") or not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        if name in shown if shown is not None else value.__module__.startswith(found.__name__):
            yield f"{module}.{name}"


def test_every_public_function_is_called():
    found = {name for root in (ours, theirs) for module in MODULES for name in public(root, module)}
    assert len(found) > 60
    assert {name for name in found if not name.endswith("Accelerated")} == set(CALLS) | WITHOUT


def test_every_public_module_is_looked_into():
    """But those of whole blocks, of files and of pictures; the names beside modules are not lava-dl's."""
    names = {name for name in ours.__all__ if inspect.ismodule(getattr(ours, name))} - {"auto", "block", "io", "obd"}
    assert {name.split(".")[0] for name in MODULES} == names
    below = {f"neuron.{name}" for name in ours.neuron.__all__ if inspect.ismodule(getattr(ours.neuron, name))}
    assert below - set(MODULES) == {"neuron.dynamics"}
    assert {f"neuron.dynamics.{name}" for name in ours.neuron.dynamics.__all__} <= set(MODULES)
    utils = {f"utils.{name}" for name in ours.utils.__all__ if inspect.ismodule(getattr(ours.utils, name))}
    assert utils - set(MODULES) == {"utils.recurrent"}  # of a neuron and a synapse, which are here
