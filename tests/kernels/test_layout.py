"""Time first is the transpose, whatever the shape and the tiles."""

import numpy as np
import pytest
from lavadl_kernels.ops import layout
from lavadl_kernels.runtime import jit as _jit
from numba import njit


@pytest.mark.parametrize("lanes", [1, 15, 63, 64, 65, 200])
@pytest.mark.parametrize("steps", [1, 2, 16, 64, 130])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
def test_time_first_transposes_any_type(monkeypatch, lanes, steps, dtype):
    monkeypatch.setattr(_jit, "WORTH", 0)
    x = np.arange(lanes * steps).astype(dtype).reshape(lanes, steps)
    y = layout.time_first(x)
    assert y.flags.c_contiguous
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, x.T)
    np.testing.assert_array_equal(layout.time_first(x[:, ::-1]), x.T[::-1])


@pytest.mark.parametrize("lanes", [1, 15, 63, 64, 65, 200])
@pytest.mark.parametrize("steps", [1, 2, 16, 64, 130])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_time_last_transposes_any_type(monkeypatch, lanes, steps, dtype):
    monkeypatch.setattr(_jit, "WORTH", 0)
    x = (np.arange(lanes * steps) - 9).astype(dtype).reshape(steps, lanes)
    y = layout.time_last(x)
    assert y.flags.c_contiguous
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, x.T)
    np.testing.assert_array_equal(layout.time_last(x[::-1]), x.T[:, ::-1])


@pytest.mark.parametrize("lanes", [1, 15, 16, 33, 70])
@pytest.mark.parametrize("steps", [1, 3, 16, 37])
def test_a_tile_holds_some_steps_of_lanes_that_come_first(lanes, steps):
    x = np.arange(lanes * steps, dtype=np.float32).reshape(lanes, steps)
    y = np.full_like(x, np.nan)
    for lo in range(0, lanes, 40):
        hi = min(lo + 40, lanes)
        for first in range(0, steps, layout.SIDE):
            last = min(first + layout.SIDE, steps)
            tile = np.full((layout.SIDE, 40), np.nan, np.float32)
            _through_tile(x, first, last, lo, hi, tile, y)
            np.testing.assert_array_equal(tile[: last - first, : hi - lo], x[lo:hi, first:last].T)
    np.testing.assert_array_equal(y, x)


@njit
def _through_tile(x, first, last, lo, hi, tile, y):
    layout.rows_of_steps(x, first, last, lo, hi, tile)
    layout.steps_of_rows(tile, first, last, lo, hi, y)
