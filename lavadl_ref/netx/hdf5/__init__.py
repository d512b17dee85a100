"""Networks read from ``.net`` files.

Lava imports every file of this folder whenever it compiles a network, so it holds nothing
but the process and its model.
"""

from lavadl_ref.netx import lava_support

lava_support.enable()  # raises an error with the command to type where Lava is missing

from lavadl_ref.netx.hdf5.process import Network  # noqa: E402

__all__ = ["Network"]
