"""A family's `step` as a function of C: the formula stays written once, in the kernels.

`Translator.function` takes the Python source of a scalar function, and of all functions that it calls, and gives a
static C99 function over ``int64_t`` for each.  Python's integers have no width and those of C do, so that what a number
beyond 64 bits could reach is not translated but written out in `PRIMITIVES`: shifts and folds, which go through
unsigned numbers, in which C defines every result.  Everything else that a `step` does with states of 32 bits, decays
of 13 and biases of 50 stays below 2**63.

Translated are assignments, conditions, comparisons, sums, products, shifts, tuples, and calls.  Truth values and None
that are known, as that the device's widths are on, are carried through: their branches are gone before C sees them.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any, Union

from lavadl_kernels.fixed_point import as_type_of, wrap32

KEYWORDS = frozenset(
    {
        *("auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern"),
        *("float", "for", "goto", "if", "inline", "int", "long", "register", "restrict", "return", "short", "signed"),
        *("sizeof", "static", "struct", "switch", "typedef", "union", "unsigned", "void", "volatile", "while"),
    }
)


class Untranslatable(NotImplementedError):
    """A function that has no translation to C; the message names it, the line, and the reason."""


@dataclass(frozen=True)
class Expression:
    """An expression of C."""

    text: str
    rank: int = 0  #: how loosely it binds, see `_RANKS`: 0 for a name, a number or a call
    truth: bool = False  #: whether it is 0 or 1, an ``int``, instead of an ``int64_t``

    @property
    def kind(self) -> str:
        """Its type."""
        return "int" if self.truth else "int64_t"


@dataclass(frozen=True)
class Known:
    """A value that is known while C is written."""

    value: Any  #: int, bool, None, a function or a module


@dataclass(frozen=True)
class Result:
    """A call of a function that returns a structure."""

    text: str
    function: Translated


Value = Union[Expression, Known, Result, "tuple[Value, ...]"]


@dataclass(frozen=True)
class Translated:
    """A translated function."""

    name: str
    text: str  #: its definition, with a structure for several results before it
    fields: tuple[str, ...]  #: names of the results, () where there is one
    truths: tuple[bool, ...]  #: for each result whether it is a truth value


#: How loosely operators bind in C, as far as it matters here.
_RANKS = {"*": 1, "+": 2, "-": 2, "<": 4, "<=": 4, ">": 4, ">=": 4, "==": 5, "!=": 5, "&": 6, "|": 7, "&&": 8, "||": 9}
_UNARY, _CONDITIONAL = 1, 10
#: Names of results that have none of their own.
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
WIDTH = 100  #: columns of the text that is written
_OPERATORS: Mapping[type, str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.BitAnd: "&", ast.BitOr: "|",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
#: Functions that are written out: their definitions, each with the names of those that it calls.
PRIMITIVES: Mapping[str, str] = {
    "wrap32": """\
/* The signed 32-bit integer congruent to value modulo 2^32. */
static int64_t wrap32(int64_t value)
{
    /* turning the sign bit over adds 2^31 modulo 2^32, which is taken off again */
    return (int64_t)((uint32_t)value ^ UINT32_C(0x80000000)) - INT64_C(0x80000000);
}
""",
    "shift_left": """\
/* value * 2^bits, of which 64 bits are kept. */
static int64_t shift_left(int64_t value, int64_t bits)
{
    const uint64_t shifted = (uint64_t)value << bits;
    return shifted <= INT64_MAX ? (int64_t)shifted : -(int64_t)(UINT64_MAX - shifted) - 1;
}
""",
    "shift_right": """\
/* value / 2^bits, rounded down: C leaves open what >> makes of negative numbers. */
static int64_t shift_right(int64_t value, int64_t bits)
{
    return value >= 0 ? value >> bits : -1 - ((-1 - value) >> bits);
}
""",
    "smaller": """\
static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
""",
    "larger": """\
static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}
""",
    "magnitude": """\
