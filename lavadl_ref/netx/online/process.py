"""Blocks that learn, as Lava processes."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var

from lavadl_ref.netx.online.values import bits, blocks_of
from lavadl_ref.online import Learner


class LearningBlock(AbstractProcess):
    """One block of a network that learns by the rule ``"local"``, or only runs where nothing of it is trained.

    Parameters
    ----------
    learner : Learner
        Of this one block, rule ``"local"``, in the state to begin from.  The process works on a copy.
    shapes : tuple of tuple of int
        What enters and what leaves the block at a step, (C, ...) each.
    units : tuple of int
        Integers per unit of what enters and of what leaves, 0 for float32 values that go as their bits.
    interval : int, optional
        Steps of a sample: the block is at rest before each, and updates its parameters after it.  Without it the
        signal goes on for ever.
    steps : int, optional
        With `path`, the step after which the block is left there.
    path : path, optional
        A file for the learner (pickled) after the step `steps`, what left the block and what was read of it.

    Attributes
    ----------
    s_in : InPort
        int32 of the first shape.
    label_in : InPort
        (1,) int32, the label of this step, -1 where there is none.
    s_out : OutPort
        int32 of the second shape, in the same step: the shift by one step that a block has is the block's own.
    parameters : Var
        (P,) int32: the bits of all parameters, as `bits` gives them, (1,) zeros without any.  A value that is set acts
        from the next step on.  float32 itself would not do: Lava's runtime hangs where a Var of floats is read.

    Raises
    ------
    ValueError
        In Lava's process, if a message is no multiple of its unit.
    """

    def __init__(
        self,
        *,
        learner: Learner,
        shapes: tuple[tuple[int, ...], tuple[int, ...]],
        units: tuple[int, int],
        interval: int | None = None,
        steps: int | None = None,
        path: str | Path | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            learner=pickle.dumps(learner),
            units=units,
            interval=interval,
            steps=steps,
            path=None if path is None else str(path),
            name=name,
        )
        taken, sent = shapes
        (block,) = blocks_of(learner)
        held = bits(block)
        self.s_in = InPort(shape=taken)
        self.label_in = InPort(shape=(1,))
        self.s_out = OutPort(shape=sent)
        # a Var has one element at least
        self.parameters = Var(shape=(max(held.size, 1),), init=held if held.size else np.zeros(1, np.int32))
