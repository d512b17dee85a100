"""Random legal networks of every kind of layer and every family, and their equality."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lavadl_ref import exchange
from lavadl_ref.exchange import FAMILIES, Layer, Network, Neuron


def same(left: Any, right: Any) -> bool:
    """Whether two descriptions agree in type and every field."""
    if isinstance(left, np.ndarray):
        return isinstance(right, np.ndarray) and left.dtype == right.dtype and bool(np.array_equal(left, right))
    if type(left) is not type(right):
        return False
    if isinstance(left, Network):
        return dict(left.simulation) == dict(right.simulation) and same(left.layers, right.layers)
    if isinstance(left, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Layer):
        return all(same(getattr(left, field.name), getattr(right, field.name)) for field in fields(left))
    if isinstance(left, Neuron):
        return (
            left.type == right.type
            and left.parameters.keys() == right.parameters.keys()
            and all(same(left[name], right[name]) for name in left.parameters)
        )
    return bool(left == right)


def integers(shape: int | tuple[int, ...], low: int, high: int) -> st.SearchStrategy:
    return arrays(np.int64, shape, elements=st.integers(low, high))


@st.composite
def neurons(draw: st.DrawFn, channels: int, complex_input: bool | None = None) -> Neuron:
    names = [n for n, f in FAMILIES.items() if complex_input is None or f.complex_input == complex_input]
    family = FAMILIES[draw(st.sampled_from(names))]
    parameters: dict[str, Any] = {}
    for field in family.fields:
        if field.kind == "bool":
            parameters[field.name] = draw(st.booleans())
        elif field.kind == "str":
            parameters[field.name] = draw(st.sampled_from(["relu", "identity"]))
        elif field.per_channel and channels > 1 and draw(st.booleans()):
            parameters[field.name] = draw(integers(channels, field.low, field.high))
        else:
            parameters[field.name] = draw(st.integers(field.low, field.high))
    return Neuron(family.type, parameters)


@st.composite
def common(draw: st.DrawFn, channels: int, delay: bool = True, complex_input: bool | None = None) -> dict:
    """Neuron, delay and shift; the shift only where it is not the family's own."""
    neuron = draw(neurons(channels, complex_input))
    values: dict[str, Any] = {"neuron": neuron}
    if draw(st.booleans()):
        values["delay_shift"] = not FAMILIES[neuron.type].delay_shift
    if delay and draw(st.booleans()):
        values["delay"] = draw(integers(channels, 0, 2**15))
    return values


@st.composite
def synapse(draw: st.DrawFn, shape: tuple[int, ...], neuron: Neuron, outputs: int, bias: bool = True) -> dict:
    values: dict[str, Any] = {"weight": draw(integers(shape, -512, 511))}
    if FAMILIES[neuron.type].complex_input:
        values["weight_imag"] = draw(integers(shape, -512, 511))
    elif bias and draw(st.booleans()):
        values["bias"] = draw(integers(outputs, -(2**31), 2**31 - 1))
    return values


@st.composite
def dense(draw: st.DrawFn, size: int) -> exchange.Dense:
    outputs = draw(st.integers(1, 4))
    recurrent = draw(st.booleans())
    values = draw(common(outputs, complex_input=False if recurrent else None))
    values |= draw(synapse((outputs, size), values["neuron"], outputs))
    if recurrent:
        return exchange.Recurrent(shape=(outputs,), weight_rec=draw(integers((outputs, outputs), -512, 511)), **values)
    if "weight_imag" not in values and draw(st.booleans()):
        values |= {"neuron": None, "delay_shift": None}
    return exchange.Dense(shape=(outputs,), **values)


@st.composite
def kernel(draw: st.DrawFn, shape: tuple[int, int, int]) -> exchange.Kernel:
    cls = draw(st.sampled_from([exchange.Conv, exchange.ConvTranspose, exchange.Pool, exchange.Unpool]))
    pooling = cls in (exchange.Pool, exchange.Unpool)
    transposed = cls in (exchange.ConvTranspose, exchange.Unpool)
    groups = 1 if pooling else draw(st.sampled_from([g for g in (1, 2, 3) if shape[0] % g == 0]))
    channels = shape[0] if pooling else groups * draw(st.integers(1, 2))
    size, stride, padding, dilation, extents = [], [], [], [], []
    for extent in shape[1:]:
        d, s = draw(st.integers(1, 2)), draw(st.integers(1, 3))
        k = draw(st.integers(1, 3))
        p = draw(st.integers(0, 1))
        if transposed and (extent - 1) * s - 2 * p + d * (k - 1) + 1 < 1:
            p = 0
        if not transposed and extent + 2 * p < d * (k - 1) + 1:
            k = 1
        if transposed:
            out = (extent - 1) * s - 2 * p + d * (k - 1) + 1
        else:
            out = (extent + 2 * p - d * (k - 1) - 1) // s + 1
        for values, value in zip((size, stride, padding, dilation, extents), (k, s, p, d, out), strict=True):
            values.append(value)
    if pooling:
        weight = (1, 1, *size)
    elif transposed:
        weight = (shape[0], channels // groups, *size)
    else:
        weight = (channels, shape[0] // groups, *size)
    fields = draw(common(channels))
    fields |= draw(synapse(weight, fields["neuron"], channels, bias=not pooling))
    return cls(
        shape=(channels, *extents),
        stride=tuple(stride),
        padding=tuple(padding),
        dilation=tuple(dilation),
        groups=groups,
        **fields,
    )


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """An input, up to five layers that fit one another, now and then legacy simulation numbers."""
    shape: tuple[int, ...] = draw(
        st.one_of(st.tuples(st.integers(1, 6)), st.tuples(*(st.integers(1, 6) for _ in range(3))))
    )
    first = draw(common(shape[0], delay=False))
    weight, bias = draw(st.integers(-512, 511)), draw(st.integers(-(2**31), 2**31 - 1))
    layers: list[Layer] = [exchange.Input(shape=shape, weight=weight, bias=bias, **first)]
    for _ in range(draw(st.integers(0, 5))):
        shape, size = layers[-1].shape, layers[-1].size
        choice = draw(st.sampled_from(["dense", "kernel", "kernel", "flatten", "average", "decimation"]))
        if choice == "kernel" and len(shape) == 3:
            layers.append(draw(kernel(shape)))  # type: ignore[arg-type]
        elif choice == "flatten":
            layers.append(exchange.Flatten(shape=(size,)))
        elif choice == "average":
            count = draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
            layers.append(exchange.Average(shape=(count,)))
        elif choice == "decimation":
            layers.append(exchange.TimeDecimation(shape=shape, factor=2 ** draw(st.integers(0, 4))))
        else:
            layers.append(draw(dense(size)))
    simulation = draw(st.sampled_from([{}, {"Ts": 1, "tSample": 64}]))
    return Network(tuple(layers), simulation)
