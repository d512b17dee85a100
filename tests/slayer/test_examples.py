"""The examples in the docstrings of neurons and blocks, which are made for each family, give what they show."""

from __future__ import annotations

import doctest
import importlib

import pytest

from lavadl_ref.slayer.block import _family as families
from tests.support.families import NAMES


def failures(cls):
    """The number of examples of a class, and what those that fail print."""
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    printed: list[str] = []
    count = 0
    for test in doctest.DocTestFinder(exclude_empty=True, recurse=False).find(cls, cls.__name__):
        count += len(test.examples)
        runner.run(test, out=printed.append)
    return count, "".join(printed)


@pytest.mark.parametrize("name", NAMES)
def test_examples_of_a_familys_neuron_give_what_they_show(name):
    neuron = importlib.import_module(f"lavadl_ref.slayer.neuron.{name}").Neuron
    count, printed = failures(neuron)
    assert count > 0
    assert printed == ""


@pytest.mark.parametrize("name", NAMES)
def test_examples_of_a_familys_blocks_give_what_they_show(name):
    module = importlib.import_module(f"lavadl_ref.slayer.block.{name}")
    for kind in families.EXAMPLES:
        if not hasattr(module, kind):
            continue
        count, printed = failures(getattr(module, kind))
        assert (count > 0) == (name != "sigma_delta" or kind not in families.FED_BACK)
        assert printed == ""
