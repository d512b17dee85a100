"""Checkpoints, from which an interrupted training continues as if it had not been interrupted."""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from time import perf_counter
from typing import Any

import _interrupted
import numpy as np
import torch

from lavadl_ref.exchange import atomic

SAVE_EVERY = 30.0  #: seconds between checkpoints on the disk: the work that a crash can lose


class Checkpoint:
    """The state of a training after its last step, in memory and in a file.

    The file is written every `SAVE_EVERY` seconds and on interruption.

    Parameters
    ----------
    path : path
        The file of the checkpoint.
    settings : str
        The settings of the training; a checkpoint of other settings is refused.
    parts : mapping
        The objects with a ``state_dict`` that the training changes, by name.

    The state in memory is always that after a complete step, so that an interruption may come at any time.
    """

    def __init__(self, path: Path, settings: str, parts: Mapping[str, Any]) -> None:
        self.path = path
        self.settings = settings
        self.parts = dict(parts)
        self._noted: tuple[dict[str, Any], str] | None = None
        self._saved = perf_counter()

    def note(self, says: str, **values: Any) -> None:
        """Copy the states of all parts and random generators, and other `values`, as they are now.

        `says` describes the progress of the training. The checkpoint is written if the last one is older than
        `SAVE_EVERY`.
        """
        states = {name: part.state_dict() for name, part in self.parts.items()}
        self._noted = deepcopy(states | values) | {"settings": self.settings, "random": _random_states()}, says
        if perf_counter() - self._saved >= SAVE_EVERY:
            self.write()

    def write(self) -> None:
        """Write the state that was noted last.

        If that fails, the program ends with one line, and the previous checkpoint remains.
        """
        if (problem := self._write()) is not None:
            sys.exit(f"{problem}; the checkpoint before, if there is one, is kept")

    def _write(self) -> str | None:
        assert self._noted is not None
        content = io.BytesIO()
        torch.save(self._noted[0], content)
        try:
            atomic.write_bytes(self.path, content.getvalue())
        except OSError as error:
            return f"{self.path}: {error.strerror}"
        self._saved = perf_counter()
        return None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Write the state that was noted last if the ``with`` block is interrupted."""

        def keep() -> str:
            if self._noted is None:
                return ""
            problem = self._write()
            return f" {self._noted[1]}; {'--resume goes on' if problem is None else problem}"

        with _interrupted.keeping(keep):
            yield

    def load(self) -> dict[str, Any]:
        """Set all parts and random generators to the states in the file, and return the other values that were noted.

        The program ends with one line if there is no such file, or if it is damaged, belongs to another program, or was
        written with other settings.
        """
        if not self.path.is_file():
            sys.exit(f"{self.path}: there is no such file, and so nothing to resume")
        try:
            state = torch.load(self.path, weights_only=True)
        except Exception as error:  # a damaged file raises whatever its parser meets
            sys.exit(f"{self.path} must be a checkpoint, got a file that cannot be read: {_first_line(error)}")
        if not isinstance(state, dict) or not {"settings", "random", *self.parts} <= set(state):
            sys.exit(f"{self.path} must be a checkpoint of a tutorial, got something else")
        if state["settings"] != self.settings:
            sys.exit(f"{self.path} must have the settings {self.settings}, got other settings, {state['settings']}")
        try:
            for name, part in self.parts.items():
                part.load_state_dict(state.pop(name))
            _set_random_states(state.pop("random"))
        except Exception as error:
            sys.exit(f"{self.path} must fit this training, got a checkpoint that does not: {_first_line(error)}")
        return state


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def order(count: int, seed: int, epoch: int) -> torch.Tensor:
    """The order of `count` samples in an epoch, int64 (count,). It depends on the three arguments only."""
    return torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(count))


def _random_states() -> dict[str, Any]:
    """The states of the global generators of torch, NumPy and Python, in types that a checkpoint may hold."""
    kind, key, *rest = np.random.get_state()  # noqa: NPY002 - an augmentation that the reader adds may use it
    return {
        "torch": torch.get_rng_state(),
        "numpy": (str(kind), torch.from_numpy(np.asarray(key).astype(np.int64)), *rest),
        "python": random.getstate(),
    }


def _set_random_states(states: dict[str, Any]) -> None:
    kind, key, *rest = states["numpy"]
    torch.set_rng_state(states["torch"])
    np.random.set_state((kind, key.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    random.setstate(states["python"])
