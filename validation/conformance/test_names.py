"""Every name, signature and attribute of lava-dl is here or in the one table, whose entries are rows of the errata."""

from __future__ import annotations

import types
from pathlib import Path

import pytest

pytest.importorskip("torch")
from lavadl_ref.netx import lava_support

USABLE, WHY = lava_support.available()
if not USABLE:
    pytest.skip(WHY, allow_module_level=True)

import torch  # noqa: E402

from tests.support import upstream  # noqa: E402
from validation.conformance import _instances, _walk, names  # noqa: E402
from validation.conformance._exceptions import EXCEPTIONS, Exception_  # noqa: E402

upstream.slayer()
DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def found():
    return names.compare()


def test_every_difference_is_in_the_table(found):
    assert names.unexplained(found) == []


def test_no_entry_of_the_table_is_needless(found):
    assert names.unneeded(found) == []


def test_most_is_compared(found):
    least = {
        "module": 70,
        "name": 350,
        "signature": 400,
        "member": 600,
        "instance": 100,
        "attribute": 3000,
        "value": 2000,
    }
    assert {kind: found.counts[kind] >= number for kind, number in least.items()} == dict.fromkeys(least, True)


def test_the_page_is_what_the_command_writes(found):
    page = (DOCS / "compatibility.md").read_text(encoding="utf-8")
    assert page == names.page(found), "python -m validation.conformance.names docs/compatibility.md"


@pytest.mark.parametrize("entry", EXCEPTIONS, ids=lambda entry: entry.patterns[0])
def test_every_entry_of_the_table_is_a_row_of_the_errata(entry):
    rows = [row for row in (DOCS / "errata.md").read_text().splitlines() if row.startswith(f"| {entry.row}")]
    assert len(rows) == 1, entry.row


def test_what_is_refused_says_why(found):
    assert found.refused
    assert [name for name, message in found.refused.items() if len(message.split()) < 6] == []


# -- it can fail ----------------------------------------------------------------------------------


def parameters(function):
    return _walk.signature(function)


@pytest.mark.parametrize(
    ("ours", "fits"),
    [
        (lambda a, b=1, *, c=(1, [2]): 0, True),
        (lambda a, b=1, *, c=[1, (2,)], d=None: 0, True),
        (lambda a, b=1, *, c=(1, [2]), d: 0, False),
        (lambda a, b=2, *, c=(1, [2]): 0, False),
        (lambda a, b="1", *, c=(1, [2]): 0, False),
        (lambda a, c=(1, [2]), b=1: 0, False),
        (lambda x, b=1, *, c=(1, [2]): 0, False),
        (lambda a, b=1: 0, False),
        (lambda a, b=1, *, c=(1, [3]): 0, False),
        (lambda *a, **b: 0, False),
    ],
)
def test_a_signature_that_does_not_fit_is_found(ours, fits):
    theirs = parameters(lambda a, b=1, *, c=[1, (2,)]: 0)
    assert (_walk.mismatch(theirs, parameters(ours)) is None) == fits


class Theirs(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.number = 3
        self.part = torch.nn.ReLU()
        self.register_buffer("kept", torch.zeros(2))
        self.weight = torch.nn.Parameter(torch.zeros(2))


Same = type("Same", (Theirs,), {})


class Silent(torch.nn.Module):
    pass


class Explaining(torch.nn.Module):
    def __setattr__(self, name, value):
        if name in ("number", "part", "kept", "weight"):
            raise ValueError(f"{name} cannot be assigned here: it follows from the rest")
        super().__setattr__(name, value)


class Fixed(Same):
    def __init__(self):
        torch.nn.Module.__init__(self)

    number = property(lambda self: 3)
    part = kept = weight = number


@pytest.mark.parametrize(("ours", "good"), [(Same, True), (Explaining, True), (Silent, False), (Fixed, False)])
def test_an_attribute_that_is_taken_without_a_word_is_found(ours, good):
    found = names.Found()
    _instances.compare_attributes(found, "x", Theirs(), ours())
    assert found.counts["attribute"] == 4
    expected = set() if good else {f"attribute x.{name}" for name in ("number", "part", "kept", "weight")}
    assert set(found.differences) == expected
    assert len(found.refused) == 4 * (ours is Explaining)


@pytest.mark.parametrize(("value", "same"), [(3, True), (3.0, True), (4, False), (None, False), (Theirs, False)])
def test_a_value_that_is_another_is_found(value, same):
    found, ours = names.Found(), Same()
    ours.number = value
    _instances.compare_attributes(found, "x", Theirs(), ours)
    assert ("value x.number" in found.differences) is not same


def test_a_name_that_is_missing_is_found():
    module = types.ModuleType("lava.lib.dl.x")
    function = types.FunctionType((lambda: 0).__code__, {}, "own")
    function.__module__ = "lava.lib.dl.x"
    vars(module).update(own=function, torch=torch, LIMIT=3, _hidden=4, Module=torch.nn.Module)
    assert set(_walk.names(module, "lava.lib.dl")) == {"own", "LIMIT"}


def test_differences_without_entry_and_entries_without_difference_are_found():
    found = names.Found(differences={"name a.b": "missing", "member a.C.d": "missing"})
    table = (Exception_(("name a.*", "name b.*"), "", "", ""),)
    assert names.unexplained(found, table) == ["member a.C.d: missing"]
    assert names.unneeded(found, table) == ["name b.*"]
