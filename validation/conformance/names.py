"""What lava-dl names and this package does not: by introspection, and the page about it.

python -m validation.conformance.names docs/compatibility.md
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

import lavadl_ref.netx  # noqa: F401  prepares lava-nc, which lava-dl's netx is built on
from lavadl_ref import exchange, slayer
from validation.conformance import upstream
from validation.conformance._exceptions import EXCEPTIONS, Exception_
from validation.conformance._specimens import BLOCKS, NEURONS, Make, specimens
from validation.conformance._walk import (
    OURS,
    PARTS,
    THEIRS,
    members,
    mismatch,
    modules,
    names,
    own_classes,
    settable,
    signature,
)

_MISSING = object()
_TORCH = set(dir(torch.nn.Module()))  # attributes of every module, which nobody has to define


@dataclass
class Found:
    """What was compared, and how it differs."""

    counts: dict[str, int] = field(default_factory=dict)  #: by kind
    differences: dict[str, str] = field(default_factory=dict)  #: what is missing or other, by kind and name
    refused: dict[str, str] = field(default_factory=dict)  #: the error that assigning an absent attribute raises

    compared: list[str] = field(default_factory=list)  #: names of the attributes

    def note(self, kind: str, name: str, problem: str | None) -> None:
        """Count one comparison, and keep what it came to."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if kind == "attribute":
            self.compared.append(name)
        if problem is not None:
            self.differences[f"{kind} {name}"] = problem


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
    _compare_instances(found)
    _compare_constructors(found, theirs, ours)
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


# -- instances ------------------------------------------------------------------------------------


def packages(root: str) -> SimpleNamespace:
    """The parts of a package."""
    return SimpleNamespace(**{part: importlib.import_module(f"{root}.{part}") for part in PARTS})


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what either package prints, draws or warns of."""
    state = torch.get_rng_state()
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    torch.set_rng_state(state)


def _compare_instances(found: Found) -> None:
    their, our = packages(THEIRS), packages(OURS)
    blocks = {f: [b for b in BLOCKS if hasattr(getattr(their.slayer.block, f), b)] for f in NEURONS}
    with tempfile.TemporaryDirectory() as folder:
        net = str(Path(folder) / "x.net")
        dense = [slayer.block.cuba.Dense(NEURONS["cuba"], 4, 4) for _ in range(2)]
        exchange.write(net, exchange.Network(tuple(block.describe() for block in dense)))
        for path, make in specimens(blocks, net).items():
            with _quietly():
                theirs = _made(make, their)
                if isinstance(theirs, Exception):
                    continue  # theirs cannot be made, so nobody holds one
                ours = _made(make, our)
                found.note("instance", path, repr(ours) if isinstance(ours, Exception) else None)
                if not isinstance(ours, Exception):
                    _compare_attributes(found, path, theirs, ours)
                    for name in {p.rpartition(".")[2] for p in found.differences if p.startswith(f"member {path}.")}:
                        if hasattr(ours, name):
                            del found.differences[f"member {path}.{name}"]


def _made(make: Make, of: SimpleNamespace) -> Any:
    try:
        return make(of)
    except Exception as error:
        return error


def _attributes(theirs: Any) -> list[str]:
    """Public attributes that assigning to is possible: an instance's own, and properties with a setter."""
    own = set(vars(theirs)) | settable(type(theirs), THEIRS)
    if isinstance(theirs, torch.nn.Module):
        parts = (theirs.named_parameters, theirs.named_buffers)
        own |= {name for each in parts for name, _ in each(recurse=False)}
        own |= {name for name, _ in theirs.named_children()}
        own |= {name for held in (theirs._parameters, theirs._buffers) for name in held}
        own -= _TORCH
    for base in type(theirs).__mro__:  # what lava-nc gives every process is not lava-dl's
        if base.__module__.startswith("lava.magma"):
            own &= _all_assigned(type(theirs))
            break
    return sorted(name for name in own if not name.startswith("_"))


def _text(cls: type) -> str:
    try:
        return inspect.getsource(cls)
    except OSError:
        return ""  # a class that is made when its module is imported


def _assigned(cls: type) -> set[str]:
    """Attributes that the methods of `cls` assign, by their text."""
    targets = re.findall(r"^ *(self\.[\w., ]+?)(?::[^=\n]+)? = ", _text(cls), re.MULTILINE)
    return {name for target in targets for name in re.findall(r"self\.(\w+)", target)}


def _all_assigned(cls: type) -> set[str]:
    """The public ones among those of lava-dl's own classes that `cls` is made of."""
    own = list(own_classes(cls, THEIRS))
    deleted = {name for base in own for name in re.findall(r"\bdel self\.(\w+)", _text(base))}
    return {name for base in own for name in _assigned(base) if not name.startswith("_")} - deleted


def _compare_attributes(found: Found, path: str, theirs: Any, ours: Any) -> None:
    for name in _attributes(theirs):
        found.note("attribute", f"{path}.{name}", _attribute(found, f"{path}.{name}", theirs, ours, name))
    if isinstance(theirs, torch.nn.Module) and ".object_detection." not in path:  # made of blocks, each compared alone
        for name, child in theirs.named_children():
            part = getattr(ours, name, None)
            if type(child).__module__.startswith(f"{THEIRS}.") and part is not None:
                _compare_attributes(found, f"{path}.{name}", child, part)


def _attribute(found: Found, path: str, theirs: Any, ours: Any, name: str) -> str | None:
    """Assign to `ours` what it has, or what `theirs` has: it takes it, or says why not."""
    present = hasattr(ours, name)
    try:
        setattr(ours, name, getattr(ours if present else theirs, name))
    except (AttributeError, TypeError, ValueError, NotImplementedError) as error:
        if re.search(r"no setter|can't set", str(error)):
            return "cannot be assigned, which nothing explains"
        found.refused[path] = str(error)
        return None
    return None if present else "missing, and assigning it is taken without a word"


def _compare_constructors(found: Found, theirs: dict[str, ModuleType], ours: dict[str, ModuleType]) -> None:
    """Attributes of classes that there is no instance of: those that their constructors assign."""
    seen = {name.rpartition(".")[0] for name in found.compared}
    for path, module in theirs.items():
        for name, cls in names(module, THEIRS).items() if path in ours else ():
            given = getattr(ours[path], name, None)
            own = inspect.isclass(cls) and cls.__module__ == module.__name__ and not name.startswith("Abstract")
            if not own or not inspect.isclass(given) or f"{path}.{name}" in seen:
                continue
            have = {a for base in own_classes(given, OURS) for a in _assigned(base)}
            for attribute in sorted(_all_assigned(cls)):
                there = attribute in have or hasattr(given, attribute)
                found.note("attribute", f"{path}.{name}.{attribute}", None if there else "missing")


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

Made by `python -m validation.conformance.names docs/compatibility.md`, which fails where a difference is not in the
table below.

By introspection of lava-dl 0.6.0 and of this package, these were compared:

- {module} modules of `slayer`, `bootstrap` and `netx`;
- {name} public names: what each module defines, and what its packages export (not what a module imports for itself);
- {member} members of its classes;
- {signature} signatures: names, order and defaults of the parameters; here there may be more behind them;
- {attribute} attributes of {instance} instances, of their blocks, neurons and synapses: each is here and can be
  assigned, or assigning it raises an error that says what to do.

That a name is here does not mean that it does the same in every detail: [errata.md](errata.md) has the differences, and
a row for each exception in this table.

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
