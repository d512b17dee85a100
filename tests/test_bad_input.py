"""Every entry point that needs no torch, times every kind of bad input: one line of ours that names the argument.

What is raised is raised by a line of this project: an error that comes out of NumPy, h5py or the system has not been
thought of, whatever it says.
"""

from __future__ import annotations

import linecache
import math
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lavadl_ref
from lavadl_ref import exchange, reference, verify
from lavadl_ref.audit import audit
from lavadl_ref.exchange import Conv, Dense, ExchangeError, Input, Network, Neuron
from lavadl_ref.netx import lava_support, runtime
from lavadl_ref.netx.plan import Options, plan
from lavadl_ref.testing import checking, vectors

USABLE, WHY = lava_support.available()
OURS = Path(lavadl_ref.__file__).parent
TYPES = (ValueError, TypeError, ExchangeError)

CUBA = Neuron("CUBA", {"threshold": 90, "current_decay": 4096, "voltage_decay": 300})
NETWORK = Network((Dense(shape=(4,), weight=np.full((4, 6), 20), neuron=CUBA),))
DRIVEN = Network((Input(shape=(6,), neuron=CUBA),))
WINDOWS = Network((Conv(shape=(2, 3, 3), weight=np.full((2, 1, 2, 2), 20), neuron=CUBA),))
GOOD = np.zeros((6, 9), np.int64)

ARRAYS: dict[str, Any] = {
    "fractions": np.full((6, 9), 0.5),
    "whole floats": np.ones((6, 9), np.float32),
    "complex": np.ones((6, 9), complex),
    "NaN": np.full((6, 9), np.nan),
    "infinity": np.full((6, 9), np.inf),
    "texts": np.full((6, 9), "1"),
    "objects": np.full((6, 9), None),
    "dates": np.zeros((6, 9), "M8[s]"),
    "rows of several lengths": [[0, 1], [1]],
    "a text": "spikes",
    "a mapping": {"x": 1},
    "a set": {1, 2},
    "a number": 3,
    "one axis": np.zeros(6, int),
    "four axes": np.zeros((1, 1, 6, 9), int),
    "another extent": np.zeros((7, 9), int),
    "beyond 32 bits": np.full((6, 9), 2**31),
    "below 32 bits": np.full((6, 9), -(2**31) - 1),
    "beyond 64 bits": [[2**70] * 9] * 6,
    "unsigned": np.full((6, 9), 2**63, np.uint64),
}
#: What only some take.
SEVERAL = {"a batch": np.zeros((2, 6, 9), int)}
EMPTY = {"no steps": np.zeros((6, 0), int)}
NOT_COUNTS: dict[str, Any] = {
    "negative": -1,
    "fraction": 2.5,
    "whole float": 2.0,
    "NaN": math.nan,
    "text": "3",
    "bytes": b"3",
    "truth value": True,
    "list": [3],
    "array": np.zeros(2, int),
}
ZERO = {"zero": 0}
NOT_POSITIVE: dict[str, Any] = {
    "negative": -1.0,
    "zero": 0,
    "NaN": math.nan,
    "text": "3",
    "truth value": True,
    "list": [3.0],
}
NOT_SHARES: dict[str, Any] = {**NOT_POSITIVE, "zero": -0.1, "large": 1.5, "infinity": math.inf}
NOT_NAMES: dict[str, Any] = {"unknown": "nothing", "number": 3, "none of them": [], "numbers": [1]}


@dataclass(frozen=True)
class Argument:
    """One argument of an entry point, and what it does not take."""

    call: Callable[[Any], Any]
    names: str  #: what the message has to name
    kinds: dict[str, Any]


