"""Processes that feed samples to a network through the bias of its input layer, and collect its messages.

Lava-DL's documentation imports them from ``lava.proc.io``, where lava-nc has none of them; with
`lavadl_ref.drop_in` installed they are found there. Lava imports every file of this folder whenever it compiles a
network, so it holds nothing but processes and their models.
"""

from lavadl_ref.netx import lava_support

lava_support.enable()  # raises an error with the command to type where Lava is missing

from lavadl_ref.netx.io.process import BiasWriter, InputLoader, OutputReader  # noqa: E402

__all__ = ["BiasWriter", "InputLoader", "OutputReader"]
