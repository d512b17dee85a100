"""The project's own files: modules of the product, and what is public of them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"lavadl_ref": ROOT / "lavadl_ref", "lavadl_kernels": ROOT / "kernels" / "lavadl_kernels"}

#: Every module of the product by its name.
MODULES = {
    ".".join([name, *path.relative_to(folder).with_suffix("").parts]).removesuffix(".__init__"): path
    for name, folder in PACKAGES.items()
    for path in sorted(folder.rglob("*.py"))
}


def is_public(module: str) -> bool:
    """Tell whether no part of a module's name is private."""
    return not any(part.startswith("_") for part in module.split("."))
