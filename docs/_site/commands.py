"""The page of the commands: what ``lavadl-ref COMMAND --help`` says, as reStructuredText."""

from __future__ import annotations

import re
from typing import Any

import typer

from lavadl_ref.cli.main import app

BEFORE = """Commands
========

``lavadl-ref COMMAND --help`` shows the same in a terminal. `Usage <../usage.html#commands>`__ has all
commands in one table, and the exit statuses.
"""


def _escaped(text: str) -> str:
    """Text as reStructuredText: nothing in it is markup."""
    return re.sub(r"([\\*`|_])", r"\\\1", " ".join(text.split()))


def _argument(parameter: Any) -> list[str]:
    """The lines about an argument or option."""
    name = ", ".join([*parameter.opts, *parameter.secondary_opts])
    if isinstance(parameter, typer.core.TyperArgument):
        name = parameter.metavar or (parameter.name or "").upper()
    elif not getattr(parameter, "is_flag", False) and parameter.metavar:
        name += f" {parameter.metavar}"
    said = _escaped(getattr(parameter, "help", None) or "")
    if parameter.default not in (None, False, True, ()) and not callable(parameter.default):
        said += f" Default: ``{parameter.default}``."
    return [f"``{name}``", f"   {said}", ""]


def page() -> str:
    """The page."""
    group: Any = typer.main.get_command(app)
    lines = [BEFORE]
    for name, command in group.commands.items():
        title = f"lavadl-ref {name}"
        lines += [f".. _command-{name}:", "", title, "-" * len(title), ""]
        lines += [f"{_escaped(paragraph)}\n" for paragraph in (command.help or "").split("\n\n")]
        if command.epilog:
            first, _, example = command.epilog.partition("lavadl-ref ")
            lines += [f"{first.strip()}:", ""]
            lines += [f"   lavadl-ref {example}", ""]
        for parameter in command.params:
            lines += _argument(parameter)
    return "\n".join(lines)
