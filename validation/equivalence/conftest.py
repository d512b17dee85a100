"""What was compared, as a table at the end of the run."""

from __future__ import annotations

from collections import Counter

import pytest

_TABLE = pytest.StashKey[dict[str, Counter]]()


def pytest_configure(config):
    config.stash.setdefault(_TABLE, {})


@pytest.fixture
def compared(request):
    """Count networks and integers that two paths agreed on: ``compared(path, path, integers)``."""

    def count(left, right, integers, networks=1):
        row = request.config.stash[_TABLE].setdefault(f"{left} = {right}", Counter())
        row["networks"] += networks
        row["integers"] += integers

    return count


def pytest_terminal_summary(terminalreporter, config):
    if config.stash[_TABLE]:
        terminalreporter.section("equal integers")
        terminalreporter.write_line(f"{'paths':<36}{'networks':>10}{'integers':>14}")
        for paths, row in sorted(config.stash[_TABLE].items()):
            terminalreporter.write_line(f"{paths:<36}{row['networks']:>10}{row['integers']:>14,}")