ARGUMENTS = {
    "reference.Network num_layers": Argument(
        lambda v: reference.Network(NETWORK, num_layers=v), "num_layers", {**NOT_COUNTS, **ZERO}
    ),
    "reference.Network skip_layers": Argument(
        lambda v: reference.Network(NETWORK, skip_layers=v), "skip_layers", NOT_COUNTS
    ),
    "reference.Network reset_interval": Argument(
        lambda v: reference.Network(NETWORK, reset_interval=v), "reset_interval", {**NOT_COUNTS, **ZERO}
    ),
    "reference.Network reset_offset": Argument(
        lambda v: reference.Network(NETWORK, reset_interval=3, reset_offset=v), "reset_offset", NOT_COUNTS
    ),
    "reference.Network time_base": Argument(
        lambda v: reference.Network(NETWORK, time_base=v), "time_base", NOT_NAMES
    ),
    "reference.Network profile": Argument(lambda v: reference.Network(NETWORK, profile=v), "profile", NOT_NAMES),
    "reference.Network spike_exp": Argument(
        lambda v: reference.Network(NETWORK, spike_exp=v), "spike_exp", {**NOT_COUNTS, "large": 13}
    ),
    "reference.run spikes": Argument(lambda v: reference.Network(NETWORK).run(v), "input", ARRAYS),
    "reference.run bias": Argument(
        lambda v: reference.Network(DRIVEN).run(bias=v, steps=3),
        "bias",
        {k: v for k, v in ARRAYS.items() if k != "one axis"},
    ),
    "reference.run steps": Argument(
        lambda v: reference.Network(DRIVEN).run(bias=np.zeros(6, int), steps=v), "steps", {**NOT_COUNTS, **ZERO}
    ),
    "reference.run steps beside spikes": Argument(
        lambda v: reference.Network(NETWORK).run(GOOD, steps=v), "steps", {**NOT_COUNTS, **ZERO, "others": 8}
    ),
    "reference.run record": Argument(
        lambda v: reference.Network(NETWORK).run(GOOD, record=v), "record",
        {"unknown": ["nothing"], "a text": "spikes", "number": 3, "numbers": [1]},
    ),
    "reference.run layers": Argument(
        lambda v: reference.Network(NETWORK).run(GOOD, layers=v), "layers",
        {"unknown": [1], "negative": [-1], "number": 3, "fractions": [0.5], "a text": "0"},
    ),
    "verify inputs": Argument(
        lambda v: verify.verify(NETWORK, v, slayer=False, lava=False), "input", {**ARRAYS, **SEVERAL, **EMPTY}
    ),
    "verify inputs of a window": Argument(
        lambda v: verify.verify(WINDOWS, v, slayer=False, lava=False), "input",
        {"no channels": np.zeros((4, 4, 9), int), "others": np.zeros((2, 4, 4, 9), int), "size": np.zeros((1, 9, 9, 3), int)},
    ),
    "verify steps": Argument(
        lambda v: verify.verify(NETWORK, steps=v, slayer=False, lava=False), "steps", {**NOT_COUNTS, **ZERO, "huge": 10**30}
    ),
    "verify steps beside inputs": Argument(
        lambda v: verify.verify(NETWORK, GOOD, steps=v, slayer=False, lava=False), "steps",
        {**NOT_COUNTS, **ZERO, "more": 10},
    ),
    "verify seed": Argument(lambda v: verify.verify(NETWORK, seed=v, slayer=False, lava=False), "seed", NOT_COUNTS),
    "verify rate": Argument(lambda v: verify.verify(NETWORK, rate=v, slayer=False, lava=False), "rate", NOT_SHARES),
    "verify megabytes": Argument(
        lambda v: verify.verify(NETWORK, megabytes=v, slayer=False, lava=False), "megabytes", NOT_POSITIVE
    ),
    "verify reset_interval": Argument(
        lambda v: verify.verify(NETWORK, reset_interval=v, slayer=False, lava=False), "reset_interval",
        {**NOT_COUNTS, **ZERO},
    ),
    "verify reset_offset": Argument(
        lambda v: verify.verify(NETWORK, reset_interval=3, reset_offset=v, slayer=False, lava=False), "reset_offset",
        NOT_COUNTS,
    ),
    "verify timeout": Argument(lambda v: verify.verify(NETWORK, timeout=v, slayer=False), "timeout", NOT_POSITIVE),
    "audit inputs": Argument(lambda v: audit(NETWORK, v), "input", {**ARRAYS, **SEVERAL, **EMPTY}),
    "audit steps": Argument(lambda v: audit(NETWORK, steps=v), "steps", {**NOT_COUNTS, **ZERO, "huge": 10**30}),
    "audit seed": Argument(lambda v: audit(NETWORK, seed=v), "seed", NOT_COUNTS),
    "audit rate": Argument(lambda v: audit(NETWORK, rate=v), "rate", NOT_SHARES),
    "audit megabytes": Argument(lambda v: audit(NETWORK, megabytes=v), "megabytes", NOT_POSITIVE),
    "random_input steps": Argument(lambda v: verify.random_input(NETWORK, v), "steps", {**NOT_COUNTS, **ZERO}),
    "checking.check command": Argument(
        lambda v: checking.check(v, "CUBA"), "command",
        {"empty": "", "none": [], "number": 3, "numbers": [3], "open quote": "'"},
    ),
    "checking.check families": Argument(lambda v: checking.check("cat", v), "family", NOT_NAMES),
    "checking.check widths": Argument(lambda v: checking.check("cat", widths=v), "widths", NOT_NAMES),
    "checking.check timeout": Argument(lambda v: checking.check("cat", "CUBA", timeout=v), "timeout", NOT_POSITIVE),
    "vectors.cases families": Argument(lambda v: list(vectors.cases(v)), "family", NOT_NAMES),
    "vectors.cases widths": Argument(lambda v: list(vectors.cases(widths=v)), "widths", NOT_NAMES),
    "runtime.run inputs": Argument(
        lambda v: runtime.run(NETWORK, v, 9), "inputs", {k: v for k, v in ARRAYS.items() if k != "four axes"} | SEVERAL
    ),
    "runtime.run steps": Argument(lambda v: runtime.run(NETWORK, GOOD, v), "steps", {**NOT_COUNTS, **ZERO}),
    "runtime.run timeout": Argument(lambda v: runtime.run(NETWORK, GOOD, 9, timeout=v), "timeout", NOT_POSITIVE),
    "runtime.run record": Argument(
        lambda v: runtime.run(NETWORK, GOOD, 9, record=v), "record", {"unknown": ("nothing",), "numbers": (1,)}
    ),
    "netx reset_interval": Argument(
        lambda v: plan(NETWORK, Options(reset_interval=v)), "reset_interval", {**NOT_COUNTS, **ZERO}
    ),
    "netx reset_offset": Argument(
        lambda v: plan(NETWORK, Options(reset_interval=3, reset_offset=v)), "reset_offset", NOT_COUNTS
    ),
    "netx num_layers": Argument(lambda v: plan(NETWORK, Options(num_layers=v)), "num_layers", {**NOT_COUNTS, **ZERO}),
    "netx skip_layers": Argument(lambda v: plan(NETWORK, Options(skip_layers=v)), "skip_layers", NOT_COUNTS),
    "netx spike_exp": Argument(lambda v: plan(NETWORK, Options(spike_exp=v)), "spike_exp", NOT_COUNTS),
    "netx input_message_bits": Argument(
        lambda v: plan(NETWORK, Options(input_message_bits=v)), "input_message_bits", {**NOT_COUNTS, "large": 25}
    ),
    "netx time_base": Argument(lambda v: plan(NETWORK, Options(time_base=v)), "time_base", NOT_NAMES),
    "netx input_shape": Argument(
        lambda v: plan(WINDOWS, Options(input_shape=v)), "input",
        {"a number": 4, "two axes": (4, 4), "others": (4, 4, 2), "fractions": (4.5, 4, 1), "texts": ("4", "4", "1")},
    ),
}  # fmt: skip
ROWS = [
    pytest.param(argument, value, id=f"{name}: {kind}")
    for name, argument in ARGUMENTS.items()
    for kind, value in argument.kinds.items()
]
NEED_LAVA = ("runtime.run",)


def assert_ours(error: BaseException, names: str) -> None:
    """One line of this project, which says `names`."""
    assert type(error) in TYPES, repr(error)
    message = str(error)
    assert len(message.splitlines()) == 1, message
    assert names in message, message
    last = traceback.extract_tb(error.__traceback__)[-1]
    assert Path(last.filename).is_relative_to(OURS), f"{message!r} comes from {last.filename}:{last.lineno}"
    line = linecache.getline(last.filename, last.lineno or 0).strip()
    assert line.startswith("raise "), f"{message!r} comes out of {line!r}"


@pytest.mark.parametrize(("argument", "value"), ROWS)
def test_arguments(argument, value, request):
    if not USABLE and any(name in request.node.name for name in NEED_LAVA):
        pytest.skip(WHY)
    with pytest.raises(Exception) as caught:  # noqa: PT011
        argument.call(value)
    assert_ours(caught.value, argument.names)
