"""Support for Lava on recent versions of Python and NumPy.

lava-nc 0.10.0 declares Python < 3.11 and NumPy < 2.  It runs on later ones with small
patches, each a named function below with the version that makes it needed:

===========================  =================  ====================================================
`patch_byte_encoder`         Python >= 3.11     a dataclass used as another's default must be hashable
`patch_reshape_port`         NumPy >= 2.0       ``np.reshape`` calls its argument ``shape``
`patch_conv_parameters`      NumPy >= 2.0       8-bit hyper-parameters overflow instead of promoting
`patch_conv_sums`            any                sums beyond 32 bits end as C casts them, which it leaves open
`patch_log_handlers`         any                every process adds a handler to Python's root log, for ever
===========================  =================  ====================================================

On Python 3.10 with NumPy 1 only the last two do anything.  The patches change the installed
package in memory only, nothing on disk.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import importlib.metadata
import importlib.util
import logging
import multiprocessing
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

LAVA_VERSION = "0.10.0"
HOW_TO_INSTALL = (
    "Install it with\n"
    f"    pip install --ignore-requires-python --no-deps lava-nc=={LAVA_VERSION}\n"
    "    pip install 'lavadl-ref[lava]'"
)
_NEEDED = ("networkx", "asteval", "psutil", "scipy")
_NUMPY = tuple(int(part) for part in np.__version__.split(".")[:2])

#: Names of the patches in force, in the order they were applied.
applied: list[str] = []


class LavaUnavailable(ImportError):
    """lava-nc, or something it imports, is not installed."""


def available() -> tuple[bool, str]:
    """Tell whether Lava can run here, and the reason, or the command to type if it cannot.

    The function reads installed metadata and does not import Lava.
    """
    if sys.platform != "linux":
        return False, f"Lava's runtime needs Linux, this is {sys.platform}."
    try:
        version = importlib.metadata.version("lava-nc")
    except importlib.metadata.PackageNotFoundError:
        return False, f"lava-nc is not installed. {HOW_TO_INSTALL}"
    if version != LAVA_VERSION:
        return False, f"lava-nc {version} is installed, {LAVA_VERSION} is needed. {HOW_TO_INSTALL}"
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        return False, f"lava-nc needs {', '.join(missing)}. {HOW_TO_INSTALL}"
    return True, f"lava-nc {version}"


def enable() -> None:
    """Make lava-nc importable and correct on this Python and NumPy; harmless when called again.

    Raises
    ------
    LavaUnavailable
        If Lava cannot run here; the message says what to type.
    """
    usable, message = available()
    if not usable:
        raise LavaUnavailable(message)
    with _start_method_kept():
        if sys.version_info >= (3, 11):
            patch_byte_encoder()
        if _NUMPY >= (2, 0):
            patch_reshape_port()
            patch_conv_parameters()
        patch_conv_sums()
        patch_log_handlers()


@contextlib.contextmanager
def _start_method_kept() -> Iterator[None]:
    """Let Lava ask for the start method 'fork' although it is in force already, which Python refuses.

    Raises
    ------
    LavaUnavailable
        If another method is in force: Lava's actors need 'fork'.
    """
    method = multiprocessing.get_start_method(allow_none=True)
    if method not in (None, "fork"):
        raise LavaUnavailable(f"Lava needs the multiprocessing start method 'fork', {method!r} is set")
    original = multiprocessing.set_start_method
    if method == "fork":
        multiprocessing.set_start_method = lambda *args, **options: None
    try:
        yield
    finally:
        multiprocessing.set_start_method = original


def patch_byte_encoder() -> None:
    """Import Lava's compiler while its `ByteEncoder` dataclass, and no other class, is made hashable.

    Python 3.11 refuses an unhashable default in a dataclass.  Lava has exactly one: instances
    of `ByteEncoder` are the defaults of other encoders, never changed by anyone.
    """
    if "lava.magma.compiler.var_model" in sys.modules:
        return
    original = dataclasses.dataclass

    def dataclass(cls: Any = None, /, **options: Any) -> Any:
        if cls is not None and cls.__module__ == "lava.magma.compiler.var_model" and cls.__name__ == "ByteEncoder":
            return original(cls, unsafe_hash=True, **options)
        return original(cls, **options)

    dataclasses.dataclass = dataclass
    try:
        importlib.import_module("lava.magma.compiler.var_model")
    finally:
        dataclasses.dataclass = original
    applied.append("byte_encoder")


def patch_reshape_port() -> None:
    """Let `ReshapePort` name the shape as NumPy does now (``newshape`` is gone from NumPy 2.4)."""
    if "reshape_port" in applied:
        return
    from lava.magma.core.process.ports.ports import ReshapePort

    def get_transform_func_fwd(self: Any) -> functools.partial[Any]:
        """Reshape data on the way to the destination."""
        return functools.partial(_reshape, self.shape)

    def get_transform_func_bwd(self: Any) -> functools.partial[Any]:
        """Reshape data on the way back to the source."""
        return functools.partial(_reshape, self.old_shape)

    ReshapePort.get_transform_func_fwd = get_transform_func_fwd
    ReshapePort.get_transform_func_bwd = get_transform_func_bwd
    applied.append("reshape_port")


def _reshape(shape: tuple[int, ...], data: Any) -> Any:
    return np.reshape(data, shape)


def patch_conv_parameters() -> None:
    """Hold the convolution's kernel size, stride, padding, dilation and groups in 32 bits instead of 8.

    From NumPy 2.0 on an 8-bit scalar no longer promotes when it meets a Python integer
    above 127, so any picture wider than that ends the convolution with OverflowError.
    """
    if "conv_parameters" in applied:
        return
    from lava.magma.core.model.py.type import LavaPyType
    from lava.proc.conv.models import AbstractPyConvModel

    for name in ("kernel_size", "stride", "padding", "dilation", "groups"):
        setattr(AbstractPyConvModel, name, LavaPyType(np.ndarray, np.int32, precision=8))
    applied.append("conv_parameters")


def patch_conv_sums() -> None:
    """Let sums of a convolution beyond 32 bits reach the wrap at 24 bits as they are.

    Graded messages can make them.  Lava casts them from float64 to int32 first, and the result for numbers
    that do not fit is the processor's choice.
    """
    if "conv_sums" in applied:
        return
    from lava.proc.conv import utils

    original = utils.conv

    @functools.wraps(original)
    def conv(input_: Any, weight: Any, *window: Any) -> Any:
        return original(input_, weight.astype(np.int64) if weight.dtype.kind == "i" else weight, *window)

    utils.conv = conv
    applied.append("conv_sums")


def patch_log_handlers() -> None:
    """Let a process that was given no ``log_config`` leave Python's root log as it is.

    Lava adds a handler for each process and never removes it: memory grows, and a message comes once for each of
    them.  Without it Python writes warnings to standard error all the same.
    """
    if "log_handlers" in applied:
        return
    from lava.magma.core.process.process import AbstractProcess

    original = AbstractProcess.__init__
    root = logging.getLogger()

    @functools.wraps(original)
    def init(self: Any, **proc_params: Any) -> None:
        before = list(root.handlers)
        original(self, **proc_params)
        if not proc_params.get("log_config"):
            for handler in [handler for handler in root.handlers if handler not in before]:
                root.removeHandler(handler)

    AbstractProcess.__init__ = init
    applied.append("log_handlers")
