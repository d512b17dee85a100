"""The equivalence matrix: its page is what it gives, it explains every cell, and it can fail."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from lavadl_ref.netx import lava_support

pytest.importorskip("torch")
USABLE, WHY = lava_support.available()
if not USABLE:
    pytest.skip(WHY, allow_module_level=True)

from lavadl_ref import verify  # noqa: E402
from lavadl_ref.deployed import reference  # noqa: E402
from tests.support import generate  # noqa: E402
from validation.equivalence import _cells, _networks, matrix  # noqa: E402


@pytest.mark.timeout(1500)
def test_every_cell_is_equal_or_explained_and_on_the_page():
    """A page that is another is written, for the next run and for the next commit.

    Its marks must be the same; counts and footnotes may depend on how a processor rounds what is trained.
    """
    found = matrix.cells()
    assert matrix.differences(found) == []
    assert set(found) == set(matrix.keys())
    for key, cell in found.items():
        assert cell.mark == "=" or (cell.mark == "–" and cell.notes), key
    page = Path(__file__).parents[2] / "docs" / "equivalence.md"
    before, now = page.read_text(encoding="utf-8"), matrix.page(found)
    if before != now:
        page.write_text(now, encoding="utf-8")
    assert rows(before) == rows(now)
    no_place_is_empty(now)


def rows(page):
    """The tables of a page without their numbers."""
    return [re.sub(r"\d", "", line) for line in page.splitlines() if line.startswith("|")]


def no_place_is_empty(page):
    tables = rows(page)
    assert len(tables) > 70
    for row in tables:
        assert all(place.strip() for place in row.strip("|").split("|")), row


# -- it can fail ----------------------------------------------------------------------------------


def marks(option="plain"):
    cell = matrix.cell("cuba", "Dense", option, {})
    return cell.mark, " ".join(cell.differences)


def test_all_paths_agree_where_nothing_is_broken():
    assert marks() == ("=", "")


def test_another_oracle_shows(monkeypatch):
    oracle = generate.oracle

    def other(*arguments, **options):
        records, output = oracle(*arguments, **options)
        records[0]["voltage"][0, -1] += 1
        return records, output

    monkeypatch.setattr(_cells.generate, "oracle", other)
    mark, said = marks()
    assert mark == "≠"
    assert "oracle and reference differ" in said


def test_another_slayer_shows(monkeypatch):
    fire = _networks.blocks.cuba.Dense._fire
    monkeypatch.setattr(_networks.blocks.cuba.Dense, "_fire", lambda block, z: fire(block, z + 1 / 64))
    mark, said = marks()
    assert mark == "≠"
    assert "slayer: layer 0" in said


def test_another_lava_shows(monkeypatch):
    compare = _cells.compare_lava

    def late(report, network, run, x, *arguments, **options):
        return compare(report, network, run, np.roll(x, 1, -1), *arguments, **options)

    monkeypatch.setattr(_cells, "compare_lava", late)
    mark, said = marks()
    assert mark == "≠"
    assert "Lava: layer 0" in said


def test_an_error_without_a_reason_shows(monkeypatch):
    def broken(*arguments, **options):
        raise ValueError("no longer")

    monkeypatch.setattr(reference, "Network", broken)
    assert marks() == ("≠", "ValueError: no longer")


def test_a_refusal_that_no_longer_happens_shows(monkeypatch):
    refusal = _cells.REFUSALS[0]
    never = type(refusal)(ValueError, "needs more", ["Dense"])
    monkeypatch.setattr(_cells, "REFUSALS", (never,))
    assert marks() == ("≠", "is not refused with ValueError: needs more")


def test_an_option_without_a_trace_shows(monkeypatch):
    monkeypatch.setattr(_cells, "without_effect", lambda *key: "leaves none")
    mark, said = marks("shift")
    assert mark == "≠"
    assert "shows in the file" in said


def test_a_path_that_is_skipped_shows(monkeypatch):
    monkeypatch.setattr(verify, "trained", lambda *arguments: verify.Report([], 1))
    mark, said = marks()
    assert mark == "≠"
    assert "slayer: nothing compared" in said
