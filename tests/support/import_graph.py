"""The import graph of the product: which module imports which, rooms and arrows between them, and circles."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

Graph = Mapping[str, set[str]]


def imported(module: str, source: str, is_package: bool, modules: Iterable[str]) -> set[str]:
    """Modules among `modules` that a module imports: at its top, within functions, and for type checking alike."""
    known = set(modules)
    package = module if is_package else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in known}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                anchor = package.split(".")
                base = ".".join([*anchor[: len(anchor) - node.level + 1], *filter(None, [base])])
            for alias in node.names:
                name = f"{base}.{alias.name}"
                found |= {name if name in known else base} & known
    return found - {module}


def graph(modules: Mapping[str, Path]) -> dict[str, set[str]]:
    """The import graph of `modules`, a path for each name."""
    return {
        name: imported(name, path.read_text(), path.name == "__init__.py", modules) for name, path in modules.items()
    }


def circles(edges: Graph) -> list[list[str]]:
    """Groups of nodes that reach each other: strongly connected components of two nodes and more (Tarjan)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(edges):
        if node not in order:
            visit(node)
    return sorted(found)


def arrows(edges: Graph, top: str) -> dict[str, set[str]]:
    """Arrows between the rooms of the package `top`, its files and folders; its own ``__init__`` is none."""

    def room(module: str) -> str:
        return module.removeprefix(top + ".").partition(".")[0] if module.startswith(top + ".") else ""

    found: dict[str, set[str]] = {room(module): set() for module in edges if room(module)}
    for module, others in edges.items():
        for other in others:
            if room(module) and room(other) and room(module) != room(other):
                found[room(module)].add(room(other))
    return found
