"""The folder of recorded data, the order and the Hypothesis profile are those of the tests.

What was compared, and what tests have to say, is shown at the end of the run, whichever worker ran them.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from tests.support.plugin import data, pytest_collection_modifyitems, pytest_runtest_logfinish

__all__ = ["data", "pytest_collection_modifyitems", "pytest_runtest_logfinish"]


@pytest.fixture
def compared(record_property):
    """Count networks and integers that two paths agreed on: ``compared(path, path, integers)``."""

    def count(left, right, integers, networks=1):
        record_property("compared", (f"{left} = {right}", int(networks), int(integers)))

    return count


@pytest.fixture
def say(record_property):
    """Show a line at the end of the run: ``say(text)``."""
    return lambda text: record_property("said", text)


def pytest_terminal_summary(terminalreporter):
    table = defaultdict(Counter)
    said = []
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties if report.when == "call" else ():
            if name == "said":
                said.append(value)
            elif name == "compared":
                table[value[0]].update(networks=value[1], integers=value[2])
    if said:
        terminalreporter.section("compared with lava-dl")
        terminalreporter.write("".join(f"{line}\n" for line in said))
    if table:
        terminalreporter.section("equal integers")
        terminalreporter.write_line(f"{'paths':<36}{'networks':>10}{'integers':>14}")
        for paths, row in sorted(table.items()):
            terminalreporter.write_line(f"{paths:<36}{row['networks']:>10}{row['integers']:>14,}")
