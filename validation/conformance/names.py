"""Names of lava-dl that this package lacks: by introspection, and the page about them.

python -m validation.conformance.names docs/compatibility.md
"""

from __future__ import annotations

import inspect
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import lavadl_ref.netx  # noqa: F401  prepares lava-nc, which lava-dl's netx is built on
from tests.support import upstream
from validation.conformance._exceptions import EXCEPTIONS, Exception_
from validation.conformance._found import Found
from validation.conformance._instances import compare_constructors, compare_instances
from validation.conformance._walk import (
    OURS,
    THEIRS,
    members,
    mismatch,
    modules,
    names,
    signature,
)

_MISSING = object()


def compare() -> Found:
    """Compare the installed lava-dl with this package."""
    upstream.load_detection()
    found = Found()
    theirs, ours = modules(THEIRS), modules(OURS)
    compared: set[int] = set()
    for path, module in theirs.items():
        found.note("module", path, None if path in ours else "no such module")
        for name, value in names(module, THEIRS).items() if path in ours else ():
            given = getattr(ours[path], name, _MISSING)
            found.note("name", f"{path}.{name}", "missing" if given is _MISSING else None)
            defined_here = getattr(value, "__module__", None) == module.__name__
            if given is not _MISSING and defined_here and callable(value) and id(value) not in compared:
                compared.add(id(value))
                _compare_callable(found, f"{path}.{name}", value, given)
    compare_instances(found)
    compare_constructors(found, theirs, ours)
    return found


def _compare_callable(found: Found, path: str, theirs: Any, ours: Any) -> None:
    wanted = signature(theirs)
    if wanted is not None:
        found.note("signature", path, mismatch(wanted, signature(ours) or []))
    if not inspect.isclass(theirs):
        return
    for name in sorted(members(theirs, THEIRS)):
        given = inspect.getattr_static(ours, name, _MISSING)
        problem = None if hasattr(ours, name) else "missing"  # what only instances have is compared there
        if inspect.isfunction(given) and isinstance(inspect.getattr_static(theirs, name), property):
            problem = "a method, not a property"
        found.note("member", f"{path}.{name}", problem)
        wanted = None if given is _MISSING else signature(theirs, name)
        if wanted is not None:
            other = signature(ours, name)
            problem = "not a function" if other is None else mismatch(wanted, other)
            found.note("signature", f"{path}.{name}", problem)


# -- the page -------------------------------------------------------------------------------------


def unexplained(found: Found, exceptions: tuple[Exception_, ...] = EXCEPTIONS) -> list[str]:
    """Differences that no entry of the table covers."""
    return [
        f"{name}: {problem}"
        for name, problem in sorted(found.differences.items())
        if not any(fnmatchcase(name, pattern) for each in exceptions for pattern in each.patterns)
    ]


def unneeded(found: Found, exceptions: tuple[Exception_, ...] = EXCEPTIONS) -> list[str]:
    """Patterns of the table that cover nothing."""
    return [
        pattern
        for each in exceptions
        for pattern in each.patterns
        if not any(fnmatchcase(name, pattern) for name in found.differences)
    ]


def page(found: Found) -> str:
    """``docs/compatibility.md``."""
    counts = {kind: f"{count:,}" for kind, count in found.counts.items()}
    lines = [_INTRODUCTION.format(**counts), "| what | why | instead |", "| --- | --- | --- |"]
    for each in EXCEPTIONS:
        shown = "; ".join(_pattern(pattern) for pattern in each.patterns)
        lines.append(f"| {shown} | {each.reason} | {each.instead} |")
    return "\n".join([*lines, ""])


def _pattern(pattern: str) -> str:
    kind, _, path = pattern.partition(" ")
    return f"{kind} `{path}`"


_INTRODUCTION = """\
# Compatibility with Lava-DL

`python -m validation.conformance.names docs/compatibility.md` generates this page, and fails if a difference is not in
the table below.

The command compares lava-dl 0.6.0 and this package by introspection. It covers:

- {module} modules of `slayer`, `bootstrap` and `netx`;
- {name} public names: what each module defines, and what its packages export (not what a module imports for itself);
- {member} members of its classes;
- {signature} signatures: names, order and defaults of the parameters; this package may have further parameters after
  them;
- {attribute} attributes of {instance} instances, of their blocks, neurons and synapses: each exists here and can be
  assigned, or assigning it raises an error that says what to do;
- {value} values of these attributes after construction: numbers, words and tuples.

`decolle` provides the names of the plugin lava-dl-decolle, which is not compared.

A name that exists here may still differ in behaviour: [errata.md](errata.md) lists the differences, and has a row for
each exception in this table.
"""


def main() -> int:
    """0 if all differences are in the table, or lava-dl is not installed, which leaves the page as it is."""
    try:
        upstream.load()
    except ImportError as error:
        print(f"the comparison of names needs lava-dl: {error}", file=sys.stderr)
        return 0
    found = compare()
    problems = unexplained(found) + [f"{pattern}: covers no difference" for pattern in unneeded(found)]
    for line in problems:
        print(line, file=sys.stderr)
    if problems:
        return 1
    Path(sys.argv[1]).write_text(page(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
