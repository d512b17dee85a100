"""Print those test files that cannot be imported without torch: ``needs_torch.py FOLDER_OR_FILE...``.

A file needs torch if, when it is imported, it imports torch, a part of ours made of torch, or
another test file that needs torch.  The parts that must do without are not looked into: if one
of them imports torch, the tests that use it shall fail.
"""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MADE_OF_TORCH = (
    "torch", "lavadl_ref.slayer", "lavadl_ref.bootstrap", "lavadl_ref.decolle", "lavadl_ref.online",
    "lavadl_ref.netx.online", "lavadl_ref.datasets",
)  # fmt: skip


def imported(path: Path) -> set[str]:
    """Full names of what the top level of a file imports."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@cache
def needs_torch(path: Path) -> bool:
    """Tell whether importing a test file imports torch."""
    for name in imported(path):
        if any(f"{name}.".startswith(f"{part}.") for part in MADE_OF_TORCH):
            return True
        if name.split(".")[0] in ("tests", "validation"):
            # `from a.b import c`: c is a module of its own, or a name in the module a.b.
            places = [ROOT.joinpath(*parts) for parts in (name.split("."), name.split(".")[:-1])]
            files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
            if any(file != path and file.exists() and needs_torch(file) for file in files):
                return True
    return False


if __name__ == "__main__":
    given = [ROOT / argument for argument in sys.argv[1:]]
    files = [file for path in given for file in ([path] if path.is_file() else sorted(path.rglob("*.py")))]
    print(*(file.relative_to(ROOT) for file in files if needs_torch(file)), sep="\n")
