"""A small slice of `validation.robustness.kill`: nothing is left; the time is looked at by the command alone."""

from __future__ import annotations

import random

import pytest

from tests.support.lava import USABLE, WHY
from validation.robustness import kill

pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(not USABLE, reason=WHY),
]
NOTHING = dict.fromkeys(kill.Row().left, 0)


@pytest.mark.parametrize("ending", kill.ENDINGS)
def test_a_run_on_lava_leaves_nothing(ending):
    row = kill.Row()
    for moment in (1.0, 3.0):
        kill.attempt("lava", ending, moment, row)
    assert row.left == NOTHING
    assert all(seconds < kill.NEVER for seconds in row.seconds)


def test_a_process_that_was_killed_is_named_in_time():
    seconds, said = kill.until_noticed(random.Random(1))
    assert "was killed by signal 9 (SIGKILL)" in said
    assert seconds < kill.NEVER


def test_what_is_left_is_counted(monkeypatch):
    code = (
        "import os, tempfile, time; open('.x.part', 'w'); os.mkdir('.hypothesis'); tempfile.mkdtemp(); time.sleep(600)"
    )
    monkeypatch.setitem(kill.COMMANDS, "careless", [kill.sys.executable, "-c", code])
    monkeypatch.setattr(kill.Victim, "files", _files_twice(kill.Victim.files))
    row = kill.Row()
    kill.attempt("careless", "SIGKILL", 5.0, row)
    assert row.left == {**NOTHING, "folders": 1, "parts": 1, "hypothesis": 1}
    assert not row.good


def _files_twice(files):
    """As if there were no part file at first, so that the careless command is not started again."""
    asked = []

    def found(self, pattern):
        asked.append(pattern)
        return [] if asked == ["*.part"] else files(self, pattern)

    return found
