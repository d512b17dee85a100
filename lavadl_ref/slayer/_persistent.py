"""State that persists between calls, in checkpoints."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Persistent(torch.nn.Module):
    """A module whose state persists between calls, and is then part of its state dict.

    Subclasses name the attributes in `_states`; each is saved as ``persistent_`` and its name, without elements for a
    module at rest. They are no buffers, so that copies and averages of a network have states of their own. A state dict
    without them, as those of Lava-DL and of modules whose state does not persist, leaves the states as they are.
    """

    _states: tuple[str, ...] = ()
    _state_dtype = torch.float64

    @property
    def _persists(self) -> bool:
        """Tell whether there is state between calls."""
        return bool(getattr(self, "persistent_state", False))

    def _rest_of_state(self, name: str) -> Tensor | None:
        """The value that stands for the state `name` at rest."""
        return None

    def _is_at_rest(self, name: str) -> bool:
        state, rest = getattr(self, name), self._rest_of_state(name)
        return state is None or (rest is not None and state.shape == rest.shape and bool((state == rest).all()))

    def _state_shape(self) -> torch.Size | None:
        """The axes behind the batch in the shape of a state; None while they are not known."""
        shape: torch.Size | None = getattr(self, "shape", None)
        return shape

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name in self._states if self._persists else ():
            resting = self._is_at_rest(name)
            destination[_key(prefix, name)] = torch.zeros(0) if resting else getattr(self, name).detach()

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, metadata: Any, strict: bool, missing: Any, unexpected: Any, errors: Any
    ) -> None:
        for name in self._states:
            value = state_dict.pop(_key(prefix, name), None)
            problem = None if value is None else self._unfit(value)
            if problem is not None:
                errors.append(f"{_key(prefix, name)} {problem}")
            elif value is not None:
                held = value.detach().to(self._state_dtype, copy=True) if value.numel() else self._rest_of_state(name)
                setattr(self, name, held)
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, missing, unexpected, errors)

    def _unfit(self, value: Any) -> str | None:
        """The reason why `value` cannot be a state of this module; None if it can."""
        if not isinstance(value, Tensor) or value.is_complex():
            return f"must be a real tensor, got {value.dtype if isinstance(value, Tensor) else type(value).__name__}"
        if not value.isfinite().all():
            return "must be finite"
        shape = self._state_shape()
        if shape is None or value.numel() < 2 or value.shape[1:][: len(shape)] == shape:
            return None
        return f"must have the shape (N, {', '.join(map(str, shape))}) of these neurons, got {tuple(value.shape)}"


def _key(prefix: str, name: str) -> str:
    return f"{prefix}persistent_{name}"
