"""The structure of the product: its rooms, the arrows between them, and what no import may do."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests import PATIENCE
from tests.support.import_graph import arrows, circles, graph, imported
from tests.support.tree import MODULES, ROOT

GRAPH = graph(MODULES)

#: For each package its rooms from below: a room imports rooms before it only.  Then how many arrows there may be.
STOREYS = {
    "lavadl_kernels": (("runtime", "fixed_point", "ops", "engine", "neurons"), 10),
    "lavadl_ref.netx": (
        (
            *("lava_support", "plan", "processes", "blocks", "hdf5", "io", "run"),
            *("runtime", "inprocess", "utils", "sequential_modules", "modules", "online"),
        ),
        18,
    ),
}


def test_modules_import_each_other_in_no_circle():
    assert circles(GRAPH) == []


@pytest.mark.parametrize("package", STOREYS)
def test_rooms_are_those_that_are_listed(package):
    assert sorted(arrows(GRAPH, package)) == sorted(STOREYS[package][0])


@pytest.mark.parametrize("package", STOREYS)
def test_arrows_between_rooms_are_few_and_lead_down(package):
    storeys, most = STOREYS[package]
    found = [(above, below) for above, others in arrows(GRAPH, package).items() for below in others]
    upwards = [pair for pair in found if storeys.index(pair[0]) < storeys.index(pair[1])]
    assert upwards == []
    assert len(found) <= most, sorted(found)


def test_a_circle_and_an_arrow_are_found():
    edges = {"p.a.x": {"p.b.y"}, "p.b.y": {"p.c"}, "p.c": {"p.a.x", "q"}, "q": set(), "p": {"p.c"}}
    assert circles(edges) == [["p.a.x", "p.b.y", "p.c"]]
    assert arrows(edges, "p") == {"a": {"b"}, "b": {"c"}, "c": {"a"}}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import p.a", {"p.a"}),
        ("from p import a, f", {"p.a", "p"}),
        ("from . import a", {"p.a"}),
        ("from .a import g", {"p.a"}),
        ("if TYPE_CHECKING:\n from p.a import A", {"p.a"}),
        ("def f():\n from p import a", {"p.a"}),
        ("import numpy", set()),
    ],
)
def test_an_import_is_found_wherever_it_stands(source, found):
    assert imported("p.b", source, False, ["p", "p.a", "p.b"]) == found


#: The most parameters of a function in the kernels: what goes together goes as one named tuple.
MOST_PARAMETERS = 12
#: An adaptive resonator's `step` has 4 states, 2 inputs, 4 decays, 2 levels and the switch of widths, each a scalar
#: that golden vectors call by its name.
MORE_PARAMETERS = {("lavadl_kernels.neurons.adrf", "step"), ("lavadl_kernels.neurons.adrf_iz", "step")}


def long_functions(source: str) -> list[str]:
    """Functions with more than `MOST_PARAMETERS` parameters."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            given = node.args
            if len([*given.posonlyargs, *given.args, *given.kwonlyargs]) > MOST_PARAMETERS:
                found.append(node.name)
    return found


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("lavadl_kernels")])
def test_kernel_functions_have_twelve_parameters_at_most(module):
    found = {(module, name) for name in long_functions(MODULES[module].read_text())}
    assert found - MORE_PARAMETERS == set()


def test_a_function_with_thirteen_parameters_is_found():
    names = ", ".join(f"p{i}" for i in range(13))
    assert long_functions(f"def f({names}): ...\ndef g(a, b): ...") == ["f"]


def test_importing_slayer_loads_no_object_detection():
    code = "import sys, lavadl_ref.slayer; print([n for n in sys.modules if 'object_detection' in n])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


#: A name that stands for one family: a neuron is added by its own files and by one row in the others' tables.
FAMILY_NAMES = ("adrf_iz", "ADRF_IZHIKEVICH", "ADRFIZ", "AdrfIz")


def naming(folders: tuple[str, ...]) -> list[str]:
    """Python files in `folders` that name the family ADRF-IZ."""
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [
        str(path.relative_to(ROOT))
        for path in files
        if path.name == "adrf_iz.py" or any(name in path.read_text() for name in FAMILY_NAMES)
    ]


def test_a_family_is_named_in_nine_files_of_the_product():
    assert len(naming(("kernels", "lavadl_ref"))) <= 9, naming(("kernels", "lavadl_ref"))


def test_a_family_is_named_in_six_files_of_the_tests():
    others = [name for name in naming(("tests", "validation")) if name != "tests/test_structure.py"]
    assert len(others) < 6, others


def test_exchange_alone_asks_for_the_sigma_delta_family_by_name():
    asking = {}
    for module, path in MODULES.items():
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Compare)]
        texts = [ast.unparse(node) for node in nodes if "'SDNN'" in ast.unparse(node)]
        if texts:
            asking[module] = texts
    assert {module for module in asking if not module.startswith("lavadl_ref.exchange")} == set()
    assert sum(map(len, asking.values())) <= 5
