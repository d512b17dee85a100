"""Functions over lanes that the engines run, generated from a family's scalar `step`.

A family defines its update once, as a function of scalars::

    step(*states, *inputs, *parameters, loihi) -> (*states, spike, *compared)

`compared` holds the values that the last states have before the spike changes them, one for each state that a spike
changes.  This module generates three functions from `step`: `trained` takes the lanes of a chunk through one training
step; `deployed` takes one lane through one deployed step, both with and without the device's bit widths; and
`deployed_within` takes the lanes of a chunk through a deployed step in which no value exceeds its width.  `traced` and
`traced_decays` do the same with the `tangent` of `step`.

The functions are generated as source text.  In compiled code every state, row and constant is a separate variable,
and no loop runs over them; written by hand, there would be one copy for each number of states and inputs.  For CUBA,
the loop of `trained` is::

    for i in range(spike.size):
        new0, new1, fires, before1 = step(
            state0[i], state1[i], fixed(x0[i], state0[i]),
            lane_value(row2, i), lane_value(row0, i), lane_value(row1, i), threshold, None, False,
        )
        largest = widest(largest, x0[i] * np.float32(4096))
        largest = widest(largest, new0)
        largest = widest(largest, before1)
        state0[i] = new0
        state1[i] = new1
        store(trace0, i, real(new0))
        store(trace1, i, real(before1))
        size = real(before1) if graded else np.float32(1)
        spike[i] = size if fires else np.float32(0)
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lavadl_kernels.engine._optional_rows import lane_value, maybe_row, param_row, store, widest
from lavadl_kernels.fixed_point import as_type_of, fixed, real, steps_begin, steps_end, wrap32
from lavadl_kernels.runtime.hints import distinct_rows
from lavadl_kernels.runtime.jit import prefer_512_bit, scalar
from lavadl_kernels.runtime.rounding import stay_apart

#: The magnitude below which a trace counts as 0.  Without this limit, traces would decay to numbers so small that
#: arithmetic on them is slow.
TINY = 2.0**-100


@dataclass(frozen=True)
class Shape:
    """The numbers and names of the arguments and results of a family's `step`."""

    family: str  #: the name of the family, shown in tracebacks
    states: int  #: K
    inputs: int  #: 1, or 2 for a real and an imaginary part
    parameters: tuple[str, ...]  #: names of the arguments between the inputs and `loihi`, in the order of the call
    rows: tuple[str, ...]  #: names of the rows of ``neuron.decay``
    constants: tuple[str, ...]  #: fields of the parameters that training uses as well
    compared: int  #: the number of values that `step` returns after the spike
    #: a bit width: if the inputs and results of a step fit it, the device's widths do not change the step; 0 if the
    #: inputs and results do not show this
    bits: int
    #: a bit width: if the states, inputs and results of a step fit it, the device's widths do not change the step; 0 if
    #: they do not show this
    room: int
    carried: int  #: the state whose value before the spike a graded spike carries; -1 where the spike is a message

    def before(self, k: int, new: str, compared: str) -> str:
        """The name of the variable that holds state k before the spike changes it."""
        first = self.states - self.compared
        return f"{compared}{k}" if k >= first else f"{new}{k}"

    def results(self, new: str, spike: str, compared: str) -> str:
        """The names of the variables to which the results of `step` are assigned."""
        first = self.states - self.compared
        return ", ".join(
            [*(f"{new}{k}" for k in range(self.states)), spike]
            + [f"{compared}{first + k}" for k in range(self.compared)]
        )


