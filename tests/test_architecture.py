"""Rules that no module shows alone: who imports whom, that public things are documented, that the tree stands alone."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import PATIENCE
from tests.support.tree import MODULES, ROOT, is_public

OURS = ("lavadl_ref", "lavadl_kernels")

#: For each part, what of ours it may import beside itself, and what of others it may not.
LINES = {
    "lavadl_kernels": ((), ("torch", "h5py", "lava")),
    "lavadl_ref._arguments": (("lavadl_ref.exchange",), ("torch", "lava")),
    "lavadl_ref._assigned": ((), ("torch", "lava")),
    "lavadl_ref._extras": ((), ("torch", "lava", "h5py", "numpy")),
    "lavadl_ref._ending": ((), ("torch", "lava", "h5py", "numpy")),
    "lavadl_ref._files": ((), ("torch", "lava", "h5py")),
    "lavadl_ref.exchange": ((), ("torch", "lava")),
    "lavadl_ref.deployed.families": (("lavadl_kernels", "lavadl_ref.exchange"), ("torch", "lava")),
    "lavadl_ref.deployed.deployment": (
        ("lavadl_kernels", "lavadl_ref.exchange", "lavadl_ref.deployed.families"),
        ("torch", "lava"),
    ),
    "lavadl_ref._cost": (
        ("lavadl_ref.exchange", "lavadl_ref.deployed.deployment", "lavadl_ref._arguments"),
        ("torch", "lava"),
    ),
    "lavadl_ref._reach": (("lavadl_ref.exchange",), ("torch", "lava")),
    "lavadl_ref.deployed.fan_out": (("lavadl_ref.exchange",), ("torch", "lava")),
    "lavadl_ref.deployed.work": (("lavadl_ref.exchange", "lavadl_ref.deployed.fan_out"), ("torch", "lava")),
    "lavadl_ref.deployed.weighted_sums": (("lavadl_kernels", "lavadl_ref.exchange"), ("torch", "lava")),
    "lavadl_ref.deployed.reference": (
        (
            "lavadl_kernels",
            "lavadl_ref.exchange",
            "lavadl_ref.deployed.deployment",
            "lavadl_ref.deployed.weighted_sums",
            "lavadl_ref._arguments",
            "lavadl_ref._reach",
        ),
        ("torch", "lava"),
    ),
    "lavadl_ref.port": (
        (
            *("lavadl_kernels", "lavadl_ref.exchange", "lavadl_ref.deployed.deployment"),
            *("lavadl_ref.deployed.reference", "lavadl_ref.reference", "lavadl_ref._arguments"),
        ),
        ("torch", "lava"),
    ),
    "lavadl_ref.nir": (
        (
            *("lavadl_kernels", "lavadl_ref.exchange", "lavadl_ref.deployed.deployment", "lavadl_ref._arguments"),
            *("lavadl_ref.deployed.reference", "lavadl_ref.deployed.weighted_sums", "lavadl_ref._extras"),
        ),
        ("torch", "lava"),
    ),
    "lavadl_ref.proof": (
        (
            *("lavadl_kernels", "lavadl_ref.exchange", "lavadl_ref.deployed", "lavadl_ref.audit", "lavadl_ref.verify"),
            *("lavadl_ref._reach", "lavadl_ref._cost", "lavadl_ref._arguments"),
        ),
        ("torch", "lava"),
    ),
    "lavadl_ref.audit": (
        (
            *(
                "lavadl_kernels",
                "lavadl_ref.exchange",
                "lavadl_ref.deployed.bounds",
                "lavadl_ref.deployed.deployment",
                "lavadl_ref.deployed.weighted_sums",
                "lavadl_ref.deployed.work",
            ),
            *(
                "lavadl_ref.deployed.reference",
                "lavadl_ref.netx",
                "lavadl_ref.verify",
                "lavadl_ref.cli._tables",
                "lavadl_ref._text",
            ),
            *("lavadl_ref._reach", "lavadl_ref._cost", "lavadl_ref._arguments"),
        ),
        ("torch", "lava"),
    ),
    "lavadl_ref.slayer": (
        (
            *("lavadl_kernels", "lavadl_ref.exchange", "lavadl_ref._assigned", "lavadl_ref._files"),
            *("lavadl_ref._extras", "lavadl_ref._needs_torch"),
        ),
        ("lava",),
    ),
    "lavadl_ref.slayer._work": (
        (
            *("lavadl_ref.exchange", "lavadl_ref.slayer", "lavadl_ref._arguments", "lavadl_ref._text"),
            *("lavadl_ref.deployed.deployment", "lavadl_ref.deployed.reference"),
            *("lavadl_ref.deployed.weighted_sums", "lavadl_ref.deployed.work"),
        ),
        ("lava",),
    ),
    "lavadl_ref.slayer._summary": (
        (
            *("lavadl_ref.exchange", "lavadl_ref.slayer", "lavadl_ref._arguments", "lavadl_ref._text"),
            "lavadl_ref.deployed.work",
        ),
        ("lava",),
    ),
    "lavadl_ref.bootstrap": (
        (
            *("lavadl_kernels", "lavadl_ref.exchange", "lavadl_ref.slayer", "lavadl_ref._assigned"),
            *("lavadl_ref._extras", "lavadl_ref._needs_torch"),
        ),
        ("lava",),
    ),
    "lavadl_ref.online": (
        ("lavadl_kernels", "lavadl_ref.slayer", "lavadl_ref._needs_torch"),
        ("lava", "h5py"),
    ),
    "lavadl_ref.decolle": (("lavadl_kernels", "lavadl_ref.slayer", "lavadl_ref._needs_torch"), ("lava",)),
    "lavadl_ref.datasets": (
        (
            "lavadl_ref.exchange",
            "lavadl_ref.slayer.io",
            "lavadl_ref.slayer.utils._validate",
            "lavadl_ref._files",
            "lavadl_ref._extras",
        ),
        ("lava", "h5py"),
    ),
    "lavadl_ref.netx": (
        (
            "lavadl_kernels",
            "lavadl_ref.exchange",
            "lavadl_ref.deployed.deployment",
            "lavadl_ref._assigned",
            "lavadl_ref._arguments",
            "lavadl_ref._cost",
            "lavadl_ref._ending",
        ),
        ("torch",),
    ),
    "lavadl_ref.netx.online": (
        (
            "lavadl_ref.exchange",
            "lavadl_ref.netx",
            "lavadl_ref.online",
            "lavadl_ref.slayer",
            "lavadl_ref._ending",
        ),
        (),
    ),
    "lavadl_ref.plot": (("lavadl_ref._arguments", "lavadl_ref._extras"), ("torch", "lava", "h5py")),
    "lavadl_ref.encode": (
        ("lavadl_ref._arguments", "lavadl_ref._needs_torch", "lavadl_ref.slayer.io"),
        ("lava", "h5py"),
    ),
    "lavadl_ref.testing": (
        (
            *("lavadl_kernels", "lavadl_ref.exchange", "lavadl_ref.deployed", "lavadl_ref._arguments"),
            *("lavadl_ref._ending", "lavadl_ref._extras", "lavadl_ref.nir"),
        ),
        ("torch", "lava"),
    ),
}
#: What takes long to import, or may be absent: late, inside the functions that use it.
HEAVY = ("torch", "lava", "numba", "scipy", "sklearn", "matplotlib", "h5py", "PIL", *OURS)
LIGHT_AT_START = ("lavadl_ref.cli.main", "lavadl_ref.datasets", "lavadl_ref.cli.doctor", "lavadl_ref.drop_in")


def part_of(name: str, parts) -> str | None:
    """The longest of `parts` that holds the module `name`."""
    holding = [part for part in parts if name == part or name.startswith(part + ".")]
    return max(holding, key=len, default=None)


def imports(module: str, source: str, is_package: bool = False, late: bool = True) -> set[str]:
    """Full names of what a module imports, ``a.b`` for ``from a import b``; type-only imports left out.

    With ``late=False`` only what is imported when the module itself is.
    """
    package = module if is_package else module.rpartition(".")[0]
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                anchor = package.split(".")
                anchor = anchor[: len(anchor) - node.level + 1]
                base = ".".join([*anchor, base] if base else anchor)
            found.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for child in node.orelse:
                visit(child)
        elif late or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            for child in ast.iter_child_nodes(node):
                visit(child)

    visit(ast.parse(source))
    return found


def crossings(module: str, imported: set[str]) -> list[str]:
    """The imports that cross a line."""
    own = part_of(module, LINES)
    if own is None:
        return []
    allowed, forbidden = LINES[own]
    return sorted(
        name
        for name in imported
        if part_of(name, forbidden) or (part_of(name, OURS) and not part_of(name, (own, *allowed)))
    )


@pytest.mark.parametrize("module", MODULES)
def test_every_import_stays_within_the_lines(module):
    path = MODULES[module]
    assert crossings(module, imports(module, path.read_text(), path.name == "__init__.py")) == []


@pytest.mark.parametrize(
    ("module", "source", "crossing"),
    [
        ("lavadl_kernels.neurons.cuba", "import torch.nn", ["torch.nn"]),
        ("lavadl_kernels.neurons.cuba", "from lavadl_ref import exchange", ["lavadl_ref.exchange"]),
        ("lavadl_kernels.neurons.cuba", "from . import spike", []),
        ("lavadl_ref.exchange.read", "def f():\n from lava.magma import x", ["lava.magma.x"]),
        ("lavadl_ref.exchange.read", "import lavadl_kernels", ["lavadl_kernels"]),
        ("lavadl_ref.exchange.read", "from ..slayer import block", ["lavadl_ref.slayer.block"]),
        ("lavadl_ref.deployed.reference", "from lavadl_ref import netx, exchange", ["lavadl_ref.netx"]),
        ("lavadl_ref.slayer.io", "import torch, lavadl_ref.netx", ["lavadl_ref.netx"]),
        ("lavadl_ref.netx.utils", "if x:\n import torch", ["torch"]),
        ("lavadl_ref.verify", "import torch, lava, lavadl_ref.slayer", []),
    ],
)
def test_the_lines_are_seen(module, source, crossing):
    assert crossings(module, imports(module, source)) == crossing


@pytest.mark.parametrize("module", [name for name in LIGHT_AT_START if name in MODULES])
def test_heavy_modules_are_imported_late(module):
    assert {name for name in imports(module, MODULES[module].read_text(), late=False) if part_of(name, HEAVY)} == set()


def test_late_imports_are_told_from_early_ones():
    source = "import torch\nclass A:\n import lava\ndef f():\n import numba"
    assert imports("m", source, late=False) == {"torch", "lava"}
    assert imports("m", source) == {"torch", "lava", "numba"}


@pytest.mark.parametrize(
    "module",
    [
        "lavadl_kernels.neurons.cuba",
        "lavadl_ref.exchange",
        "lavadl_ref.deployed.reference",
        "lavadl_ref.testing.vectors",
    ],
)
def test_modules_are_imported_where_torch_and_lava_are_blocked(module):
    code = (
        f"import sys; sys.modules.update(torch=None, lava=None); import {module}; "
        "print(sorted(n for n in sys.modules if n.split('.')[0] in ('torch', 'lava') and sys.modules[n]))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert (run.returncode, run.stdout.strip()) == (0, "[]"), run.stderr


#: What reads a file that a user named goes through `lavadl_ref._files`, which bounds it and names it in errors.
READING = {"fromfile", "load", "loads", "loadtxt", "genfromtxt", "memmap", "open", "read_bytes", "read_text"}
READERS = ("lavadl_ref.datasets", "lavadl_ref.slayer")
#: Calls of these names that read no data, by module.
READS_OTHERWISE = {
    "lavadl_ref.datasets.heidelberg": ("open",),  # of a group of HDF5
    "lavadl_ref.slayer._bridge.openmp": ("read_text",),  # of the kernel's list of libraries
    "lavadl_ref.slayer.io._pillow": ("open",),  # of Pillow, on a stream
    "lavadl_ref.slayer.utils._log_file": ("open",),  # writes
    "lavadl_ref.slayer.object_detection.dataset.prophesee_files": ("memmap",),  # stays on disk
    "lavadl_ref.slayer.object_detection.models.detector": ("load",),  # a checkpoint, torch's
    "lavadl_ref.slayer.utils.checkpoint": ("load",),  # a checkpoint, torch's, of plain values alone
}


def reads(source: str) -> list[str]:
    """Names of the calls that open or load files."""
    called = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = [func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "") for func in called]
    return sorted(READING & set(names))


@pytest.mark.parametrize("module", [name for name in MODULES if part_of(name, READERS)])
def test_data_is_read_in_one_place(module):
    assert reads(MODULES[module].read_text()) == sorted(READS_OTHERWISE.get(module, ()))


def test_reading_is_seen():
    source = "np.load(x)\nPath(x).read_text()\nwith open(x): json.loads(y)\nx.load_state_dict(y)\ngzip.open(x)"
    assert reads(source) == ["load", "loads", "open", "read_text"]


#: Calls that wait, and the place of the argument that bounds them.
WAITING = {"wait": 0, "join": 0, "communicate": 1, "timeout": 0}
#: Functions of ours that wait for a few seconds unless told otherwise.
IMPATIENT = {"vectors.check", "fuzz.run"}
CLOCKS = {"monotonic", "perf_counter", "process_time", "time"}
TIMED = re.compile(r"\b(time_?out|deadline|patience|seconds|elapsed|took|duration)\b", re.IGNORECASE)
#: Limits of less than `PATIENCE` that guard against nothing, and why they hold on a machine as slow as you like.
SHORT_LIMITS = {
    ("tests/exchange/test_bounds.py", "seconds < 30"): "of the processor: without bounds it is minutes",
    ("tests/netx/test_inprocess.py", "timeout=0.3"): "the test is of the limit; the work is far longer",
    ("tests/netx/test_session.py", "timeout=0.3"): "the test is of the limit; the work is far longer",
    ("validation/distributed/cost.py", "seconds=1.0"): "how long is measured",
    ("validation/distributed/test_distributed.py", "timeout=1"): "the test is of the limit; starting takes longer",
}


def limits(source: str, least: float = PATIENCE) -> list[str]:
    """The places where a test bounds a time by a number of seconds below `least`, as it is written.

    Seen are arguments called timeout and the like, also their defaults, the numbers that waiting calls and
    ``pytest.mark.timeout`` are given, and comparisons with a clock or with what is called seconds, took and so on.
    """
    found = []

    def short(node: ast.AST | None) -> bool:
        value = node.value if isinstance(node, ast.Constant) else None
        return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < least

    def is_clock(node: ast.AST) -> bool:
        parts = list(ast.walk(node))
        calls = [getattr(part.func, "attr", "") for part in parts if isinstance(part, ast.Call)]
        names = [getattr(part, "id", getattr(part, "attr", "")) for part in parts]
        return bool(CLOCKS & set(calls)) or any(TIMED.fullmatch(name) for name in names if name)

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            bounded = [word for word in node.keywords if word.arg and TIMED.fullmatch(word.arg) and short(word.value)]
            found += [f"{word.arg}={ast.unparse(word.value)}" for word in bounded]
            if ast.unparse(node.func) in IMPATIENT and not {"timeout", None} & {word.arg for word in node.keywords}:
                found.append(ast.unparse(node))
            # numbers by place, as in process.wait(10)
            place = WAITING.get(name)
            if place is not None and len(node.args) > place and short(node.args[place]):
                found.append(ast.unparse(node))
        elif isinstance(node, (ast.FunctionDef, ast.Lambda)):
            taken = node.args
            placed = [*taken.posonlyargs, *taken.args]
            defaults = list(zip(placed[len(placed) - len(taken.defaults) :], taken.defaults, strict=True))
            defaults += list(zip(taken.kwonlyargs, taken.kw_defaults, strict=True))
            found += [f"{arg.arg}={ast.unparse(v)}" for arg, v in defaults if TIMED.fullmatch(arg.arg) and short(v)]
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(map(short, sides)) and any(is_clock(side) for side in sides) and not isinstance(node.ops[0], ast.Eq):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp):
            # deadline = time.monotonic() + 10
            parts = [node.value.left, node.value.right]
            if any(map(short, parts)) and any(is_clock(part) for part in parts):
                found.append(ast.unparse(node.value))
    return found


def timed_tests() -> list[Path]:
    """Modules of tests; a benchmark measures what it measures."""
    files = [path for top in ("tests", "validation") for path in sorted((ROOT / top).rglob("*.py"))]
    return [path for path in files if "benchmarks" not in path.parts or path.name.startswith("test_")]


def test_tests_have_no_short_time_limits():
    found = {(str(path.relative_to(ROOT)), limit) for path in timed_tests() for limit in limits(path.read_text())}
    assert found == set(SHORT_LIMITS), "a guard against hanging is tests.PATIENCE; what else is short needs a reason"


@pytest.mark.parametrize(
    ("source", "limit"),
    [
        ("subprocess.run(x, timeout=10)", "timeout=10"),
        ("process.wait(5)", "process.wait(5)"),
        ("thread.join(0.5)", "thread.join(0.5)"),
        ("p.communicate('x', 3)", "p.communicate('x', 3)"),
        ("@pytest.mark.timeout(20)\ndef f(): ...", "pytest.mark.timeout(20)"),
        ("def f(x, timeout=1.5): ...", "timeout=1.5"),
        ("def f(*, seconds=10): ...", "seconds=10"),
        ("assert time.monotonic() - began < 20", "time.monotonic() - began < 20"),
        ("assert 1 > report.seconds", "1 > report.seconds"),
        ("deadline = time.monotonic() + 5", "time.monotonic() + 5"),
        ("settings(deadline=200)", "deadline=200"),
        ("vectors.check('cat')", "vectors.check('cat')"),
    ],
)
def test_a_short_time_limit_is_seen(source, limit):
    assert limits(source) == [limit]


@pytest.mark.parametrize(
    "source",
    [
        "subprocess.run(x, timeout=PATIENCE)",
        "settings(deadline=None)",
        "', '.join(names)",
        "process.wait()",
        "time.sleep(0.1)",
        "assert took > 0",
        "f(timeout=-3)",
        "values.get('a', 3)",
        "report.seconds == {1}",
    ],
)
def test_what_is_no_time_limit_is_left_alone(source):
    assert limits(source) == []


def promises() -> dict[str, tuple[set[str], set[str]]]:
    """For each class of ours by its name: the names of its bases, and of its documented methods."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                methods = {n.name for n in node.body if isinstance(n, ast.FunctionDef) and ast.get_docstring(n)}
                bases, documented = found.setdefault(node.name, (set(), set()))
                bases |= {ast.unparse(base).rpartition(".")[2] for base in node.bases}
                documented |= methods
    return found


