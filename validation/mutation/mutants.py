"""All mutants of a program: one operator, constant, comparison, condition, call or name is another one or left out."""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from validation.mutation.program import Program

#: What stands for each operator of two operands.
_OPERATORS: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
    ast.BitAnd: (ast.BitOr, ast.BitXor),
}
_ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
_OTHER_ENDS = {"min": "max", "max": "min"}


@dataclass(frozen=True)
class Mutant:
    """One changed program."""

    function: str  #: ``module.function`` that is changed
    line: str  #: the statement that is changed
    before: str  #: the expression in it
    after: str  #: what stands there instead
    time: int  #: 1, or more where the same change was possible before in the statement
    of_name: bool  #: whether a name is changed
    step: Callable[..., Any]

    @property
    def change(self) -> str:
        """The change as one line."""
        return self.to(self.after)

    def to(self, after: str) -> str:
        """The change to `after` of the same place as one line."""
        return f"{self.before} -> {after}{f' ({self.time})' if self.time > 1 else ''}"

    def __str__(self) -> str:
        return f"{self.function}: {self.change}, in: {self.line}"


def mutants(program: Program, names: bool = True) -> Iterator[Mutant]:
    """Every mutant, in the order of the source; with `names` also those in which a name is another argument's."""
    for name, tree in program.functions.items():
        statement, seen = "", Counter[tuple[str, str]]()
        for index, node in enumerate(_nodes(tree)):
            if isinstance(node, ast.stmt):
                statement, seen = ast.unparse(node).partition("\n")[0], Counter()
            for made in (*_instead(node), *(_other_names(node, tree) if names else ())):
                changed = copy.deepcopy(tree)
                target = _nodes(changed)[index]
                _put(changed, target, made)
                before = ast.unparse(node.test) if isinstance(node, ast.If) else ast.unparse(node)
                after = ast.unparse(made.test) if isinstance(made, ast.If) else ast.unparse(made)
                if before == after:  # as the difference of a number and itself, the other way round
                    continue
                seen[before, after] += 1
                step = program.compiled({name: changed})
                yield Mutant(name, statement, before, after, seen[before, after], isinstance(node, ast.Name), step)


def _nodes(tree: ast.FunctionDef) -> list[ast.AST]:
    """The nodes of a function in the order of its source, without its arguments."""
    found: list[ast.AST] = []

    def walk(node: ast.AST) -> None:
        found.append(node)
        for child in ast.iter_child_nodes(node):
            walk(child)

    for statement in tree.body:
        walk(statement)
    return found


def _put(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    """Put a node in the place of another."""
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, field, new)
                return
            if isinstance(value, list) and any(part is old for part in value):
                value[[part is old for part in value].index(True)] = new
                return
    raise AssertionError(ast.dump(old))


def _instead(node: ast.AST) -> Iterator[Any]:
    """The nodes that can stand in the place of one."""
    if isinstance(node, ast.BinOp):
        yield from (ast.BinOp(node.left, other(), node.right) for other in _OPERATORS[type(node.op)])
        yield from (node.left, node.right)
        if isinstance(node.op, ast.Sub):
            yield ast.BinOp(node.right, node.op, node.left)
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, int) and not isinstance(node.value, bool):
        others = {node.value + 1: 0, node.value - 1: 0, 0: 0, -node.value: 0}
        yield from (ast.Constant(value) for value in others if value != node.value)
    elif isinstance(node, ast.Compare):
        yield from _comparisons(node)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        for left_out in range(len(node.values)):
            rest = [value for index, value in enumerate(node.values) if index != left_out]
            yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
    elif isinstance(node, ast.IfExp):
        yield from (node.body, node.orelse)
    elif isinstance(node, ast.If):
        yield from (ast.If(ast.Constant(value), node.body, node.orelse) for value in (True, False))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id in _OTHER_ENDS:
            yield ast.Call(ast.Name(_OTHER_ENDS[node.func.id], ast.Load()), node.args, [])
            yield from node.args
        elif len(node.args) == 1 or node.func.id.endswith("__folded"):
            yield node.args[0]


def _other_names(node: ast.AST, function: ast.FunctionDef) -> Iterator[ast.Name]:
    """The other arguments of the function, where a variable stands."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and "__" not in node.id:
        names = [argument.arg for argument in function.args.args]
        yield from (ast.Name(name, ast.Load()) for name in names if name != node.id)


def _comparisons(node: ast.Compare) -> Iterator[ast.Compare]:
    assert len(node.ops) == 1
    found = type(node.ops[0])
    others: tuple[type[ast.cmpop], ...] = tuple(other for other in _ORDER if other is not found)
    if found in (ast.Is, ast.IsNot):
        others = (ast.IsNot,) if found is ast.Is else (ast.Is,)
    yield from (ast.Compare(node.left, [other()], node.comparators) for other in others)
