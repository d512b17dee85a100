"""Parts that the losses share: the reduction of the terms, and checks of labels."""

from __future__ import annotations

import torch

from lavadl_ref.slayer.utils import _validate
from lavadl_ref.slayer.utils.time import replicate

REDUCTIONS = ("sum", "mean", "none")


def reduced(terms: torch.Tensor, reduction: str) -> torch.Tensor:
    """The sum or the mean of `terms` (any shape) as a scalar, or the terms themselves as a vector."""
    _validate.choice(reduction, "reduction", REDUCTIONS)
    if reduction == "none":
        return terms.flatten()
    return terms.sum() if reduction == "sum" else terms.mean()


def shaped(label: torch.Tensor, allowed: list[tuple[int, ...]], message: str) -> torch.Tensor:
    """`label` reshaped to the first of the `allowed` shapes that it has, axes of length 1 not counted.

    Raises
    ------
    ValueError
        It has none of them: `message`, in which ``{}`` stands for the allowed shapes, and the shape of `label`.
    """
    given = [extent for extent in label.shape if extent != 1]
    for shape in allowed:
        if given == [extent for extent in shape if extent != 1]:
            return label.reshape(shape)
    raise ValueError(message.format(" or ".join(map(str, dict.fromkeys(allowed)))) + f", got {tuple(label.shape)}")


def class_indices(label: torch.Tensor, rate: torch.Tensor, name: str) -> torch.Tensor:
    """Checked class indices: int64 (N,) for rates (N, classes), (N, T) for rates (N, classes, T).

    One label per sample (N,) is repeated over all T steps of a rate that has a time axis.

    Raises
    ------
    TypeError
        `label` is no tensor of integers.
    ValueError
        Its shape does not fit, or an index is no class.
    """
    _validate.tensor(label, f"label of {name}", 0)
    if label.is_floating_point() or label.dtype == torch.bool:
        raise TypeError(f"label of {name} must hold class indices (integers), got dtype {label.dtype}")
    samples, classes, *steps = rate.shape
    allowed: list[tuple[int, ...]] = [(samples,), (samples, *steps)] if steps else [(samples,)]
    label = shaped(label, allowed, f"label of {name} must have shape {{}}")
    if label.numel() and not (label.min() >= 0 and label.max() < classes):
        raise ValueError(
            f"label of {name} must lie in 0..{classes - 1}, got indices in {int(label.min())}..{int(label.max())}"
        )
    index = label.to(device=rate.device, dtype=torch.int64)
    return replicate(index, steps[0]) if steps and index.ndim == 1 else index