PROMISES = promises()
#: Methods whose meaning a base class of torch, Lava or Python fixes.
INHERITED = {"forward", "backward", "extra_repr", "run_spk", "run_post_mgmt", "post_guard", "run", "start"}


def inherited(name: str, classes: set[str], seen: frozenset[str] = frozenset()) -> bool:
    """Tell whether one of the classes, or a base of theirs, says what the method `name` does."""
    for cls in classes - seen:
        bases, documented = PROMISES.get(cls, (set(), INHERITED))
        if name in documented or inherited(name, bases, seen | {cls}):
            return True
    return False


def undocumented(source: str) -> list[str]:
    """Public functions, classes and methods of a module that nothing documents, and the module itself.

    A method may be documented where a base class promises it, a property among its class's attributes.
    """
    tree = ast.parse(source)
    missing = [] if ast.get_docstring(tree) else ["the module"]

    def excused(node: ast.AST, owner: ast.AST) -> bool:
        decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
        if "overload" in decorators or any(name.endswith(".setter") for name in decorators):
            return True
        if not isinstance(owner, ast.ClassDef):
            return False
        listed = "property" in decorators and re.search(rf"\b{node.name}\b", ast.get_docstring(owner) or "")
        return bool(listed) or inherited(node.name, {ast.unparse(base).rpartition(".")[2] for base in owner.bases})

    def visit(owner: ast.AST, where: str) -> None:
        for node in ast.iter_child_nodes(owner):
            if isinstance(node, (ast.If, ast.Try)):
                visit(node, where)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name[0] != "_":
                if not ast.get_docstring(node) and not excused(node, owner):
                    missing.append(where + node.name)
                if isinstance(node, ast.ClassDef):
                    visit(node, f"{where}{node.name}.")

    visit(tree, "")
    return missing