static int64_t magnitude(int64_t value)
{
    return value < 0 ? -value : value;
}
""",
}
#: Functions of Python and of the kernels that are calls of primitives.
_WRITTEN_OUT: Mapping[Any, str] = {wrap32: "wrap32", min: "smaller", max: "larger", abs: "magnitude"}


def literal(value: int) -> Expression:
    """An integer as an expression of C: of the least type that holds it, whatever the width of ``int``."""
    if -(2**15) < value < 2**15:
        return Expression(str(value), 0 if value >= 0 else _UNARY)
    if -(2**31) < value < 2**31:
        return Expression(f"INT32_C({value})")
    if not -(2**63) < value < 2**63:
        raise Untranslatable(f"an integer must have 64 bits in C, got {value}")
    return Expression(f"INT64_C({value})")


def _operand(value: Expression, above: int) -> str:
    """An operand of an operator that binds as `above`, in parentheses where the reader or C needs them."""
    return f"({value.text})" if value.rank >= above else value.text


def identifier(name: str) -> str:
    """A name of Python as one of C."""
    name = name.lstrip("_") or "x"
    return f"{name}_" if name in KEYWORDS else name


@dataclass
class Translator:
    """The functions that were translated so far, in the order in which C wants them."""

    taken: set[str] = field(default_factory=lambda: {"clear"})  #: names that are no longer free
    told: set[str] = field(default_factory=set)  #: modules whose recurrence a comment has
    functions: list[Translated] = field(default_factory=list)
    primitives: dict[str, None] = field(default_factory=dict)  #: those that are called
    _known: dict[tuple[Any, ...], Translated] = field(default_factory=dict)
    _open: list[Any] = field(default_factory=list)

    def function(
        self,
        function: Callable[..., Any],
        arguments: Sequence[Value],
        *,
        name: str | None = None,
        fields: Sequence[str] = (),
        comment: str | None = None,
    ) -> Translated:
        """The translation of `function` for arguments like these, made at the first call.

        Parameters
        ----------
        function : callable
            A Python function of scalars.
        arguments : sequence of Value
            One for each parameter; what is known, and whether it is a truth value, decides about the translation.
        name : str, optional
            Its name in C; by default that in Python.
        fields : sequence of str
            Names of its results, where there are several; by default those of the variables that it returns.
        comment : str, optional
            In front of it; by default the first line of its docstring.

        Raises
        ------
        Untranslatable
            If it does something that has no translation.
        """
        if not isinstance(function, FunctionType):
            raise Untranslatable(f"what is called must be a function of Python, got {function!r}")
        key = (function, tuple(map(_signature, arguments)))
        if key not in self._known:
            if function in self._open:
                raise Untranslatable(f"{function.__name__} calls itself, which C on a small machine must not")
            self._open.append(function)
            wanted = identifier(name or function.__name__)
            made = _Body(self, function, arguments).translate(self._free(wanted), fields, comment)
            self._open.pop()
            self.functions.append(made)
            self._known[key] = made
        return self._known[key]

    def about(self, function: Callable[..., Any]) -> str:
        """The first line of a docstring, and once for each module the recurrence that its docstring has."""
        first = (inspect.getdoc(function) or function.__name__).partition("\n")[0]
        module = function.__module__
        found = recurrence(inspect.getdoc(sys.modules.get(module)) or "")
        if not found or module in self.told:
            return first
        self.told.add(module)
        return f"{first}\n\n{found}"

    def primitive(self, name: str, *arguments: Expression) -> Expression:
        """A call of a primitive."""
        self.primitives[name] = None
        return Expression(f"{name}({', '.join(argument.text for argument in arguments)})")

    def definitions(self) -> str:
        """The text of all primitives and functions that are called."""
        written = [text for name, text in PRIMITIVES.items() if name in self.primitives]
        return "\n".join([*written, *(function.text for function in self.functions)])

    def _free(self, wanted: str) -> str:
        name, number = wanted, 2
        while name in self.taken or name in PRIMITIVES:
            name, number = f"{wanted}_{number}", number + 1
        self.taken.add(name)
        return name


def _signature(value: Value) -> Any:
    """The part of an argument that decides about a translation."""
    if isinstance(value, tuple):
        return tuple(map(_signature, value))
    if isinstance(value, Known):
        # numbers are passed as they are: one function serves all of them
        return ("known", value.value) if value.value is None or isinstance(value.value, bool) else False
    return isinstance(value, Expression) and value.truth


def _is_static(value: Value) -> bool:
    return isinstance(value, Known) and (value.value is None or isinstance(value.value, bool))


def pass_on(values: Sequence[Value]) -> list[Expression]:
    """The arguments of a call in C: tuples one by one, and nothing that is known by its type."""
    found: list[Expression] = []
    for value in values:
        if isinstance(value, tuple):
            found += pass_on(value)
        elif isinstance(value, Known) and not _is_static(value):
            found.append(literal(int(value.value)))
        elif isinstance(value, Expression):
            found.append(value)
    return found


class _Body:
    """The translation of one function."""

    def __init__(self, translator: Translator, function: FunctionType, arguments: Sequence[Value]) -> None:
        self.translator = translator
        self.function = function
        try:
            source = textwrap.dedent(inspect.getsource(function))
        except (OSError, TypeError):
            raise Untranslatable(f"{function.__name__} must have its source at hand, got none") from None
        tree = ast.parse(source).body[0]
        if not isinstance(tree, ast.FunctionDef):
            raise Untranslatable(f"{function.__name__} must be defined with def, got another form")
        self.tree = tree
        names = [argument.arg for argument in tree.args.args]
        if len(names) != len(arguments) or tree.args.vararg or tree.args.kwonlyargs:
            raise Untranslatable(f"{function.__name__} must be called with its {len(names)} arguments by position")
        self.scope: dict[str, Value] = {}
        self.parameters: list[tuple[str, Expression]] = []
        for name, value in zip(names, arguments, strict=True):
            self.scope[name] = self._parameter(identifier(name), value)
        self.declared = {name for name, _ in self.parameters}
        self.changing = {identifier(name) for name in _assigned(tree)}
        self.lines: list[str] = []
        self.returned: list[tuple[Value, ...] | Value] = []
        self.results: list[tuple[int, int]] = []  # index of a return's line, and its indent
        self.used: set[str] = set()
        self.temporaries = 0

    def _parameter(self, name: str, value: Value) -> Value:
        if isinstance(value, tuple):
            return tuple(self._parameter(f"{name}_{i}", part) for i, part in enumerate(value))
        if _is_static(value):
            return value
        made = Expression(name, truth=isinstance(value, Expression) and value.truth)
        self.parameters.append((name, made))
        return made

    def refuse(self, node: ast.AST, why: str) -> Untranslatable:
        """The error for something that has no translation."""
        file, line = inspect.getsourcefile(self.function), self.function.__code__.co_firstlineno
        where = f"{(file or '').rpartition('/')[2]}:{line + getattr(node, 'lineno', 1) - 1}"
        return Untranslatable(f"{self.function.__name__} cannot become C: {why} ({where}: {ast.unparse(node)})")

    # -- statements ---------------------------------------------------------------------------------

    def translate(self, name: str, fields: Sequence[str], comment: str | None) -> Translated:
        """The function, under `name`."""
        if not self.block(self.tree.body, 1):
            raise self.refuse(self.tree, "it must end with return")
        several = [value for value in self.returned if isinstance(value, tuple)]
        if several and len({len(value) for value in several}) + (len(several) < len(self.returned)) > 1:
            raise self.refuse(self.tree, "it must always return the same number of values")
        arguments = ", ".join(f"{value.kind} {name}" for name, value in self.parameters) or "void"
        head = comment_of(self.translator.about(self.function) if comment is None else comment)
        if several:
            truths = tuple(all(_truth(value[i]) for value in several) for i in range(len(several[0])))
            fields = tuple(fields) or self._fields(several)
            members = "".join(
                f"    {'int' if truth else 'int64_t'} {member};\n" for member, truth in zip(fields, truths, strict=True)
            )
            structure = f"struct {name}_result {{\n{members}}};\n\n"
            for (index, indent), value in zip(self.results, self.returned, strict=True):
                assert isinstance(value, tuple)
                pad = "    " * indent
                pairs = zip(fields, value, strict=True)
                lines = [f"result.{member} = {self.text(part)};" for member, part in pairs]
                self.lines[index] = "\n".join(
                    pad + line for line in (f"struct {name}_result result;", *lines, "return result;")
                )
            kind = f"struct {name}_result"
        else:
            truths = (all(_truth(value) for value in self.returned),)
            fields, structure, kind = (), "", "int" if truths[0] else "int64_t"
            for (index, indent), value in zip(self.results, self.returned, strict=True):
                self.lines[index] = f"{'    ' * indent}return {self.text(value)};"
        unused = "".join(f"    (void){name};\n" for name, _ in self.parameters if name not in self.used)
        body = "\n".join(self.lines)
        text = folded(f"{structure}{head}static {kind} {name}({arguments})\n{{\n{unused}{body}\n}}\n")
        return Translated(name, text, tuple(fields), truths)

    def _fields(self, returned: Sequence[tuple[Value, ...]]) -> tuple[str, ...]:
        """Names of results: those of the variables that are returned, where they have one."""
        names: list[str] = []
        for i in range(len(returned[0])):
            found = [part.text for part in (value[i] for value in returned) if isinstance(part, Expression)]
            named = [text for text in found if text.isidentifier()]
            names.append(named[-1] if named and named[-1] not in names else _ORDINALS[i])
        return tuple(names)

    def block(self, statements: Sequence[ast.stmt], indent: int) -> bool:
        """Translate statements; True where they surely return."""
        for statement in statements:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue
            if isinstance(statement, ast.Return):
                self.give(statement, indent)
                return True
            if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                self.assign(statement.targets[0], statement.value, indent)
            elif isinstance(statement, ast.AugAssign):
                value = ast.BinOp(_loaded(statement.target), statement.op, statement.value)
                self.assign(statement.target, ast.copy_location(value, statement), indent)
            elif isinstance(statement, ast.If):
                if self.branch(statement, indent):
                    return True
            elif not isinstance(statement, (ast.Pass, ast.Assert)):
                raise self.refuse(statement, f"{type(statement).__name__} has no translation")
        return False

    def branch(self, statement: ast.If, indent: int) -> bool:
        test = self.value(statement.test)
        if isinstance(test, Known):
            return self.block(statement.body if test.value else statement.orelse, indent)
        pad = "    " * indent
        for name in _assigned(statement):
            if identifier(name) not in self.declared:
                raise self.refuse(statement, f"{name} must have a value before it is given one under a condition")
        self.lines.append(f"{pad}if ({self.text(test)}) {{")
        before = dict(self.scope)
        first = self.block(statement.body, indent + 1)
        self._same_kinds(statement, before)
        second = False
        if statement.orelse:
            self.scope = dict(before)
            self.lines.append(f"{pad}}} else {{")
            second = self.block(statement.orelse, indent + 1)
            self._same_kinds(statement, before)
        self.lines.append(f"{pad}}}")
        self.scope = before
        return first and second

    def _same_kinds(self, node: ast.AST, before: Mapping[str, Value]) -> None:
        for name, value in before.items():
            if self.scope.get(name) != value:
                raise self.refuse(node, f"{name} must keep its kind under a condition")

    def give(self, statement: ast.Return, indent: int) -> None:
        if statement.value is None:
            raise self.refuse(statement, "it must return a value")
        value = self.value(statement.value)
        if isinstance(value, Result):
            value = self.unpacked(value, indent)
        self.returned.append(value)
        self.results.append((len(self.lines), indent))
        self.lines.append("")

    def assign(self, target: ast.expr, given: ast.expr, indent: int) -> None:
        value = self.value(given)
        if isinstance(target, ast.Name):
            if isinstance(value, (tuple, Known)) and not self.assigned_under_condition(indent):
                self.scope[target.id] = value if isinstance(value, Known) else self.held(value, indent)
                return
            if isinstance(value, Result):
                self.scope[target.id] = self.unpacked(value, indent)
                return
            self.store(target.id, self.expression(value, given), indent)
            return
        if not isinstance(target, ast.Tuple) or not all(isinstance(part, ast.Name) for part in target.elts):
            raise self.refuse(target, "only names can be assigned to")
        if isinstance(value, Result):
            value = self.unpacked(value, indent)
        if not isinstance(value, tuple) or len(value) != len(target.elts):
            raise self.refuse(target, "it must be given as many values as there are names")
        names = [part.id for part in target.elts if isinstance(part, ast.Name)]
        if isinstance(given, ast.Tuple) and any(
            name in _names_in(later) for n, name in enumerate(names) for later in given.elts[n + 1 :]
        ):
            # a name must not change before the others have been read
            value = tuple(self.held(part, indent, always=True) for part in value)
        for name, part in zip(names, value, strict=True):
            if name == "_":
                continue
            if isinstance(part, (tuple, Known)) and not self.assigned_under_condition(indent):
                self.scope[name] = part
            else:
                self.store(name, self.expression(part, given), indent)

    @staticmethod
    def assigned_under_condition(indent: int) -> bool:
        return indent > 1

    def store(self, name: str, value: Expression, indent: int) -> None:
        """Assign to a variable, and declare it where it is new."""
        pad, written = "    " * indent, identifier(name)
        if written in self.declared:
            held = self.scope.get(name)
            truth = held.truth if isinstance(held, Expression) else value.truth
            if truth and not value.truth:
                raise Untranslatable(f"{self.function.__name__} cannot become C: {name} must stay a truth value")
            self.lines.append(f"{pad}{written} = {value.text};")
            value = Expression(written, truth=truth)
        else:
            self.declared.add(written)
            self.lines.append(f"{pad}{value.kind} {written} = {value.text};")
        self.scope[name] = Expression(written, truth=value.truth)

    def temporary(self, indent: int, kind: str, text: str, name: str = "held") -> str:
        self.temporaries += 1
        made = name
        while made in self.declared:
            self.temporaries += 1
            made = f"{name}{self.temporaries}"
        self.declared.add(made)
        self.lines.append(f"{'    ' * indent}const {kind} {made} = {text};")
        return made

    def held(self, value: Value, indent: int, always: bool = False) -> Value:
        """The same value of names and numbers alone, so that it can be used later and twice."""
        if isinstance(value, tuple):
            return tuple(self.held(part, indent, always) for part in value)
        changes = isinstance(value, Expression) and value.text in self.changing
        if isinstance(value, Expression) and (always or changes or not value.text.isidentifier()):
            return Expression(self.temporary(indent, value.kind, value.text), truth=value.truth)
        return value

    def unpacked(self, value: Result, indent: int) -> tuple[Value, ...]:
        """The results of a call, which is made here."""
        function = value.function
        name = self.temporary(indent, f"struct {function.name}_result", value.text, f"of_{function.name}")
        pairs = zip(function.fields, function.truths, strict=True)
        return tuple(Expression(f"{name}.{member}", truth=truth) for member, truth in pairs)

    # -- expressions --------------------------------------------------------------------------------

    def text(self, value: Value) -> str:
        """The text of a value that stands alone."""
        if isinstance(value, Known):
            return literal(int(value.value)).text
        if not isinstance(value, Expression):
            raise Untranslatable(f"{self.function.__name__} cannot become C: a tuple must not stand within a tuple")
        return value.text

    def expression(self, value: Value, node: ast.AST) -> Expression:
        """A value as an expression."""
        if isinstance(value, Known) and isinstance(value.value, (bool, int)):
            made = literal(int(value.value))
            return Expression(made.text, made.rank, isinstance(value.value, bool))
        if isinstance(value, Expression):
            return value
        raise self.refuse(node, "a single number must stand here")

    def value(self, node: ast.expr) -> Value:
        """Translate an expression."""
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise self.refuse(node, f"{type(node).__name__} has no translation")
        found: Value = method(node)
        return found

    def _constant(self, node: ast.Constant) -> Value:
        if node.value is None or isinstance(node.value, (bool, int)):
            return Known(node.value)
        raise self.refuse(node, "only integers have a translation")

    def _name(self, node: ast.Name) -> Value:
        if node.id in self.scope:
            found = self.scope[node.id]
            self._use(found)
            return found
        variables = inspect.getclosurevars(self.function)
        for names in (variables.nonlocals, variables.globals, variables.builtins):
            if node.id in names:
                return Known(names[node.id])
        raise self.refuse(node, f"{node.id} has no value")

    def _use(self, value: Value) -> None:
        if isinstance(value, tuple):
            for part in value:
                self._use(part)
        elif isinstance(value, Expression):
            self.used.add(value.text)

    def _attribute(self, node: ast.Attribute) -> Value:
        owner = self.value(node.value)
        if isinstance(owner, Known) and isinstance(owner.value, ModuleType):
            return Known(getattr(owner.value, node.attr))
        raise self.refuse(node, "only names of modules have a translation")

    def _tuple(self, node: ast.Tuple) -> Value:
        return tuple(self.value(part) for part in node.elts)

    def _subscript(self, node: ast.Subscript) -> Value:
        owner, place = self.value(node.value), self.value(node.slice)
        if isinstance(owner, tuple) and isinstance(place, Known):
            return owner[place.value]
        raise self.refuse(node, "only tuples have parts, by numbers that are written out")

    def _unaryop(self, node: ast.UnaryOp) -> Value:
        value = self.value(node.operand)
        if isinstance(value, Known):
            return Known(not value.value if isinstance(node.op, ast.Not) else -value.value)
        made = self.expression(value, node)
        if isinstance(node.op, ast.Not):
            return Expression(f"!{_operand(made, _UNARY)}", _UNARY, True)
        if isinstance(node.op, ast.USub):
            return Expression(f"-{_operand(made, _UNARY)}", _UNARY)
        raise self.refuse(node, "this operator has no translation")

    def _binop(self, node: ast.BinOp) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        if isinstance(left, Known) and isinstance(right, Known):
            return Known(eval(compile(ast.Expression(_of(node, left, right)), "", "eval")))
        if isinstance(node.op, ast.Sub) and left == right:
            return Known(0)  # the zero of a type
        one, two = self.expression(left, node.left), self.expression(right, node.right)
        if isinstance(node.op, (ast.LShift, ast.RShift)):
            name = "shift_left" if isinstance(node.op, ast.LShift) else "shift_right"
            return self.translator.primitive(name, one, two)
        sign = _OPERATORS.get(type(node.op))
        if sign is None:
            raise self.refuse(node, "this operator has no translation")
        rank = _RANKS[sign]
        # a chain of sums needs no parentheses on its left; operands of bits always have some
        bits = sign in ("&", "|")
        first = _operand(one, 1 if bits else rank + 1)
        return Expression(f"{first} {sign} {_operand(two, 1 if bits else rank)}", rank)

    def _compare(self, node: ast.Compare) -> Value:
        values = [self.value(part) for part in (node.left, *node.comparators)]
        tests: list[Expression] = []
        for n, operator in enumerate(node.ops):
            left, right = values[n], values[n + 1]
            if isinstance(operator, (ast.Is, ast.IsNot)):
                if not isinstance(right, Known):
                    raise self.refuse(node, "only None and truth values are told by identity")
                same = isinstance(left, Known) and left.value is right.value
                return Known(same == isinstance(operator, ast.Is))
            if isinstance(left, Known) and isinstance(right, Known):
                raise self.refuse(node, "numbers that are known must not be compared")
            sign = _OPERATORS.get(type(operator))
            if sign is None:
                raise self.refuse(node, "this comparison has no translation")
            one, two = self.expression(left, node), self.expression(right, node)
            rank = _RANKS[sign]
            tests.append(Expression(f"{_operand(one, _RANKS['<'])} {sign} {_operand(two, _RANKS['<'])}", rank, True))
        return self._joined("&&", tests)

    def _joined(self, sign: str, tests: Sequence[Expression]) -> Expression:
        if len(tests) == 1:
            return tests[0]
        parts = [_operand(test, _RANKS["&"]) for test in tests]
        return Expression(f" {sign} ".join(parts), _RANKS[sign], True)

    def _boolop(self, node: ast.BoolOp) -> Value:
        ends = isinstance(node.op, ast.Or)
        tests: list[Expression] = []
        for part in node.values:
            value = self.value(part)
            if isinstance(value, Known):
                if bool(value.value) == ends:
                    return Known(ends) if not tests else self._joined("||" if ends else "&&", [*tests, literal(ends)])
                continue
            test = self.expression(value, part)
            if not test.truth:
                raise self.refuse(node, "only truth values can be joined")
            tests.append(test)
        return self._joined("||" if ends else "&&", tests) if tests else Known(not ends)

    def _quotient(self, node: ast.IfExp) -> Expression | None:
        """The quotient by a power of two that `node` states, rounded toward zero as C rounds; None for another."""
        shift = node.orelse
        if not (isinstance(shift, ast.BinOp) and isinstance(shift.op, ast.RShift)):
            return None
        value, bits = ast.unparse(shift.left), shift.right
        if not (isinstance(shift.left, ast.Name) and isinstance(bits, ast.Constant) and isinstance(bits.value, int)):
            return None
        stated = f"-(-{value} >> {bits.value}) if {value} < 0 else {value} >> {bits.value}"
        if ast.unparse(node) != stated:
            return None
        return Expression(f"{self.expression(self.value(shift.left), node).text} / {2**bits.value}", _RANKS["*"])

    def _ifexp(self, node: ast.IfExp) -> Value:
        quotient = self._quotient(node)
        if quotient is not None:
            return quotient
        test = self.value(node.test)
        if isinstance(test, Known):
            return self.value(node.body if test.value else node.orelse)
        condition = _operand(self.expression(test, node.test), _CONDITIONAL)
        one, two = (self.expression(self.value(part), part) for part in (node.body, node.orelse))
        first, second = (_operand(part, _CONDITIONAL) for part in (one, two))
        return Expression(f"{condition} ? {first} : {second}", _CONDITIONAL, one.truth and two.truth)

    def _call(self, node: ast.Call) -> Value:
        called = self.value(node.func)
        if not isinstance(called, Known) or node.keywords:
            raise self.refuse(node, "only functions that are known by name can be called, by position")
        function = called.value
        if function is isinstance:
            return Known(False)  # a number is an integer here, whatever else it may be elsewhere
        arguments = [self.value(part) for part in node.args]
        if function is as_type_of:
            return arguments[0]
        if function is bool or function is int:
            return arguments[0]
        if function in _WRITTEN_OUT:
            parts = [self.expression(part, node) for part in arguments]
            name = _WRITTEN_OUT[function]
            made = parts[0]
            if name in ("smaller", "larger"):
                if len(parts) != 2:
                    raise self.refuse(node, "min and max must be of two numbers")
                return self.translator.primitive(name, *parts)
            return self.translator.primitive(name, made)
        translated = self.translator.function(function, arguments)
        text = f"{translated.name}({', '.join(part.text for part in pass_on(arguments))})"
        if translated.fields:
            return Result(text, translated)
        return Expression(text, truth=translated.truths[0])


def _truth(value: Value) -> bool:
    if isinstance(value, Known):
        return isinstance(value.value, bool)
    return isinstance(value, Expression) and value.truth


def _assigned(statement: ast.stmt) -> set[str]:
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _names_in(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _loaded(target: ast.expr) -> ast.expr:
    return ast.copy_location(ast.parse(ast.unparse(target), mode="eval").body, target)


def _of(node: ast.BinOp, left: Known, right: Known) -> ast.BinOp:
    made = ast.BinOp(ast.Constant(left.value), node.op, ast.Constant(right.value))
    return ast.fix_missing_locations(made)


def recurrence(docstring: str) -> str:
    """The paragraph of a module's docstring that introduces its recurrence, and the formulas behind it; "" for none."""
    paragraphs = docstring.split("\n\n")
    for n, paragraph in enumerate(paragraphs[:-1]):
        if paragraph.startswith("Recurrence") and paragraph.endswith("::"):
            return f"{paragraph[:-1]}\n\n{paragraphs[n + 1]}"
    return ""


def folded(text: str) -> str:
    """Text of C in lines of at most `WIDTH` columns, where one can be broken behind a comma or before an operator."""
    found: list[str] = []
    for line in text.split("\n"):
        indent = " " * (len(line) - len(line.lstrip()) + 8)
        while len(line) > WIDTH and not line.lstrip().startswith(("/*", "*")):
            place = max(line.rfind(", ", 0, WIDTH) + 1, *(line.rfind(f" {op} ", 0, WIDTH) for op in ("&&", "?", ":")))
            if place <= len(indent):
                break
            found.append(line[:place])
            line = indent + line[place:].lstrip()
        found.append(line)
    return "\n".join(found)


def comment_of(text: str) -> str:
    """A comment of C with these lines; double backquotes and what would end it are taken out."""
    cleaned = text.replace("*/", "* /").replace("/*", "/ *").replace("``", "").replace("`", "").replace("**", "^")
    lines = cleaned.strip("\n").split("\n")
    if len(lines) == 1:
        return f"/* {lines[0]} */\n"
    return "/* " + "\n".join(f" * {line}".rstrip() if n else line for n, line in enumerate(lines)) + "\n */\n"
