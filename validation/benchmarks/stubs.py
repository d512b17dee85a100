"""Stand-ins for what the peers import when they are loaded and nothing here uses: pictures, sounds, chips, logs."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

NAMES = ("torchvision", "torchaudio", "cv2", "samna", "nir", "nirtorch", "loguru", "pbr", "einops", "tensorboard")
#: What is installed and refuses to load without one of those.
REFUSING = ("torch.utils.tensorboard",)


class _Anything:
    """A class, function or object that accepts whatever is done with it when a module is loaded."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __call__(self, *args: Any, **kwargs: Any) -> _Anything:
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self


class _Module(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        # names in capitals are classes to inherit from
        return type(name, (_Anything,), {}) if name[:1].isupper() else _Anything()


class _Finder:
    """Finds the stand-ins, after everything that is installed."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        if name.partition(".")[0] not in NAMES:
            return None
        return importlib.util.spec_from_loader(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None: ...


def install() -> None:
    """Let imports of `NAMES` that are not installed succeed."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
        sys.modules.update({name: sys.modules.get(name, _Module(name)) for name in REFUSING})
