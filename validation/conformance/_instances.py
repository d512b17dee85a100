"""Attributes of instances: those of lava-dl's are here and can be assigned, or assigning them says why not."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import math
import re
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

from lavadl_ref import exchange, slayer
from validation.conformance._found import Found
from validation.conformance._specimens import BLOCKS, NEURONS, Make, specimens
from validation.conformance._walk import OURS, PARTS, THEIRS, names, own_classes, settable

_TORCH = set(dir(torch.nn.Module()))  # attributes of every module, which nobody has to define


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


def compare_instances(found: Found) -> None:
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
                    compare_attributes(found, path, theirs, ours)
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


def compare_attributes(found: Found, path: str, theirs: Any, ours: Any) -> None:
    for name in _attributes(theirs):
        wanted, given = (getattr(each, name, None) for each in (theirs, ours))
        if hasattr(theirs, name) and hasattr(ours, name) and _plain(wanted):
            same = _plain(given) and _equal(wanted, given)
            found.note("value", f"{path}.{name}", None if same else f"{wanted!r} there, {given!r} here")
        found.note("attribute", f"{path}.{name}", _attribute(found, f"{path}.{name}", theirs, ours, name))
    if isinstance(theirs, torch.nn.Module) and ".object_detection." not in path:  # made of blocks, each compared alone
        for name, child in theirs.named_children():
            part = getattr(ours, name, None)
            if type(child).__module__.startswith(f"{THEIRS}.") and part is not None:
                compare_attributes(found, f"{path}.{name}", child, part)


def _plain(value: Any) -> bool:
    """Tell whether two packages' values can be compared; a text of several lines is for people."""
    return isinstance(value, (bool, int, float, tuple, type(None))) or (isinstance(value, str) and "\n" not in value)


def _equal(wanted: Any, given: Any) -> bool:
    if isinstance(wanted, float) and isinstance(given, (int, float)):
        return math.isclose(wanted, given, rel_tol=1e-6)
    return bool(wanted == given)


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


def compare_constructors(found: Found, theirs: dict[str, ModuleType], ours: dict[str, ModuleType]) -> None:
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
