"""Checkpoints, from which an interrupted training continues as if it had not been interrupted."""

from __future__ import annotations

import io
import os
import random
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import Any, NoReturn

import numpy as np
import torch

from lavadl_ref.exchange import atomic

SAVE_EVERY = 30.0  #: seconds between checkpoints on the disk: the work that a crash can lose
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Checkpoint:
    """The state of a training after its last complete step, in memory and in a file.

    `note` copies the state at the end of each step, so that an interruption may come at any time. The file is written
    every `SAVE_EVERY` seconds, and where a block in `kept` is left by an interruption or an error. It appears complete
    or not at all: the one before stays until then.

    Parameters
    ----------
    path : path, optional
        The file of the checkpoint, in a folder that exists. Without one nothing is written.
    settings : str
        The settings of the training; a checkpoint of other settings is refused.
    parts : mapping
        The objects with a ``state_dict`` that the training changes, by name.

    Examples
    --------
    >>> import tempfile
    >>> net = torch.nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = Checkpoint(f"{folder}/checkpoint.pt", "width 2", {"net": net})
    ...     checkpoint.note("after step 3", step=3)
    ...     checkpoint.write()
    ...     before = net.weight.clone()
    ...     net.weight.data.zero_()
    ...     values = checkpoint.load()
    tensor([[0., 0.]])
    >>> torch.equal(net.weight, before), values
    (True, {'step': 3})
    """

    def __init__(self, path: str | os.PathLike[str] | None, settings: str, parts: Mapping[str, Any]) -> None:
        self.path = None if path is None else Path(path)
        self.settings = settings
        self.parts = dict(parts)
        self.says = ""  #: the progress of the training, as noted last
        self._noted: dict[str, Any] | None = None
        self._written = True  # whether the file has what was noted last, or could not be written
        self._saved = perf_counter()

    def note(self, says: str, **values: Any) -> None:
        """Copy the states of all parts and random generators, and other `values`, as they are now.

        `says` describes the progress of the training. The checkpoint is written if the last one is older than
        `SAVE_EVERY`.

        Raises
        ------
        OSError
            As `write`.
        """
        states = {name: part.state_dict() for name, part in self.parts.items()}
        noted = deepcopy(states | values) | {"settings": self.settings, "random": _random_states()}
        self._noted, self.says, self._written = noted, says, False
        if perf_counter() - self._saved >= SAVE_EVERY:
            self.write()

    def write(self) -> None:
        """Write the state that was noted last, if the file does not have it yet.

        Raises
        ------
        OSError
            The file cannot be written; the one before, if there is one, is kept.
        """
        if self.path is None or self._noted is None or self._written:
            return
        self._written = True
        content = io.BytesIO()
        torch.save(self._noted, content)
        try:
            atomic.write_bytes(self.path, content.getvalue())
        except OSError as error:
            said = f"{error.strerror}; the checkpoint before, if there is one, is kept"
            raise OSError(error.errno, said, str(self.path)) from None
        self._saved = perf_counter()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Write the state that was noted last if the ``with`` block ends by an interruption or an error.

        In the main thread, SIGTERM and SIGHUP end the block as ``SystemExit(128 + number)``, unless the program
        handles them itself.
        """
        with _unwound_by_signals():
            try:
                yield
            except BaseException:
                with _signals_ignored(), suppress(OSError):  # what ended the block is what matters
                    self.write()
                raise

    def load(self) -> dict[str, Any]:
        """Set all parts and random generators to the states in the file, and return the other values that were noted.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            It is damaged, is no checkpoint, or was written with other settings or of other parts.
        """
        return self.restore(self.read())

    def read(self) -> dict[str, Any]:
        """The content of the file, which `restore` takes.

        Raises
        ------
        FileNotFoundError, ValueError
            As `load`.
        """
        if self.path is None or not self.path.is_file():
            raise FileNotFoundError(f"{self.path}: there is no such file, and so nothing to resume")
        try:
            state = torch.load(self.path, weights_only=True)
        except Exception as error:  # a damaged file raises whatever its parser meets
            said = _first_line(error)
            raise ValueError(f"{self.path} must be a checkpoint, got a file that cannot be read: {said}") from None
        if not isinstance(state, dict) or not {"settings", "random", *self.parts} <= set(state):
            raise ValueError(f"{self.path} must be a checkpoint of a training, got something else")
        if state["settings"] != self.settings:
            wanted = f"{self.path} must have the settings {self.settings}"
            raise ValueError(f"{wanted}, got other settings, {state['settings']}")
        return state

    def restore(self, state: dict[str, Any]) -> dict[str, Any]:
        """Set all parts and random generators to a `state` of `read`, and return the other values that were noted.

        Raises
        ------
        ValueError
            The state does not fit the parts.
        """
        try:
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
            _set_random_states(state["random"])
        except Exception as error:
            said = _first_line(error)
            raise ValueError(f"{self.path} must fit this training, got a checkpoint that does not: {said}") from None
        return {name: value for name, value in state.items() if name not in {"settings", "random", *self.parts}}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextmanager
def _unwound_by_signals() -> Iterator[None]:
    """Let signals that would end the process at once end the block as SystemExit."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    main = threading.current_thread() is threading.main_thread()
    usual = [number for number in _SIGNALS if main and signal.getsignal(number) is signal.SIG_DFL]
    try:
        for number in usual:
            signal.signal(number, end)
        yield
    finally:
        for number in usual:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def _signals_ignored() -> Iterator[None]:
    """Ignore further signals while the checkpoint is written, which is quick."""
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in (*_SIGNALS, signal.SIGINT)} if main else {}
    try:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _random_states() -> dict[str, Any]:
    """The states of the global generators of torch, NumPy and Python, in types that a checkpoint may hold."""
    kind, key, *rest = np.random.get_state()  # noqa: NPY002 - an augmentation of the user may use it
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
