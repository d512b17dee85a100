"""The functions over lanes that the engines run, made from a family's scalar `step`.

A family writes its update once, as scalars::

    step(*states, *inputs, *parameters, loihi) -> (*states, spike, *compared)

`compared` are the values of the last states before the spike acted on them, for those states that a spike changes.
Three functions are made of it: `trained` walks the lanes of a chunk through one step of training, `deployed` takes one
lane through one step with the device's widths and without, and `deployed_within` walks the lanes of a chunk through a
deployed step in which no width matters.

They are made as source text: each state, row and constant is a variable of its own in compiled code, which has no loop
over them, and written out there would be one copy for each number of states and inputs.  For CUBA the loop of
`trained` is::

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


@dataclass(frozen=True)
class Shape:
    """The arguments and results of a family's `step`, counted and named."""

    family: str  #: its name, for tracebacks
    states: int  #: K
    inputs: int  #: 1, or 2 for a real and an imaginary part
    parameters: tuple[str, ...]  #: between the inputs and `loihi`, in the order of the call
    rows: tuple[str, ...]  #: names of the rows of ``neuron.decay``
    constants: tuple[str, ...]  #: fields of the parameters that training has too
    compared: int  #: values behind the spike
    bits: int  #: width within which a step with widths is one without them; 0 where that cannot be told of its results
    #: width such that a step with widths is one without them where states, inputs and results have no more bits; 0
    #: where that cannot be told of them
    room: int
    carried: int  #: the state whose value before the spike a graded spike carries; -1 where the spike is a message

    def before(self, k: int, new: str, compared: str) -> str:
        """The variable of state k before the spike acted on it."""
        first = self.states - self.compared
        return f"{compared}{k}" if k >= first else f"{new}{k}"

    def results(self, new: str, spike: str, compared: str) -> str:
        """The variables that take the results of `step`."""
        first = self.states - self.compared
        return ", ".join(
            [*(f"{new}{k}" for k in range(self.states)), spike]
            + [f"{compared}{first + k}" for k in range(self.compared)]
        )


def trained(step: Callable[..., Any], shape: Shape) -> Callable[..., Any]:
    """The `advance` of `engine.train`: one step of the lanes of a chunk."""
    k, p = range(shape.states), range(len(shape.rows))
    rows = {name: f"lane_value(row{row}, i)" for row, name in enumerate(shape.rows)}
    # a parameter of deployed neurons alone is None, by type: its branch is gone before anything is compiled
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


def deployed(step: Callable[..., Any], shape: Shape) -> Callable[..., Any]:
    """The `advance` of `engine.deployed`: one step of one lane, with widths and without.

    A width matters where any number that `step` gives differs.
    """
    k = range(shape.states)
    # the last lane stands for those behind it: where all lanes share a value there is one
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
    """The `fetch_rows` and `advance_within` of `engine.deployed`: a step of the lanes of a chunk within the widths.

    Nothing is compared within the loop: each number and its distance to the end of its range leave a sign, and the
    signs of all lanes are looked at behind it.
    """
    k, p = range(shape.states), range(len(shape.rows))
    rows = {name: f"np.int64(row{row}[i])" for row, name in enumerate(shape.rows)}
    values = [rows.get(name, f"lane_value(neuron.{name}, lo + i)") for name in shape.parameters]
    inputs = [f"np.int64(x{n}[i])" for n in range(shape.inputs)]
    taken = [*(f"state{j}" for j in k), *(f"after{j}" for j in k), *(f"row{j}" for j in p)]
    taken += [*(f"x{n}" for n in range(shape.inputs)), "neuron", "lo", "message", "graded"]
    new = shape.results("new", "fires", "before")
    # a message that is no state is made of numbers that are looked at
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
    """Copy lanes `lo` to `hi` of `values`, (P, M) or (P, 1), to 32 bits; False where these do not hold one."""
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
    """Refuse a class of parameters that has the name of another.

    Raises
    ------
    ValueError
        If another class has the same name: Numba tells named tuples apart by the names of class and fields alone.
    """
    if parameters.__name__ in {other.__name__ for other in known if other is not parameters}:
        raise ValueError(f"class name of a family's parameters must be unique, got a second {parameters.__name__!r}")


def _same_without_widths(shape: Shape, free: str, inputs: Iterable[str]) -> str:
    """The lines that end a deployed step where every number in it fits the widths: most steps, which are taken once."""
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


def _arguments_of(owner: str, names: Iterable[str]) -> str:
    return "".join(f"{owner}.{name}, " for name in names)


def _arguments(values: list[str]) -> str:
    return "".join(f"parameter{n}, " for n in range(len(values)))


def _lines(lines: list[str], indent: int) -> str:
    return f"\n{' ' * indent}".join(lines) or "pass"


def _made(title: str, source: str, name: str, **names: Any) -> Callable[..., Any]:
    """The function `name` of `source`; tracebacks show its lines."""
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
    return made
