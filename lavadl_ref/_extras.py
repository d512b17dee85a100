"""The optional parts of the installation, ``pip install "lavadl-ref[NAME]"``, and what to type where one is missing."""

from __future__ import annotations

import importlib.util

#: For each extra that a user may need, what is imported of it.
EXTRAS: dict[str, tuple[str, ...]] = {
    "train": ("torch",),
    "demo": ("torch", "sklearn", "matplotlib"),
    "plot": ("matplotlib",),
    "pictures": ("PIL",),
    "nir": ("nir",),
    "lava": ("scipy", "networkx", "asteval", "psutil"),
    "testing": ("hypothesis",),
}
#: The extra to install for a module, where one of several would do: the smallest.
EXTRA_OF = {module: extra for extra, modules in reversed(EXTRAS.items()) for module in modules} | {
    "torch": "train",
    "sklearn": "demo",
    "matplotlib": "plot",
}
#: The distributions of modules that have another name.
DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow", "lava": "lava-nc", "lavadl_kernels": "lavadl-ref"}
#: Where PyTorch's builds are chosen. The one that pip takes by itself may bring CUDA: gigabytes of no use here.
GET_TORCH = "https://pytorch.org/get-started"


class ExtraMissing(ModuleNotFoundError):
    """A module of an extra is not installed; the message says what to type."""


def advice(extra: str) -> str:
    """The command that installs an extra, a key of `EXTRAS`, in one line.

    Examples
    --------
    >>> advice("pictures")
    'pip install "lavadl-ref[pictures]"'
    """
    command = f'pip install "lavadl-ref[{extra}]"'
    if "torch" in EXTRAS.get(extra, ()):
        command += f" (for PyTorch without CUDA, first type what {GET_TORCH} gives for CPU)"
    return command


def require(extra: str, what: str, *modules: str) -> None:
    """Check that an extra is installed; nothing is imported.

    Parameters
    ----------
    extra : str
        A key of `EXTRAS`.
    what : str
        The part of ours that needs it, for the error.
    *modules : str
        Those modules of it that are needed; all of them by default.

    Raises
    ------
    ExtraMissing
        If something of it is missing; says what, and what to type.
    """
    lacking = [module for module in modules or EXTRAS[extra] if not _is_there(module)]
    if lacking:
        *others, last = [DISTRIBUTIONS.get(module, module) for module in lacking]
        names = f"{', '.join(others)} and {last}, which are" if others else f"{last}, which is"
        raise ExtraMissing(f"{what} needs {names} not installed: {advice(extra)}", name=lacking[0])


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
