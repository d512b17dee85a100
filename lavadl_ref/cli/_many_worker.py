"""A process of a command on many files: runs it on each file that it reads, and answers with one line of JSON."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Any

import typer
from rich.console import Console

from lavadl_ref import _ending
from lavadl_ref.cli import main as commands


def answer(file: str, command: dict[str, Any]) -> tuple[int, str, str]:
    """Exit status of a command on `file`, what it printed, and its notes and errors."""
    out, err = io.StringIO(), io.StringIO()
    plain: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False, "legacy_windows": False}
    commands.console = Console(file=out, **command["screen"], **plain)
    commands.errors = Console(file=err, force_terminal=False, **plain)
    status = 0
    try:
        getattr(commands, command["name"])([file, *command["behind"]], **command["options"])
    except typer.Exit as ended:
        status = ended.exit_code
    return status, out.getvalue(), err.getvalue()


def main() -> None:
    """Answer until there is no more to read."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is written does not get between the answers
    with _ending.unwound_by_signals(to_the_end=True):
        for line in sys.stdin:
            print(json.dumps(answer(*json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
