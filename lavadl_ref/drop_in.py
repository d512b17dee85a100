"""Import Lava-DL's names from this package, so that scripts written for Lava-DL run unchanged.

After `install`, ``lava.lib.dl.slayer``, ``lava.lib.dl.netx``, ``lava.lib.dl.bootstrap``, ``lava.lib.dl.decolle`` and
every module below them are names of this package's modules of the same path: the same objects, not copies. Importing a
module that this package does not have raises an ImportError that says so; an installed lava-dl is never used silently.

Lava-DL's documentation imports five names from modules that lava-nc does not have: ``lava.magma.run_configs`` and
``lava.magma.run_conditions``, which are in ``lava.magma.core``, and ``InputLoader``, ``BiasWriter`` and
``OutputReader`` of ``lava.proc.io``, which are in `lavadl_ref.netx.io`. After `install`, these imports work too.

Modules are imported when a script imports them. The first import of ``lava.magma`` or ``lava.proc`` prepares lava-nc
for the running Python version, as `lavadl_ref.netx` does, so a script may import them in any order. ``lava`` and
``lava.lib`` remain the packages of lava-nc and other Lava libraries; if none is installed, they are empty packages, in
which a library that is installed later is found.

Put these lines at the beginning of a script, before any import of Lava-DL::

    from lavadl_ref import drop_in

    drop_in.install()
    from lava.lib.dl import slayer  # this package's
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_ROOT = "lava.lib.dl"
_OURS = "lavadl_ref"
_ABOVE = ("lava", "lava.lib")
#: The first import of one of these prepares lava-nc; every import of its modules passes through one of them.
_LAVA = ("lava.magma", "lava.proc")
#: The parts of lava-dl and of its plugin, directly in `_ROOT`.
_PARTS = ("bootstrap", "decolle", "netx", "slayer")
#: Names that Lava-DL's documentation imports from lava-nc, and the module and its attribute that they get.
_ELSEWHERE: dict[str, tuple[str, str | None]] = {
    "lava.magma.run_conditions": ("lava.magma.core.run_conditions", None),
    "lava.magma.run_configs": ("lava.magma.core.run_configs", None),
    "lava.proc.io.BiasWriter": (f"{_OURS}.netx.io", "BiasWriter"),
    "lava.proc.io.InputLoader": (f"{_OURS}.netx.io", "InputLoader"),
    "lava.proc.io.OutputReader": (f"{_OURS}.netx.io", "OutputReader"),
}
#: Modules of lava-dl that have nothing to do here, and the reason.
_INSTEAD = {"slayer.jitconfig": "there is no CUDA code to configure"}


def install() -> None:
    """Make ``lava.lib.dl`` refer to this package until `uninstall`; harmless when called again.

    Raises
    ------
    RuntimeError
        If a part of lava-dl has been imported already, because it would be mixed with this package.
    """
    if _ALIASES in sys.meta_path:
        return
    foreign = sorted(
        name
        for name, module in list(sys.modules.items())
        if name.startswith(_ROOT + ".") and module is not None and not _is_ours(module)
    )
    if foreign:
        raise RuntimeError(
            f"lava-dl is imported already ({foreign[0]}); call lavadl_ref.drop_in.install() before anything imports it"
        )
    _forget(_ROOT)
    sys.meta_path.insert(0, _ALIASES)
    sys.meta_path.append(_PARENTS)


def uninstall() -> None:
    """Undo `install`; harmless without one.

    Modules that a script has imported stay valid. A new import of ``lava.lib.dl`` finds lava-dl, or fails.
    """
    if _ALIASES not in sys.meta_path:
        return
    sys.meta_path.remove(_ALIASES)
    sys.meta_path.remove(_PARENTS)
    for name in [name for name in list(sys.modules) if name.startswith(_ROOT + ".")]:
        del sys.modules[name]
    for name in (_ROOT, *_ELSEWHERE):
        _forget(name)
    for name in reversed(_ABOVE):
        spec = getattr(sys.modules.get(name), "__spec__", None)
        in_use = any(other.startswith(name + ".") for other in sys.modules)
        if spec is not None and spec.loader is _PARENTS and not in_use:
            _forget(name)


def _is_ours(module: ModuleType) -> bool:
    return module.__name__ == _OURS or module.__name__.startswith(_OURS + ".")


def _forget(name: str) -> None:
    """Take a module out of the interpreter's table and out of the package above it."""
    sys.modules.pop(name, None)
    above, _, child = name.rpartition(".")
    if above in sys.modules:
        vars(sys.modules[above]).pop(child, None)


