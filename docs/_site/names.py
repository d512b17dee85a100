"""Public names of the packages: each object once, where users find it, with the other names it goes by.

A module is public if no part of its name begins with an underscore. Public in it is what ``__all__`` lists, what it
defines under a public name, variables with a comment ``#:``, and imports of the form ``X as X``.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from sphinx.pycode import ModuleAnalyzer

PACKAGES = ("lavadl_ref", "lavadl_kernels")


@dataclass
class Found:
    """A public module and what is public in it."""

    module: ModuleType
    documented: list[tuple[str, str, str]] = field(default_factory=list)  #: directives, names, and comments on data
    elsewhere: dict[str, str] = field(default_factory=dict)  #: names, and the full names where they are documented

    @property
    def name(self) -> str:
        """The name of the module."""
        return self.module.__name__

    @property
    def is_package(self) -> bool:
        """Tell whether it contains other modules."""
        return hasattr(self.module, "__path__")


def modules() -> tuple[dict[str, ModuleType], list[str]]:
    """Import the public modules: those that can be imported, and the names of the others."""
    found, missing = {}, []
    waiting = list(PACKAGES)
    while waiting:
        name = waiting.pop(0)
        try:
            found[name] = module = importlib.import_module(name)
        except ImportError:  # of an extra that is not installed, such as Lava
            missing.append(name)
            continue
        below = sorted(info.name for info in pkgutil.iter_modules(getattr(module, "__path__", ())))
        waiting[:0] = [f"{name}.{child}" for child in below if not child.startswith("_")]
    return found, missing


def _own_imports(source: str) -> list[str]:
    """Names that a module imports as themselves, ``X as X``, which makes them public."""
    imports = [node for node in ast.parse(source).body if isinstance(node, ast.ImportFrom)]
    return [alias.name for node in imports for alias in node.names if alias.name == alias.asname]


def _public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Names that are public in a module, with their objects, in the order of the source where it has one."""
    analyzer = ModuleAnalyzer.for_module(module.__name__)
    analyzer.analyze()
    commented = {name for scope, name in analyzer.attr_docs if not scope}
    names = [*getattr(module, "__all__", ()), *_own_imports(analyzer.code), *commented]
    for name, value in vars(module).items():
        callable_ = inspect.isclass(value) or inspect.isroutine(value) or hasattr(value, "py_func")
        if callable_ and getattr(value, "__module__", None) == module.__name__:
            names.append(name)
    order = analyzer.tagorder
    for name in sorted(dict.fromkeys(names), key=lambda name: order.get(name, 0)):
        value = getattr(module, name)
        itself = inspect.ismodule(value) and value.__name__ in (name, f"{module.__name__}.{name}")
        if not name.startswith("_") and not itself:
            yield name, value


def _directive(value: Any) -> str:
    """The directive for an object: of autodoc for classes and functions of ours, "py:data" for all others."""
    if str(getattr(value, "__module__", "")).partition(".")[0] not in PACKAGES:
        return "py:data"
    if inspect.isclass(value):
        return "autoexception" if issubclass(value, BaseException) else "autoclass"
    return "autofunction" if inspect.isroutine(value) or hasattr(value, "py_func") else "py:data"


def _comment(name: str, value: Any) -> str:
    """The comment ``#:`` on a variable, in the module of ours that defines it."""
    if inspect.ismodule(value):
        return f"The module :py:mod:`{value.__name__}`."
    for module in list(sys.modules.values()):
        if module.__name__.partition(".")[0] in PACKAGES and vars(module).get(name) is value:
            lines = ModuleAnalyzer.for_module(module.__name__).find_attr_docs().get(("", name))
            if lines:
                return " ".join(lines).strip()
    return ""


def public() -> tuple[list[Found], dict[str, list[str]], list[str]]:
    """Everything public.

    Returns
    -------
    list of Found
        The modules, in order of their names; packages before what is in them.
    dict of str to list of str
        Other names of objects, by the full name under which each is documented.
    list of str
        Modules that cannot be imported here.
    """
    imported, missing = modules()
    found = {name: Found(module) for name, module in imported.items()}
    paths: dict[tuple[str, int], list[tuple[str, str]]] = {}
    objects = {}
    for name, module in imported.items():
        for entry, value in _public(module):
            shared = inspect.isclass(value) or inspect.isroutine(value) or hasattr(value, "py_func")
            key = (entry, id(value)) if shared or isinstance(value, dict | tuple) else (f"{name}.{entry}", 0)
            paths.setdefault(key, []).append((name, entry))
            objects[key] = value
    others: dict[str, list[str]] = {}
    for key, places in paths.items():
        home = getattr(objects[key], "__module__", None)
        # facades are what users import from; among equals, the module that defines the object
        first, *rest = sorted(places, key=lambda place: (place[0].count("."), place[0] != home, place[0]))
        directive = _directive(objects[key])
        comment = _comment(first[1], objects[key]) if directive == "py:data" else ""
        found[first[0]].documented.append((directive, first[1], comment))
        full = ".".join(first)
        others[full] = [".".join(place) for place in rest]
        for module_name, entry in rest:
            found[module_name].elsewhere[entry] = full
    return list(found.values()), others, missing
