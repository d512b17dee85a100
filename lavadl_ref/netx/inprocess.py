"""Runs of Lava's process models inside this process: the public name of `lavadl_ref.netx.run.inprocess`."""

from lavadl_ref.netx.run.inprocess import Session, run

__all__ = ["Session", "run"]
