"""Helpers without a better home."""

import copy
import math
import pickle

import pytest
import torch

from lavadl_ref.slayer.utils import diagonal_mask, dotdict, event_rate, staticproperty


@pytest.mark.parametrize(("number", "side"), [(1, 0), (2, 1), (3, 1), (5, 2), (9, 4), (99, 49)])
def test_diagonal_mask_has_ones_near_the_diagonal(number, side):
    expected = [[float(abs(i - j) <= side) for j in range(5)] for i in range(5)]
    assert diagonal_mask(5, number).tolist() == expected


def test_diagonal_mask_refuses():
    with pytest.raises(ValueError, match="num_diagonals of diagonal_mask must be at least 1, got 0"):
        diagonal_mask(3, 0)
    with pytest.raises(TypeError, match=r"dim of diagonal_mask must be an integer, got 2\.5"):
        diagonal_mask(2.5, 1)


def test_event_rate_counts_nonzero_entries_after_the_first_step():
    x = torch.tensor([[1.0, 0.0, -2.0, 0.5], [1.0, 0.0, 0.0, 0.0]])
    assert event_rate(x) == 2 / 6
    assert event_rate(x[:, :1]) == 1.0
    assert event_rate(x > 0) == 1 / 6
    with pytest.raises(ValueError, match="at least one element"):
        event_rate(torch.zeros(0, 3))


def test_dotdict_reads_and_writes_keys_as_attributes():
    d = dotdict(a=1)
    d.b = 2
    del d.a
    assert d == {"b": 2}
    assert d.b == 2
    assert d.missing is None
    with pytest.raises(KeyError):
        del d.missing


def test_dotdict_can_be_copied_and_pickled():
    d = dotdict(a=[1])
    for twin in (copy.deepcopy(d), pickle.loads(pickle.dumps(d))):
        assert type(twin) is dotdict
        assert twin == d


def test_staticproperty_needs_no_instance():
    class Holder:
        @staticproperty
        def value():
            return 4

    assert Holder.value == 4
    assert Holder().value == 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int32])
def test_the_event_rate_of_any_memory_is_the_same(dtype):
    x = torch.randint(-1, 2, (3, 4, 2, 2, 9)).to(dtype)
    expected = (x[..., 1:] != 0).sum().item() / (3 * 4 * 2 * 2 * 8)
    for order in ((0, 1, 2, 3, 4), (4, 0, 2, 3, 1), (4, 0, 1, 2, 3)):
        arranged = x.permute(order).contiguous().permute([order.index(i) for i in range(5)])
        assert event_rate(arranged) == expected
    assert event_rate(torch.tensor([[[1.0, -0.0, math.nan]]], requires_grad=True)) == 0.5
