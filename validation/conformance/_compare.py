"""Comparisons of the two packages: signatures, and gradients up to the rounding of float32."""

from __future__ import annotations

import inspect

import torch


def signature(function):
    """Names, defaults and kinds of a function's parameters."""
    return [(p.name, p.default, p.kind) for p in inspect.signature(function).parameters.values()]


def gradient(shape, seed=9):
    """A gradient that arrives, float32."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def close(actual, expected):
    """Equal to the rounding of float32 sums over time."""
    largest = expected.abs().max().item()
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5 * largest + 1e-12)