def trained(step: Callable[..., Any], shape: Shape) -> Callable[..., Any]:
    """Generate the `advance` of `engine.train`: one time step of the lanes of a chunk."""
    k, p = range(shape.states), range(len(shape.rows))
    rows = {name: f"lane_value(row{row}, i)" for row, name in enumerate(shape.rows)}
    # A parameter that only deployed neurons have is passed as None.  Numba sees the type None and removes the branch
    # that uses the parameter before it compiles.
    arguments = [rows.get(name, name if name in shape.constants else "None") for name in shape.parameters]
    taken = [*(f"state{j}" for j in k), *(f"row{j}" for j in p), *(f"constant{n}" for n in range(len(shape.constants)))]
    taken += [*(f"x{n}" for n in range(shape.inputs)), "spike", *(f"trace{j}" for j in k), "graded", "largest"]
    source = f"""
def lanes({_joined(taken)}):
    prefer_512_bit()
    distinct_rows()
    stay_apart()
    {_lines([f"{name} = as_type_of(constant{n}, state0)" for n, name in enumerate(shape.constants)], 4)}
    for i in range(spike.size):
        {shape.results("new", "fires", "before")} = step(
            {_joined(f"state{j}[i]" for j in k)}, {_joined(f"fixed(x{n}[i], state0[i])" for n in range(shape.inputs))},
            {", ".join([*arguments, "False"])},
        )
        {_lines([f"largest = widest(largest, x{n}[i] * np.float32(4096))" for n in range(shape.inputs)], 8)}
        {_lines([f"largest = widest(largest, {shape.before(j, 'new', 'before')})" for j in k], 8)}
        {_lines([f"state{j}[i] = new{j}" for j in k], 8)}
        {_lines([f"store(trace{j}, i, real({shape.before(j, 'new', 'before')}))" for j in k], 8)}
        size = real({shape.before(shape.carried, "new", "before")}) if graded else np.float32(1)
        spike[i] = size if fires else np.float32(0)
    return largest
"""
    lanes = scalar(_made(f"lanes of {shape.family}", source, "lanes", step=step))
    source = f"""
def advance(neuron, state, decay, x, spike, trace, t, lo, graded, largest):
    n = spike.size
    mode = steps_begin(state)
    found = lanes(
        {_joined(f"state[{j}, :n]" for j in k)},
        {_joined(f"param_row(decay, {row}, n)" for row in p)},
        {_arguments_of("neuron", shape.constants)}
        {_joined(f"x[{n}]" for n in range(shape.inputs))}, spike,
        {_joined(f"maybe_row(trace, {j}, t, lo, n)" for j in k)}, graded, largest,
    )
    steps_end(state, mode)
    return found
"""
    return _made(f"step of {shape.family}", source, "advance", lanes=lanes)


def traced(tangent: Callable[..., Any], shape: Shape, decays: int) -> Callable[..., Any]:
    """Generate the `advance` of `engine.eligibility`.

    It carries the derivatives with respect to a weight through one time step of the lanes of a chunk.
    """
    k, p = range(shape.states), range(decays)
    zero = "np.float32(0)"
    drives = ["x[i]", zero][: shape.inputs]
    given = [f"d{j}[i]" for j in k], drives, [zero] * decays, [zero] * shape.states
    arguments = [*map(_tuple, given), _tuple(f"lane_value(row{j}, i)" for j in p)]
    source = f"""
def lanes({_joined([*(f"d{j}" for j in k), *(f"row{j}" for j in p), "x"])}):
    prefer_512_bit()
    distinct_rows()
    bits = np.int32(0)
    for i in range(x.size):
        {"".join(f"new{j}, " for j in k)} = tangent({_joined(arguments)})
        {_lines([f"new{j} = new{j} if abs(new{j}) >= np.float32({TINY!r}) else {zero}" for j in k], 8)}
        {_lines([f"bits |= np.int32(new{j} != 0)" for j in k], 8)}
        {_lines([f"d{j}[i] = new{j}" for j in k], 8)}
    return bits != 0
"""
    lanes = scalar(_made(f"traces of {shape.family}", source, "lanes", tangent=tangent))
    source = f"""
def advance(neuron, decay_fraction, trace, x):
    n = x.size
    return lanes(
        {_joined(f"trace[{j}, :n]" for j in k)}, {_joined(f"param_row(decay_fraction, {j}, n)" for j in p)}, x
    )
"""
    return _made(f"trace of {shape.family}", source, "advance", lanes=lanes)


