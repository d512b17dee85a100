"""Every test that docs/errata.md names is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "errata.md").read_text()


def named():
    """(file or folder, test or None) of each row's last column."""
    for row in PAGE.splitlines():
        cells = row.split(" | ")
        if len(cells) != 3 or "`" not in cells[2]:
            continue
        file = None
        for entry in re.findall(r"`([^`]+)`", cells[2]):
            path, _, test = entry.partition("::")
            if path.startswith(("tests/", "validation/")):
                file = path
            else:
                path, test = file, path
            yield path, test or None


CASES = sorted(set(named()), key=str)


def test_every_row_of_the_errata_has_a_test():
    tables = [part for part in PAGE.split("\n## ") if "| shown by |" in part]
    rows = [row for part in tables for row in part.splitlines() if row.startswith("| ") and "shown by" not in row]
    assert len(rows) > 60
    assert [row for row in rows if not re.search(r"`(tests|validation)/[^`]+`[^|]*\|$", row)] == []


@pytest.mark.parametrize(("path", "test"), CASES)
def test_every_test_of_the_errata_is_there(path, test):
    assert (ROOT / path).exists()
    if test is not None:
        tree = ast.parse((ROOT / path).read_text())
        assert test in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
