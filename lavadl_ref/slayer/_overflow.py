"""Messages for values that leave the fixed-point range: the cause, and the way out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from lavadl_kernels.fixed_point import STATE_ONE, input_bound
from numpy.typing import NDArray

CHUNKS = "a long stream can be given in chunks, to neurons with persistent_state=True"


def not_finite(values: NDArray[Any]) -> str | None:
    """The values that are not finite, in words; None if all are finite."""
    bad = ~np.isfinite(values)
    if not bad.any():
        return None
    kinds = [str(kind) for kind in np.unique(values[bad])]
    return f"{' and '.join(kinds)} in {int(bad.sum())} of {values.size} values"


def explanation(text: str, x: Sequence[NDArray[Any]], alone: Callable[[], Any] | None = None) -> str:
    """The message for a kernel's error `text` on the inputs `x`, (T, M) each; `alone` runs it without its feedback."""
    found = next((bad for part in x if (bad := not_finite(part)) is not None), None)
    if found is not None:
        return f"neuron input must be finite, got {found}"
    largest = max((float(np.abs(part).max(initial=0)) for part in x), default=0.0)
    if alone is not None:
        try:
            alone()
        except ValueError:
            pass
        else:
            return (
                f"feedback must stay in the fixed-point range, but ran away within {len(x[0])} steps of an input of at "
                f"most {largest:.6g}: what the neurons send each other grows from step to step; make the recurrent "
                "weights or the size of graded spikes smaller"
            )
    # fewer steps do not help where a single one is too much
    shorter = " steps" in text and largest * STATE_ONE < input_bound(1, True)
    return f"{text}; {CHUNKS}" if shorter else text


def blamed(what: str, args: Iterable[Any], parameters: Iterable[tuple[str, torch.Tensor]]) -> str | None:
    """The message that names the input or parameter of `what` that is not finite, if there is one."""
    named = [("input", part) for arg in args for part in (arg if isinstance(arg, tuple) else (arg,))]
    for name, value in [*named, *parameters]:
        real = isinstance(value, torch.Tensor) and value.is_floating_point()
        found = not_finite(value.detach().float().numpy()) if real and value.device.type == "cpu" else None
        if found is not None:
            return f"{name} of {what} must be finite, got {found}"
    return None