def traced_decays(
    tangent: Callable[..., Any],
    spike_tangent: Callable[..., Any] | None,
    shape: Shape,
    decays: int,
    rests: tuple[str, ...],
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Generate the `advance_decays` and `after_spikes` of `engine.eligibility`."""
    k, p = range(shape.states), range(decays)
    zero, one, unit = "np.float32(0)", "np.float32(1)", "np.float32(1 / 4096)"
    before = [f"np.float32(state{j}[i] - rest{j}) * {unit}" for j in k]
    lines = []
    for q in p:
        which = [one if j == q else zero for j in p]
        states, inputs = [f"d{q}_{j}[i]" for j in k], [zero] * shape.inputs
        given = states, inputs, which, [f"before{j}" for j in k], [f"row{j}_" for j in p]
        lines.append(f"{''.join(f'new{j}, ' for j in k)} = tangent({_joined(map(_tuple, given))})")
        lines += [f"d{q}_{j}[i] = new{j}" for j in k]
        lines.append(f"total{q}[i] += " + " + ".join(f"np.float64(new{j} * slope{j}[i])" for j in k))
    each = [f"d{q}_{j}" for q in p for j in k]
    taken = [*each, *(f"state{j}" for j in k), *(f"rest{j}" for j in k), *(f"row{j}" for j in p)]
    taken += [*(f"slope{j}" for j in k), *(f"total{q}" for q in p)]
    source = f"""
def lanes({_joined(taken)}):
    prefer_512_bit()
    distinct_rows()
    for i in range(total0.size):
        {_lines([f"before{j} = {value}" for j, value in enumerate(before)], 8)}
        {_lines([f"row{j}_ = lane_value(row{j}, i)" for j in p], 8)}
        {_lines(lines, 8)}
"""
    lanes = scalar(_made(f"traces of the decays of {shape.family}", source, "lanes", tangent=tangent))
    held = [f"trace[{q}, {j}, :n]" for q in p for j in k]
    constants = [f"as_type_of(neuron.{name}, state)" if name else "as_type_of(0, state)" for name in rests]
    source = f"""
def advance(neuron, decay_fraction, state, trace, slope, t, lo, total):
    n = total.shape[1]
    lanes(
        {_joined(held)}, {_joined(f"state[{j}, :n]" for j in k)},
        {_joined(constants)},
        {_joined(f"param_row(decay_fraction, {j}, n)" for j in p)},
        {_joined(f"slope[{j}, t, lo : lo + n]" for j in k)}, {_joined(f"total[{q}]" for q in p)},
    )
"""
    advance = _made(f"trace of the decays of {shape.family}", source, "advance", lanes=lanes)
    if spike_tangent is None:
        return advance, _made(f"spikes of {shape.family}", "def after(neuron, trace, spike):\n    pass\n", "after")
    lines = []
    for q in p:
        lines.append(f"{_joined(f'new{j}' for j in k)} = spike_tangent({_tuple(f'd{q}_{j}[i]' for j in k)})")
        lines += [f"d{q}_{j}[i] = new{j} if spike[i] != 0 else d{q}_{j}[i]" for j in k]
    source = f"""
def lanes({_joined([*each, "spike"])}):
    prefer_512_bit()
    distinct_rows()
    for i in range(spike.size):
        {_lines(lines, 8)}
"""
    spikes = scalar(_made(f"spikes in the traces of {shape.family}", source, "lanes", spike_tangent=spike_tangent))
    source = f"""
def after(neuron, trace, spike):
    n = spike.size
    spikes({_joined(held)}, spike)
"""
    return advance, _made(f"spikes of {shape.family}", source, "after", spikes=spikes)


def deployed(step: Callable[..., Any], shape: Shape) -> Callable[..., Any]:
    """Generate the `advance` of `engine.deployed`: one step of one lane, with and without the device's widths.

    A width matters if any result of `step` differs between the two.
    """
    k = range(shape.states)
    # If all lanes share a decay, the row has one column: every lane beyond the last column reads the last column.
    rows = {name: f"neuron.decay[{row}, min(i, neuron.decay.shape[1] - 1)]" for row, name in enumerate(shape.rows)}
    values = [rows.get(name, f"lane_value(neuron.{name}, i)") for name in shape.parameters]
    inputs = ("a", "b")[: shape.inputs]
    free, narrow = (shape.results(kind, f"{kind}_spike", f"{kind}_before") for kind in ("free", "narrow"))
    pairs = zip(free.split(", "), narrow.split(", "), strict=True)
    if shape.carried < 0:
        fires, value = "True", "narrow_spike if loihi else free_spike"
    else:
        of = [shape.before(shape.carried, kind, f"{kind}_before") for kind in ("narrow", "free")]
        fires, value = "narrow_spike if loihi else free_spike", f"{of[0]} if loihi else {of[1]}"
    source = f"""
def advance(neuron, state, i, a, b, loihi):
    {_lines([f"state{j} = state[{j}, i]" for j in k], 4)}
    {_lines([f"parameter{n} = {value}" for n, value in enumerate(values)], 4)}
    {free} = step(
        {_joined(f"state{j}" for j in k)}, {_joined(inputs)}, {_arguments(values)}False,
    )
    {_same_without_widths(shape, free, inputs)}
    {narrow} = step(
        {_joined(f"state{j}" for j in k)}, {_joined(f"wrap32({part})" for part in inputs)}, {_arguments(values)}True,
    )
    {_lines([f"state[{j}, i] = narrow{j} if loihi else free{j}" for j in k], 4)}
    differs = {" or ".join(f"{one} != {other}" for one, other in pairs)}
    return ({fires}), ({value}), differs
"""
    return _made(f"deployed step of {shape.family}", source, "advance", step=step)


def deployed_within(step: Callable[..., Any], shape: Shape) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Generate the `fetch_rows` and `advance_within` of `engine.deployed`.

    They take the lanes of a chunk through a step in which every number fits its width.  The loop compares nothing: for
    each number, the distances to both ends of its range are computed, and their sign bits are combined by OR.  After
    the loop, one test of the combined sign tells whether any number was out of range.
    """
    k, p = range(shape.states), range(len(shape.rows))
    rows = {name: f"np.int64(row{row}[i])" for row, name in enumerate(shape.rows)}
    values = [rows.get(name, f"lane_value(neuron.{name}, lo + i)") for name in shape.parameters]
    inputs = [f"np.int64(x{n}[i])" for n in range(shape.inputs)]
    taken = [*(f"state{j}" for j in k), *(f"after{j}" for j in k), *(f"row{j}" for j in p)]
    taken += [*(f"x{n}" for n in range(shape.inputs)), "neuron", "lo", "message", "graded"]
    new = shape.results("new", "fires", "before")
    # A message that is not a state is computed from numbers that are checked here, so it needs no check of its own.
    numbers = [name for name in new.split(", ") if name != "fires"]
    most = (1 << (shape.room or 1) - 1) - 1
    size = "fires" if shape.carried < 0 else f"({shape.before(shape.carried, 'new', 'before')} if graded else one)"
    source = f"""
def lanes({_joined(taken)}):
    prefer_512_bit()
    signs, one, none, most = np.int64(0), np.int64(1), np.int64(0), np.int64({most})
    for i in range(message.size):
        {new} = step(
            {_joined(f"np.int64(state{j}[i])" for j in k)}, {_joined(inputs)}, {_joined(values)}, False,
        )
        {_lines([f"signs |= (most + {name}) | (most - {name})" for name in numbers], 8)}
        {_lines([f"after{j}[i] = new{j}" for j in k], 8)}
        message[i] = {size if shape.carried < 0 else f"{size} if fires else none"}
    return signs >= none
"""
    lanes = scalar(_made(f"deployed lanes of {shape.family}", source, "lanes", step=step))
    source = f"""
def advance(neuron, decay, state, after, x, message, lo, graded):
    n = message.size
    return lanes(
        {_joined(f"state[{j}, :n]" for j in k)}, {_joined(f"after[{j}, :n]" for j in k)},
        {"".join(f"decay[{j}, :n], " for j in p)}{_joined(f"x[{n}, :n]" for n in range(shape.inputs))},
        neuron, lo, message, graded,
    )
"""
    advance = _made(f"deployed step within widths of {shape.family}", source, "advance", lanes=lanes)
    source = f"""
def fetch(neuron, lo, hi, decay):
    {"return narrowed(neuron.decay, lo, hi, decay)" if shape.rows else "return True"}
"""
    return _made(f"rows of {shape.family}", source, "fetch", narrowed=narrowed), advance


@scalar
def narrowed(values: Any, lo: int, hi: int, held: Any) -> bool:
    """Copy lanes `lo` to `hi` of `values`, (P, M) or (P, 1), to the int32 rows `held`; return whether all fit.

    The values must be from -(2**31 - 1) to 2**31 - 1.
    """
    signs, most = np.int64(0), np.int64(2**31 - 1)
    shared = values.shape[1] == 1
    for p in range(values.shape[0]):
        row = held[p]
        if shared:
            value = values[p, 0]
            signs |= (most + value) | (most - value)
            row[: hi - lo] = value
        else:
            given = values[p, lo:hi]
            for i in range(given.size):
                signs |= (most + given[i]) | (most - given[i])
                row[i] = given[i]
    return bool(signs >= 0)


def check_class_name(parameters: type, known: Iterable[type]) -> None:
    """Refuse a class of parameters that has the same name as another class.

    Raises
    ------
    ValueError
        If another class has the same name: Numba distinguishes named tuples only by the names of class and fields.
    """
    if parameters.__name__ in {other.__name__ for other in known if other is not parameters}:
        raise ValueError(f"class name of a family's parameters must be unique, got a second {parameters.__name__!r}")


def _same_without_widths(shape: Shape, free: str, inputs: Iterable[str]) -> str:
    """The source lines that end a deployed step early if every number in it fits the widths.

    This is the case for most steps; they then call `step` only once.
    """
    if not shape.bits:
        return "pass"
    results = free.split(", ")
    numbers = [*inputs, *(name for name in results if not name.endswith("_spike"))]
    value = shape.before(shape.carried, "free", "free_before")
    within = " and ".join(f"-{1 << shape.bits - 1} < {name} < {1 << shape.bits - 1}" for name in numbers)
    return _lines(
        [
            f"if {within}:",
            *(f"    state[{j}, i] = free{j}" for j in range(shape.states)),
            f"    return free_spike, {value}, False",
        ],
        4,
    )


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(parts)


def _tuple(parts: Iterable[str]) -> str:
    return f"({''.join(f'{part}, ' for part in parts)})"


def _arguments_of(owner: str, names: Iterable[str]) -> str:
    return "".join(f"{owner}.{name}, " for name in names)


def _arguments(values: list[str]) -> str:
    return "".join(f"parameter{n}, " for n in range(len(values)))


def _lines(lines: list[str], indent: int) -> str:
    return f"\n{' ' * indent}".join(lines) or "pass"


def _made(title: str, source: str, name: str, **names: Any) -> Callable[..., Any]:
    """Compile `source` and return its function `name`; tracebacks show the lines of the source."""
    file = f"<{title}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    scope: dict[str, Any] = {
        "as_type_of": as_type_of,
        "distinct_rows": distinct_rows,
        "fixed": fixed,
        "lane_value": lane_value,
        "maybe_row": maybe_row,
        "np": np,
        "param_row": param_row,
        "prefer_512_bit": prefer_512_bit,
        "real": real,
        "stay_apart": stay_apart,
        "steps_begin": steps_begin,
        "steps_end": steps_end,
        "store": store,
        "widest": widest,
        "wrap32": wrap32,
        **names,
    }
    exec(compile(source, file, "exec"), scope)
    made: Callable[..., Any] = scope[name]
    # The shared cache distinguishes machine code by names, types and a counter within each process.  If the functions
    # of two families had the same name and two processes compiled one each, a third process could not tell them apart.
    made.__qualname__ = f"{title}.{name}"
    return made
