"""The comparison with another checkout: rows in turn, ratios, and the checkout that a process imports."""

from __future__ import annotations

import pytest

from validation.benchmarks import __main__ as program
from validation.benchmarks import against


class Stub:
    """A checkout whose rows take the milliseconds given."""

    def __init__(self, took: dict[str, float], asked: list[str], name: str) -> None:
        self.groups, self.took, self.asked, self.name = ["group"], took, asked, name

    def ask(self, **what):
        """Answer as a process would."""
        if "make" in what:
            return list(self.took)
        self.asked.append(self.name)
        return self.took[what["run"]]


def test_rows_of_two_checkouts_are_measured_in_turn():
    asked: list[str] = []
    here, there = Stub({"a": 50.0, "b": 6.0}, asked, "here"), Stub({"a": 40.0, "b": 6.0}, asked, "there")
    found = list(against.pairs(here, there, 3, []))
    assert [(row.name, row.here, row.there, row.ratio) for row in found] == [("a", 50, 40, 1.25), ("b", 6, 6, 1)]
    assert asked[4:10] == ["there", "here", "here", "there", "there", "here"]


def test_a_group_that_one_checkout_lacks_is_left_out():
    here, there = Stub({"a": 1.0}, [], "here"), Stub({"a": 1.0}, [], "there")
    there.groups = ["another"]
    assert list(against.pairs(here, there, 1, [])) == []


def test_a_row_that_takes_long_is_run_once():
    asked: list[str] = []
    here, there = (Stub({against.ONCE[0]: 9.0, "only " + name: 1.0}, asked, name) for name in ("here", "there"))
    (row,) = against.pairs(here, there, 3, [])
    assert (row.name, row.ms, asked) == (against.ONCE[0], [(9.0, 9.0)], ["there", "here"])


def test_a_table_without_another_version_is_refused():
    shown: list[str] = []
    assert program.main(["--only", "against", "--quick"], shown.append) == 2
    assert "--before must name a checkout" in shown[-1]


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(RuntimeError, match=r"must (import the package from there|answer)"):
        against.Checkout(tmp_path, tmp_path / "view")
