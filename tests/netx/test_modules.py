"""Modules that are called once a step."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavadl_ref.netx import modules, sequential_modules
from lavadl_ref.netx.modules import FIFO, AbstractSeqModule, Dequantize, Quantize
from tests import PATIENCE


def test_both_names_of_the_modules_have_the_same_classes():
    assert all(getattr(modules, name) is getattr(sequential_modules, name) for name in modules.__all__)


class Counts(AbstractSeqModule):
    def forward(self, *args, **options):
        return self.time_step, args, options


def test_a_module_counts_its_calls():
    module = Counts()
    assert (module.time_step, module.has_post_fx, module.post_fx_thread) == (0, False, None)
    assert module(1, key=2) == (1, (1,), {"key": 2})
    assert module() == (2, (), {})
    assert module.time_step == 2
    with pytest.raises(NotImplementedError, match="AbstractSeqModule must define forward"):
        AbstractSeqModule()(1)


class Follows(AbstractSeqModule):
    """Its thread waits until it is let go on."""

    def __init__(self):
        super().__init__()
        self.go, self.seen = threading.Event(), []

    def forward(self, x):
        self.seen.append(("forward", x))
        return x

    def post_forward(self):
        self.go.wait(PATIENCE)
        self.seen.append(("post", threading.current_thread() is self.post_fx_thread))
        if len(self.seen) == 4:
            raise ArithmeticError("in the second step")


def test_what_follows_runs_beside_the_caller_and_ends_before_the_next_call():
    module = Follows()
    assert module.has_post_fx
    assert module(1) == 1
    assert module.seen == [("forward", 1)]  # the call has returned, its thread still waits
    module.go.set()
    assert module(2) == 2
    assert module.seen[:3] == [("forward", 1), ("post", True), ("forward", 2)]
    with pytest.raises(ArithmeticError, match="in the second step"):
        module(3)
    assert module.time_step == 2
    assert module(3) == 3
    module.join()
    assert module.seen[4:] == [("forward", 3), ("post", True)]


@given(st.lists(st.integers(-(2**20), 2**20)), st.integers(0, 20))
def test_quantize_rounds_halves_to_even(eighths, exp):
    # Python rounds fractions exactly, halves to even.
    expected = [round(n * 2**exp / 8) for n in eighths]
    found = Quantize(exp)(np.array(eighths) / 8)
    assert found.dtype == np.int64
    assert found.tolist() == expected


def test_quantize_takes_what_is_like_an_array():
    assert Quantize(6)(0.3) == 19
    assert isinstance(Quantize(6)(0.3), np.int64)
    assert Quantize(1)([[1, 2.25]]).tolist() == [[2, 4]]
    assert Quantize(-2)(np.array([8, 6, 10, -3], np.int32)).tolist() == [2, 2, 2, -1]
    assert Quantize()(np.array([2.5, 3.5], np.float32)).tolist() == [2, 4]


@pytest.mark.parametrize("x", [np.nan, np.inf, [1, -np.inf], 2.0**47])
def test_quantize_refuses_what_no_integer_holds(x):
    with pytest.raises(ValueError, match=r"Quantize\(exp=6\) needs finite numbers below"):
        Quantize(6)(x)


@given(st.lists(st.integers(-(2**40), 2**40)), st.integers(1, 32), st.integers(0, 20))
def test_dequantize_extends_the_sign(values, bits, exp):
    def expected(value):
        low = value % 2**bits
        return (low - 2**bits if low >= 2 ** (bits - 1) else low) / 2**exp

    found = Dequantize(exp, num_raw_bits=bits)(np.array(values, np.int64))
    assert found.dtype == np.float64
    assert found.tolist() == [expected(value) for value in values]


def test_dequantize_takes_what_is_like_an_array():
    assert Dequantize(6)(2**24 - 64) == -1
    assert Dequantize(4, 8)([[127.0, 128]]).tolist() == [[7.9375, -8]]
    assert Dequantize(-1)(np.array([2**24 - 5], np.uint32)).tolist() == [-10]
    assert Dequantize(0, 32)(np.array([2**32 - 5], np.uint32)).tolist() == [-5]
    assert Dequantize()(np.array([True, False])).tolist() == [1, 0]


@pytest.mark.parametrize("x", [0.5, np.nan, np.inf, [2.0**53]])
def test_dequantize_refuses_what_is_no_integer(x):
    with pytest.raises(ValueError, match="Dequantize needs integers below"):
        Dequantize()(x)


@pytest.mark.parametrize("bits", [0, 33])
def test_dequantize_refuses_other_widths(bits):
    with pytest.raises(ValueError, match=f"num_raw_bits must be from 1 to 32, got {bits}"):
        Dequantize(0, bits)


@given(st.integers(0, 10), st.floats(-(2**13), 2**13))
def test_dequantize_undoes_quantize(exp, x):
    """Half a unit is the most that is lost."""
    assert abs(Dequantize(exp)(Quantize(exp)(x)) - x) <= 0.5 / 2**exp


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_fifo_returns_what_it_took_earlier(depth):
    fifo = FIFO(depth)
    items = [object() for _ in range(12)]
    assert [fifo(item) for item in items] == [None] * depth + items[: 12 - depth]
    assert FIFO()(1) is None
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        FIFO(0)


def test_the_register_may_be_told_by_its_shift():
    module = modules.Dequantize(1, num_raw_bits=24)
    assert module.shift_32 == 8
    module.shift_32, module.exp = 28, 0
    assert module.num_raw_bits == 4
    assert module(np.array([7, 8, 15])).tolist() == [7, -8, -1]
    with pytest.raises(ValueError, match="shift_32 must be from 0 to 31, got 32"):
        module.shift_32 = 32
