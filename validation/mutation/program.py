"""A family's `step` as one program of plain Python: the source of all functions that it calls, on integers.

What only real numbers run is taken out, as `lavadl_ref.port.translate` does: no integer is an instance of a float type,
and `as_type_of` hands an integer on.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

from lavadl_kernels.fixed_point import as_type_of


class Program:
    """The functions of a step by name, and what they call that is not ours.

    Parameters
    ----------
    step : callable
        The scalar function of a family.

    Attributes
    ----------
    functions : dict of ast.FunctionDef
        By ``module.function``, each without decorators, annotations and docstring; the first one is `step` itself.
    """

    def __init__(self, step: Callable[..., Any]) -> None:
        self.functions: dict[str, ast.FunctionDef] = {}
        self._codes: dict[str, CodeType] = {}
        self.entry = self._add(step)

    def compiled(self, changed: Mapping[str, ast.FunctionDef] | None = None) -> Callable[..., Any]:
        """The step, with other definitions of the functions in `changed`."""
        scope: dict[str, Any] = {}
        for name in self.functions:
            if changed and name in changed:
                code = _code(changed[name])
            else:
                if name not in self._codes:
                    self._codes[name] = _code(self.functions[name])
                code = self._codes[name]
            scope[_mangled(name)] = FunctionType(code, scope)
        made: Callable[..., Any] = scope[_mangled(self.entry)]
        return made

    def _add(self, function: Any) -> str:
        name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        if name in self.functions:
            return name
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        assert isinstance(tree, ast.FunctionDef)
        variables = inspect.getclosurevars(function)
        known = {**vars(builtins), **variables.globals, **variables.nonlocals}
        self.functions[name] = tree  # in its place before those that it calls
        tree.name = _mangled(name)
        tree.decorator_list, tree.returns = [], None
        for argument in tree.args.args:
            argument.annotation = None
        if ast.get_docstring(tree) is not None:
            tree.body = tree.body[1:]
        _OfIntegers(self, known).visit(tree)
        return name

    def called(self, function: FunctionType) -> ast.Name:
        """The name under which the program has a function."""
        return ast.Name(_mangled(self._add(function)), ast.Load())


def _code(tree: ast.FunctionDef) -> CodeType:
    whole = compile(ast.fix_missing_locations(ast.Module([tree], [])), "<mutant>", "exec")
    return next(part for part in whole.co_consts if isinstance(part, CodeType))


def _mangled(name: str) -> str:
    return name.replace(".", "__")


class _OfIntegers(ast.NodeTransformer):
    """Leaves what integers run, and binds names of functions."""

    def __init__(self, program: Program, known: Mapping[str, Any]) -> None:
        self.program, self.known = program, known

    def _value(self, node: ast.expr) -> Any:
        """The value that a name or the attribute of a module stands for; None for a variable."""
        if isinstance(node, ast.Name):
            return self.known.get(node.id)
        if isinstance(node, ast.Attribute) and isinstance(self._value(node.value), ModuleType):
            return getattr(self._value(node.value), node.attr)
        return None

    def visit_Call(self, node: ast.Call) -> ast.expr:
        called = self._value(node.func)
        if called is isinstance:
            return ast.Constant(False)
        if called is as_type_of:
            found: ast.expr = self.visit(node.args[0])
            return found
        self.generic_visit(node)
        return node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        value = self._value(node) if isinstance(node.ctx, ast.Load) else None
        if isinstance(value, FunctionType):
            return self.program.called(value)
        return ast.Constant(value) if isinstance(value, int) else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        return self.program.called(self._value(node))

    def visit_If(self, node: ast.If) -> Any:
        node.test = self.visit(node.test)
        if isinstance(node.test, ast.Constant):
            taken = node.body if node.test.value else node.orelse
            return [self.visit(statement) for statement in taken]
        self.generic_visit(node)
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        node.test = self.visit(node.test)
        if isinstance(node.test, ast.Constant):
            found: ast.expr = self.visit(node.body if node.test.value else node.orelse)
            return found
        self.generic_visit(node)
        return node