class _Loaded(Loader):
    """Gives the module or class that was loaded while its name was looked up, instead of loading it once more."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = self.module


class _Aliases(MetaPathFinder, Loader):
    """Finds ``lava.lib.dl`` and the modules below it, before any other finder."""

    preparing = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == _ROOT:
            return ModuleSpec(fullname, self, is_package=True)
        if fullname in _LAVA and not self.preparing:
            return self._prepared(fullname)
        if fullname in _ELSEWHERE:
            name, part = _ELSEWHERE[fullname]
            found: Any = importlib.import_module(name)
            return ModuleSpec(fullname, _Loaded(found if part is None else getattr(found, part)), origin=name)
        if not fullname.startswith(_ROOT + "."):
            return None
        inner = fullname.removeprefix(_ROOT + ".")
        ours = f"{_OURS}.{inner}"
        if inner.split(".")[0] not in _PARTS:
            raise ImportError(f"lava-dl has {', '.join(_PARTS)}, but no {fullname}", name=fullname)
        spec = importlib.util.find_spec(ours)
        if spec is None:
            reason = "".join(f": {text}" for name, text in _INSTEAD.items() if f"{inner}.".startswith(f"{name}."))
            raise ImportError(
                f"lavadl_ref, which stands in for lava-dl here, has no {ours} for {fullname}{reason}", name=fullname
            )
        return ModuleSpec(fullname, self, origin=ours, is_package=spec.submodule_search_locations is not None)

    def _prepared(self, fullname: str) -> ModuleSpec | None:
        """Prepare lava-nc; the spec of `fullname` if that imported it, else None."""
        self.preparing = True
        try:
            importlib.import_module(f"{_OURS}.netx")
        finally:
            self.preparing = False
        # importlib would load a module a second time that it finds in the table now.
        module = sys.modules.pop(fullname, None)
        return None if module is None else ModuleSpec(fullname, _Loaded(module), is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of ours in the place of the empty `module`."""
        alias = module.__name__
        if alias == _ROOT:
            return
        ours = _OURS + alias.removeprefix(_ROOT)
        sys.modules[alias] = importlib.import_module(ours)
        # Importing a name sets it in its package: there it would replace a function called like its module, as
        # slayer.utils.quantize. A name that is in the table already is not set again.
        for name in [name for name in list(sys.modules) if name.startswith(ours + ".")]:
            sys.modules.setdefault(_ROOT + name.removeprefix(_OURS), sys.modules[name])


class _Portions:
    """The folders of a namespace package at the moment of the question: a library may have been installed since."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __iter__(self) -> Iterator[str]:
        above = self.name.rpartition(".")[0]
        spec = PathFinder.find_spec(self.name, sys.modules[above].__path__ if above else None)
        return iter((spec.submodule_search_locations if spec else None) or ())


class _Parents(MetaPathFinder, Loader):
    """Finds ``lava`` and ``lava.lib`` if no other finder does."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _ABOVE:
            return None
        spec = ModuleSpec(fullname, self, is_package=True)
        portions: Any = _Portions(fullname)
        spec.submodule_search_locations = portions
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        pass


_ALIASES = _Aliases()
_PARENTS = _Parents()