@pytest.mark.parametrize("module", [name for name in MODULES if is_public(name)])
def test_public_things_have_docstrings(module):
    assert undocumented(MODULES[module].read_text()) == []


def test_a_missing_docstring_is_seen():
    source = '''
class A(torch.nn.Module):
    """Has `listed`."""
    def forward(self): ...
    def other(self): ...
    def _own(self): ...
    @property
    def p(self): ...
    @p.setter
    def p(self, value): ...
    @property
    def listed(self): ...
class ExchangeError(Exception): ...
class B(Layer):
    """Yes."""
    def check(self): ...
def f(): ...
if x:
    def g():
        """Yes."""
        def inner(): ...
'''
    missing = ["the module", "A.other", "A.p", "ExchangeError", "B.check", "f"]
    assert undocumented(source) == missing


#: What is made here, not written; so is whatever is hidden, except the folder of CI.
GENERATED = ("__pycache__", "build", "dist", "out")


def is_ours(path: Path) -> bool:
    """Tell whether something in the root folder belongs to the project."""
    return path.name == ".ci" or not (path.name.startswith(".") or path.name in GENERATED)


def text_files() -> list[Path]:
    """Every file of the project that is text."""
    tops = filter(is_ours, ROOT.iterdir())
    files = [path for top in tops for path in ([top] if top.is_file() else top.rglob("*")) if path.is_file()]
    return [path for path in files if "__pycache__" not in path.parts and b"\0" not in path.read_bytes()[:8192]]


