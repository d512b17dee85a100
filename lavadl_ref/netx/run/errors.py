"""The ways in which a run on Lava fails."""

from __future__ import annotations


class LavaRunError(RuntimeError):
    """A network failed on Lava."""


class LavaTimeout(LavaRunError, TimeoutError):
    """A network did not finish in the time it was given."""
