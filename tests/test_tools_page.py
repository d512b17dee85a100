"""The page on tools: its examples run in order, and print what it shows."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout

import pytest

pytest.importorskip("torch")
matplotlib = pytest.importorskip("matplotlib")

from tests.support.tree import ROOT  # noqa: E402

#: A block of code, and what it prints where that is shown behind it.
EXAMPLE = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)


def test_examples_of_the_tools_page_print_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    names: dict[str, object] = {}
    found = EXAMPLE.findall((ROOT / "docs" / "tools.md").read_text())
    assert len(found) == 9
    for code, shown in found:
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(code, "docs/tools.md", "exec"), names)
        assert printed.getvalue() == shown
    assert (tmp_path / "training.png").stat().st_size > 10_000
    matplotlib.pyplot.close("all")
