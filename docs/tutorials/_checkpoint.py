"""Checkpoints: what a training needs to go on as if it had not been interrupted."""

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

SAVE_EVERY = 30.0  #: seconds between checkpoints


class Checkpoint:
    """The state of a training after its last step, in memory; on disk now and then, and where it is interrupted.

    Parameters
    ----------
    path : path
        Where it lies.
    settings : str
        What must be the same for a run to be the same.
    parts : mapping
        What has a ``state_dict``, by name.

    What is noted is never that of half a step, so that an interruption may come at any instant.
    """

    def __init__(self, path: Path, settings: str, parts: Mapping[str, Any]) -> None:
        self.path = path
        self.settings = settings
        self.parts = dict(parts)
        self._noted: tuple[dict[str, Any], str] | None = None
        self._saved = perf_counter()

    def note(self, says: str, **values: Any) -> None:
        """Take the states of all parts and random generators, and other `values`, as they are now.

        `says` tells where the training stands. A checkpoint is written if the last one is old.
        """
        states = {name: part.state_dict() for name, part in self.parts.items()}
        self._noted = deepcopy(states | values) | {"settings": self.settings, "random": _random_states()}, says
        if perf_counter() - self._saved >= SAVE_EVERY:
            self.write()

    def write(self) -> None:
        """Write what was noted last; ends the program in one line if that fails. The checkpoint before is kept then."""
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
        """Write what was noted last if the block is interrupted."""

        def keep() -> str:
            if self._noted is None:
                return ""
            problem = self._write()
            return f" {self._noted[1]}; {'--resume goes on' if problem is None else problem}"

        with _interrupted.keeping(keep):
            yield

    def load(self) -> dict[str, Any]:
        """Give all parts and random generators the states of the file; the other values that were noted.

        Ends the program in one line if there is no such file, or it is damaged, another's, or of other settings.
        """
        if not self.path.is_file():
            sys.exit(f"{self.path}: there is no such file, and so nothing to resume")
        try:
            state = torch.load(self.path, weights_only=True)
        except Exception as error:  # a damaged file raises whatever its parser meets
            sys.exit(f"{self.path}: expected a checkpoint, but it cannot be read: {_first_line(error)}")
        if not isinstance(state, dict) or not {"settings", "random", *self.parts} <= set(state):
            sys.exit(f"{self.path}: expected a checkpoint of a tutorial, but it holds something else")
        if state["settings"] != self.settings:
            sys.exit(f"{self.path}: is of other settings, {state['settings']}; asked for are {self.settings}")
        try:
            for name, part in self.parts.items():
                part.load_state_dict(state.pop(name))
            _set_random_states(state.pop("random"))
        except Exception as error:
            sys.exit(f"{self.path}: does not fit this training: {_first_line(error)}")
        return state


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def order(count: int, seed: int, epoch: int) -> torch.Tensor:
    """The order of the samples in an epoch, which depends on nothing else."""
    return torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(count))


def _random_states() -> dict[str, Any]:
    """The states of the global generators of torch, NumPy and Python, as what a checkpoint may hold."""
    kind, key, *rest = np.random.get_state()  # noqa: NPY002 - dropout or augmentation of the reader may use it
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
