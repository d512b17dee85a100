"""The public surface of a package by introspection: its modules, what each defines, members and signatures."""

from __future__ import annotations

import contextlib
import enum
import importlib
import inspect
import io
import pkgutil
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch

PARTS = ("slayer", "bootstrap", "netx")
THEIRS, OURS = "lava.lib.dl", "lavadl_ref"
_ANY = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


def modules(root: str) -> dict[str, ModuleType]:
    """Every public module of `PARTS`, by its name below `root`."""
    found: dict[str, ModuleType] = {}

    def add(name: str) -> None:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module(f"{root}.{name}")
        found[name] = module
        for inner in pkgutil.iter_modules(getattr(module, "__path__", [])):
            if not inner.name.startswith("_"):
                add(f"{name}.{inner.name}")

    for part in PARTS:
        add(part)
    return found


def names(module: ModuleType, root: str) -> dict[str, Any]:
    """Everything that `module` defines or a package takes from its own modules, by public name."""
    package = hasattr(module, "__path__")
    found = {}
    for name, value in vars(module).items():
        if name.startswith("_"):
            continue
        if inspect.ismodule(value):
            wanted = package and value.__name__.startswith(f"{root}.")
        elif inspect.isclass(value) or inspect.isfunction(value):
            wanted = value.__module__ == module.__name__ or (package and value.__module__.startswith(f"{root}."))
        else:  # a constant; what else there is comes from elsewhere
            wanted = isinstance(value, (bool, int, float, str, tuple, list, dict, type(None)))
        if wanted:
            found[name] = value
    return found


def own_classes(cls: type, root: str) -> Iterator[type]:
    """`cls` and its ancestors that are `root`'s own."""
    return (base for base in cls.__mro__ if base.__module__.startswith(f"{root}."))


def members(cls: type, root: str) -> set[str]:
    """Public methods, properties and constants that the package's own classes define.

    ``forward`` and ``backward`` of functions for autograd are called by torch alone.
    """
    found = {name for base in own_classes(cls, root) for name in vars(base) if not name.startswith("_")}
    return found - {"forward", "backward"} if issubclass(cls, torch.autograd.Function) else found


def settable(cls: type, root: str) -> set[str]:
    """Properties with a setter."""
    found = {name: getattr(cls, name, None) for name in members(cls, root)}
    return {name for name, value in found.items() if isinstance(value, property) and value.fset is not None}


def signature(value: Any, member: str | None = None) -> list[inspect.Parameter] | None:
    """Parameters of a function, of a class's construction, or of a member; None where there is no own signature."""
    if member is not None:
        raw = inspect.getattr_static(value, member)
        function = raw.__func__ if isinstance(raw, (staticmethod, classmethod)) else raw
        if not inspect.isfunction(function):
            return None
        found = list(inspect.signature(function).parameters.values())
        return found if isinstance(raw, staticmethod) else found[1:]
    if not inspect.isclass(value):
        return list(inspect.signature(value).parameters.values())
    if issubclass(value, enum.Enum):
        return None
    for base in value.__mro__:
        if "__signature__" in vars(base):
            return list(vars(base)["__signature__"].parameters.values())
        init = vars(base).get("__init__")
        if not inspect.isfunction(init):
            continue
        found = list(inspect.signature(init).parameters.values())[1:]
        if not {p.kind for p in found} <= _ANY:
            return found
    return None


def mismatch(theirs: list[inspect.Parameter], ours: list[inspect.Parameter]) -> str | None:
    """The reason why a call that fits `theirs` does not fit `ours`, or means something else."""
    for position, wanted in enumerate(theirs):
        given = ours[position] if position < len(ours) else None
        if given is None or given.name != wanted.name or given.kind != wanted.kind:
            return f"{_shown(theirs)} there, {_shown(ours)} here"
        if wanted.kind not in _ANY and not _same(wanted.default, given.default):
            return f"{wanted.name}={wanted.default!r} there, {given.default!r} here"
    for extra in ours[len(theirs) :]:
        if extra.default is inspect.Parameter.empty and extra.kind not in _ANY:
            return f"{_shown(theirs)} there, {_shown(ours)} here"
    return None


def _shown(parameters: list[inspect.Parameter]) -> str:
    return f"({', '.join(str(p.replace(annotation=p.empty)) for p in parameters)})"


def _same(wanted: Any, given: Any) -> bool:
    """Tell whether two defaults mean the same: numbers and containers by value, what a package defines by its name."""
    if isinstance(wanted, enum.Enum) or inspect.isclass(wanted) or inspect.isfunction(wanted):
        return getattr(wanted, "__name__", str(wanted)) == getattr(given, "__name__", str(given))
    if isinstance(wanted, (list, tuple)) and isinstance(given, (list, tuple)):
        return len(wanted) == len(given) and all(map(_same, wanted, given))
    if isinstance(wanted, torch.device):
        return wanted == torch.device(given)
    return type(wanted) in (type(given), int, float) and bool(wanted == given)
