"""The `step` of each family as C: a translation of every one, and its results for any numbers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from lavadl_kernels.fixed_point import leak, wrap32
from lavadl_kernels.neurons import FAMILIES

from lavadl_ref.port.translate import PRIMITIVES, Expression, Known, Translator, Untranslatable, comment_of, folded
from tests.support import c_programs

#: Every `step` that a layer can have, those of input layers and of sums that are read out among them.
RECORDS = {
    f"{record.name} {record.step.__name__}": record
    for family in FAMILIES.values()
    for record in (family, family.as_input, family.as_output)
    if record is not None
}
TRUTHS = ("relu", "cum_error")
DRAWS = 3000


def translated(record):
    """The translator, the function, and the names of its arguments."""
    translator = Translator()
    names = [*record.states, *record.inputs, *record.step_parameters]
    arguments = [Expression(name, truth=name in TRUTHS) for name in names]
    function = translator.function(record.step, [*arguments, Known(True)], name="step")
    return translator, function, names


def draw(rng, name, record):
    """Numbers that an argument of `step` may be, extreme ones among them."""
    if name in TRUTHS:
        return rng.integers(0, 2, DRAWS)
    if name == "exponent":
        return rng.integers(-16, 17, DRAWS)
    if name in record.decays:
        low = -4096 if name.endswith(("sin_decay", "cos_decay")) else 0
        return rng.choice([*rng.integers(low, 4097, 20), low, 4096, 1], DRAWS)
    bits = 50 if name == "bias" else 31
    sizes = rng.integers(0, 2 ** rng.integers(1, bits + 1, DRAWS))
    values = sizes * rng.choice([-1, 1], DRAWS)
    values[rng.random(DRAWS) < 0.05] = rng.choice([2**31 - 1, -(2**31)])
    return np.abs(values) if "threshold" in name and name not in record.states else values


MAIN = """
int main(void)
{
    long long a[%d];
    for (;;) {
        for (int i = 0; i < %d; i++) {
            if (scanf("%%lld", &a[i]) != 1) {
                return 0;
            }
        }
        const struct step_result r = step(%s);
        printf("%s\\n"%s);
    }
}
"""


def program(folder: Path, record) -> Path:
    translator, function, names = translated(record)
    arguments = ", ".join(f"{'(int)' if name in TRUTHS else ''}a[{i}]" for i, name in enumerate(names))
    shown = " ".join(["%lld"] * len(function.fields))
    values = "".join(f", (long long)r.{field}" for field in function.fields)
    main = MAIN % (len(names), len(names), arguments, shown, values)
    text = f"#include <stdint.h>\n#include <stdio.h>\n\n{translator.definitions()}{main}"
    (folder / "main.c").write_text(text)
    return c_programs.compiled(folder, (), flags=c_programs.SANITIZED)


@pytest.mark.skipif(not c_programs.COMPILERS, reason=c_programs.NO_COMPILER)
@pytest.mark.parametrize("name", RECORDS)
def test_a_step_in_c_gives_what_it_gives_in_python(tmp_path, name):
    record = RECORDS[name]
    rng = np.random.default_rng(1)
    _, function, names = translated(record)
    columns = [draw(rng, argument, record).tolist() for argument in names]
    text = "".join(" ".join(map(str, row)) + "\n" for row in zip(*columns, strict=True))
    given = [list(map(int, line.split())) for line in c_programs.said(program(tmp_path, record), text).splitlines()]
    wanted = [list(map(int, record.step(*row, True))) for row in zip(*columns, strict=True)]
    assert given == wanted
    assert len(function.fields) == len(wanted[0])


def test_a_formula_is_stated_in_the_comment_of_its_step():
    translator, _, _ = translated(FAMILIES["CUBA"])
    text = translator.definitions()
    assert " *     u[t] = leak(u[t-1], current_decay) + a[t]\n" in text
    assert text.count("Recurrence") == 1


def test_functions_are_translated_once_for_all_that_call_them():
    translator = Translator()
    one = translator.function(leak, [Expression("a"), Expression("b")])
    other = translator.function(leak, [Expression("c"), Known(5)])
    assert one is other
    assert translator.definitions().count("static int64_t leak(") == 1


def constants(a, b):
    """A function."""
    c, d = (a, 3), -(2**40)
    if a > 2 and (b < 0 or a == b):
        b = b * c[1] - (a - 7)
    e = b if not a >= 9 else d
    return wrap32(e), True


def test_what_python_knows_becomes_numbers_of_c():
    translator = Translator()
    text = translator.function(constants, [Expression("x"), Expression("y")]).text
    assert "    if (a > 2 && (b < 0 || a == b)) {\n        b = b * 3 - (a - 7);\n    }\n" in text
    assert "!(a >= 9) ? b : INT64_C(-1099511627776)" in text
    assert "    result.second = 1;\n" in text


def quotient(a, b):
    """A function."""
    a = -(-a >> 7) if a < 0 else a >> 7
    return a - (-(-b >> 7) if a < 0 else b >> 7)


def test_a_quotient_that_python_rounds_toward_zero_is_that_of_c():
    text = Translator().function(quotient, [Expression("a"), Expression("b")]).text
    assert "    a = a / 128;\n" in text
    assert "a < 0 ? -shift_right(-b, 7) : shift_right(b, 7)" in text


def loops(a):
    """A function."""
    while a > 3:
        a = a // 2
    return a


def divides(a):
    """A function."""
    return a // 3


def floats(a):
    """A function."""
    return a * 0.5


def sometimes(a):
    """A function."""
    if a > 3:
        b = 4
    return b


def without_end(a):
    """A function."""
    if a > 3:
        return 4


def itself(a):
    """A function."""
    return itself(a - 1)


def several(a):
    """A function."""
    return max(a, 1, 2)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (loops, "While has no translation"),
        (divides, "this operator has no translation"),
        (floats, "only integers have a translation"),
        (sometimes, "b must have a value before it is given one under a condition"),
        (without_end, "it must end with return"),
        (itself, "calls itself"),
        (several, "min and max must be of two numbers"),
        (np.add, "must be a function of Python"),
        (partial(loops, 3), "must be a function of Python"),
    ],
)
def test_a_function_that_c_cannot_have_is_refused(function, why):
    with pytest.raises(Untranslatable, match=why):
        Translator().function(function, [Expression("a")])


def test_a_refusal_names_the_function_and_its_line():
    with pytest.raises(Untranslatable, match=r"^divides cannot become C: .* \(test_steps.py:\d+: a // 3\)$"):
        Translator().function(divides, [Expression("a")])


def test_comments_of_c_cannot_be_ended_by_what_they_hold():
    assert comment_of("a */ b /* c `d` 2**3") == "/* a * / b / * c d 2^3 */\n"
    assert comment_of("a\nb\n\nc") == "/* a\n * b\n *\n * c\n */\n"


def test_long_lines_of_c_are_broken():
    line = "    x = f(" + ", ".join(["argument"] * 20) + ");"
    lines = folded(line).split("\n")
    assert max(map(len, lines)) <= 100
    assert " ".join(part.strip() for part in lines) == line.strip()


def test_primitives_are_written_only_where_they_are_called():
    translator = Translator()
    translator.function(wrap_twice, [Expression("a")])
    assert [name for name in PRIMITIVES if f" {name}(" in translator.definitions()] == ["wrap32"]


def wrap_twice(a):
    """A function."""
    return wrap32(wrap32(a) + 1)