# Absolute paths of somebody's machine, and places that packages come from. Written so as not to match itself.
FOREIGN = re.compile(
    r"(?<![\w.~/-])/(?:work|tmp|root|home|opt)/\w|index-url\s*=|extra-index|pypi[.]org|download[.]pytorch"
)


def test_files_are_free_of_machines_and_package_indices():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in text_files()
        if path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if FOREIGN.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("line", ["see /home/x", "'/opt/x.net'", "--extra-index-url x", "index-url = x"])
def test_a_machine_or_an_index_is_seen(line):
    assert FOREIGN.search(line)


@pytest.mark.parametrize("line", ["tests/home/x", "../home/x", "/dev/shm", "a/opt/b", "/home"])
def test_what_belongs_is_left_alone(line):
    assert not FOREIGN.search(line)


def test_tests_are_ours():
    # lava-nc and lava-dl both install a package of this name.
    import tests
    import tests.support.oracle

    assert Path(inspect.getfile(tests)) == ROOT / "tests" / "__init__.py"
    assert Path(inspect.getfile(tests.support.oracle)) == ROOT / "tests" / "support" / "oracle" / "__init__.py"


def test_every_folder_of_tests_is_a_package():
    folders = {path.parent for top in ("tests", "validation") for path in (ROOT / top).rglob("*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []
