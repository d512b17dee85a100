"""The rate of a neuron over its drive: sampled from spiking neurons, fitted by a piecewise linear curve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from lavadl_kernels.ops import piecewise
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from lavadl_ref import _extras
from lavadl_ref._assigned import derived
from lavadl_ref.slayer._bridge.autograd import follow_torch
from lavadl_ref.slayer._bridge.function import TypedFunction
from lavadl_ref.slayer.utils import _validate

Array = NDArray[np.float64]
F = TypeVar("F", np.float32, np.float64)

_BY_FIT = "samples and curve change by append, clear, fit and load_state_dict"
LOWEST_MAX = 0.8  #: the curve reaches at least this rate, however rarely neurons fired in the samples; as Lava-DL's


class AnnSampler(torch.nn.Module):
    """Samples of drive z and rate a, both means over time, and the piecewise linear curve a = f(z) through them.

    `fit` computes the medians of z and a in bins of equal height between `sample_range[0]` and `sample_range[1]` of the
    highest rate. If an earlier curve has a centre in a bin, the new centre is `alpha` times the median plus 1 - `alpha`
    times the old one. The first slope is extended to rate 0 and the last to the highest rate, where the curve stays
    constant.

    Parameters
    ----------
    num_centers : int
        Number of bins, at least 1, and less than half the number of time steps, because rates are multiples of one over
        that number.
    sample_range : (float, float)
        Lowest and highest sampled rate, as parts of the highest.
    eps : float
        Added to the slope in the gradient, so that neurons beyond the curve's ends learn.

    Attributes
    ----------
    samples : Tensor
        (2, n) float32 buffer, z and a.
    curve : Tensor
        (K, 3) float64 buffer: z, a and the slope to the right of each knot; (0, 3) before the first fit.
    steps : Tensor
        int64 buffer, the number of time steps of the last samples; 0 before.
    alpha : float
        Weight of new medians, 0.1.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    The gradient is that of the curve, scaled so that its mean slope is about 1, as Lava-DL's: ``slope * scale + eps``,
    with `scale` the drive over the rate of the last knot; a drive that is not positive counts from the first knot.

    Curve and samples are saved with the module, so that training goes on from a checkpoint as it would have. A
    checkpoint of Lava-DL's has none of them and loads as unfitted.

    Examples
    --------
    >>> import torch
    >>> sampler = AnnSampler()
    >>> drives = torch.linspace(0, 2, 200)
    >>> sampler.append(drives.clamp(0, 1)[:, None], drives[:, None])
    >>> sampler.fit()
    >>> [round(rate, 2) for rate in sampler(torch.tensor([-1.0, 0.5, 9.0])).tolist()]
    [0.0, 0.5, 1.0]
    """

    def __init__(self, num_centers: int = 5, sample_range: Sequence[float] = (0.1, 0.9), eps: float = 1e-5) -> None:
        super().__init__()
        _validate.integer(num_centers, "num_centers", 1)
        _validate.number(eps, "eps")
        if (
            _validate.numbers_of(sample_range, "sample_range").shape != (2,)
            or not 0 <= sample_range[0] < sample_range[1] <= 1
        ):
            raise ValueError(f"sample_range must be two increasing numbers from 0 to 1, got {sample_range!r}")
        self.num_centers = num_centers
        self.sample_range = tuple(sample_range)
        self.eps = eps
        self.alpha = 0.1
        self._prepared: tuple[Tensor, tuple[int, float], Knots] | None = None
        self.samples: Tensor
        self.curve: Tensor
        self.steps: Tensor
        self.register_buffer("samples", torch.zeros(2, 0))
        self.register_buffer("curve", torch.zeros(0, 3, dtype=torch.float64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @derived(_BY_FIT)
    def z(self) -> NDArray[np.float32]:
        """The sampled drives, (n,)."""
        return self.samples[0].numpy()

    @derived(_BY_FIT)
    def a(self) -> NDArray[np.float32]:
        """The sampled rates, (n,)."""
        return self.samples[1].numpy()

    @property
    def fitted(self) -> bool:
        """True if there is a curve."""
        return self.curve.shape[0] > 0

    @derived(_BY_FIT)
    def centers(self) -> Array | None:
        """Drive and rate of each knot, (K, 2); None before the first fit."""
        return self.curve[:, :2].double().numpy() if len(self.curve) else None

    @derived(_BY_FIT)
    def slopes(self) -> Array | float:
        """The slope of each piece, (K - 1,); 1 before the first fit."""
        return self.curve[:-1, 2].double().numpy() if len(self.curve) else 1.0

    @derived(_BY_FIT)
    def max(self) -> float:
        """The highest rate; 1 before the first fit."""
        return self.curve[-1, 1].item() if len(self.curve) else 1.0

    @derived(_BY_FIT)
    def scale(self) -> float:
        """The factor of the slopes in the gradient, above 0; 1 before the first fit."""
        return float(_scale(*self.curve[:, :2].double().numpy().T)) if len(self.curve) else 1.0

    def append(self, a: Tensor, z: Tensor) -> None:
        """Keep the means over time of spikes `a` and drives `z`.

        Parameters
        ----------
        a, z : Tensor
            float32 (..., T) and (..., T'), equal but for the number of steps.

        Raises
        ------
        ValueError
            If their shapes differ otherwise, or a mean is not finite.
        """
        if a.shape[:-1] != z.shape[:-1]:
            raise ValueError(f"a and z must be of the same neurons, got shapes {tuple(a.shape)} and {tuple(z.shape)}")
        with torch.no_grad():
            new = torch.stack([x.mean(dim=-1).reshape(-1).float() for x in (z, a)])
            if not new.isfinite().all():
                raise ValueError("rates and drives must be finite to be sampled")
            self.samples = torch.cat([self.samples, new], dim=1)
            self.steps = torch.tensor(a.shape[-1])

    def clear(self) -> None:
        """Drop all samples and keep the curve."""
        self.samples = torch.zeros(2, 0)

    def soft_clear(self) -> None:
        """Drop a random half of the samples, drawn by torch's generator."""
        count = self.samples.shape[1]
        self.samples = self.samples[:, torch.randperm(count)[count // 2 :].sort().values]

    def fit(self) -> None:
        """Fit the curve to the samples.

        Raises
        ------
        RuntimeError
            If there are none.
        """
        if not self.samples.shape[1]:
            raise RuntimeError("there are no samples to fit: append some, or run the block in Mode.SAMPLE before")
        z, a = self.samples.double().numpy()
        top = a[a > self.sample_range[1] * a.max()]  # empty where nothing fired
        highest = max(float(top.mean()), LOWEST_MAX) if top.size else LOWEST_MAX
        low, high = self.sample_range
        edges = np.linspace(low * highest, high * highest, self.num_centers + 1)
        centers = _medians(z, a, edges)
        if self.centers is not None:
            centers = _renewed(centers, _means(self.centers, edges), self.alpha)
        knots, slopes = _extended(_increasing(centers[~np.isnan(centers[:, 0])]), highest)
        self.curve = torch.from_numpy(np.column_stack([knots, [*slopes, 0.0]]))

    def forward(self, z: Tensor) -> Tensor:
        """Rates for the drives `z`, float32 of any shape.

        Raises
        ------
        RuntimeError
            Before the first fit.
        TypeError
            If `z` is not float32 on the CPU.
        """
        if not self.fitted:
            raise RuntimeError("the rate curve is not fitted: append samples and call fit before")
        if z.dtype != torch.float32 or z.device.type != "cpu":
            raise TypeError(f"drives must be float32 on the CPU, got {z.dtype} on {z.device}")
        rates: Tensor = _Curve.apply(z, self.knots())
        return rates

    def knots(self) -> Knots:
        """The curve as kernels take it, after the first fit."""
        curve, prepared = self.curve, self._prepared
        version = curve._version, self.eps
        if prepared is None or prepared[0] is not curve or prepared[1] != version:
            prepared = self._prepared = curve, version, Knots.of(curve, self.eps)
        return prepared[2]

    def plot(self, figsize: tuple[float, float] | None = None) -> None:
        """Draw samples, curve and knots into a new Matplotlib figure.

        Parameters
        ----------
        figsize : (float, float), optional
            Width and height in inches.
        """
        _extras.require("plot", "a plot of samples")
        import matplotlib.pyplot as plt

        axes = plt.figure(figsize=figsize).add_subplot()
        ends = [self.samples[0]] if self.samples.shape[1] else [self.curve[:, 0]]
        z = torch.linspace(ends[0].min().item(), ends[0].max().item(), 1000)
        axes.plot(self.z, self.a, ".", alpha=0.05, label="data")
        axes.plot(z.numpy(), self(z).detach().numpy(), label="slope fit")
        if self.centers is not None:
            axes.plot(*self.centers.T, "o")
        axes.set(xlabel="drive", ylabel="rate")
        axes.legend()

    def extra_repr(self) -> str:
        return f"num_centers={self.num_centers}, sample_range={self.sample_range}, fitted={self.fitted}"

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any) -> None:
        for name, buffer in list(self._buffers.items()):
            assert buffer is not None
            unfitted = _UNFITTED[name]
            value = state_dict.setdefault(prefix + name, buffer.new_zeros(unfitted))
            # of any length, but of no other form
            form = [extent or n for extent, n in zip(unfitted, value.shape, strict=False)]
            setattr(self, name, buffer.new_empty(form if len(value.shape) == len(unfitted) else unfitted))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


_UNFITTED: dict[str, tuple[int, ...]] = {"samples": (2, 0), "curve": (0, 3), "steps": ()}


class Exact(AnnSampler):
    """The rates of neurons whose mean output is a known function of their drive: samples are for `plot` only.

    Parameters
    ----------
    function : callable
        Rates for drives, tensors of one shape.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    @property
    def fitted(self) -> bool:
        """True."""
        return True

    def fit(self) -> None:
        """Do nothing: the function is known."""

    def forward(self, z: Tensor) -> Tensor:
        """The function of `z`, (N, ...)."""
        return self.function(z)


class Knots(NamedTuple):
    """A curve as the kernel takes it, float32."""

    z: NDArray[np.float32]
    a: NDArray[np.float32]
    slopes: NDArray[np.float32]
    factors: NDArray[np.float32]  #: of the gradient, one for each piece
    eps: np.float32

    @classmethod
    def of(cls, curve: Tensor, eps: float) -> Knots:
        """The knots of a (K, 3) curve."""
        z, a, slopes = curve.float().t().contiguous().numpy()
        least = np.float32(eps)
        return cls(z, a, slopes[:-1], slopes[:-1] * _scale(z, a) + least, least)

    def values(self, drive: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rates for drives, (M,)."""
        return piecewise.forward(drive, self.z, self.a, self.slopes)

    def gradients(self, drive: NDArray[np.float32], grad: NDArray[np.float32]) -> NDArray[np.float32]:
        """Gradients to drives (M,) for those of their rates, (M,)."""
        return piecewise.backward(drive, self.z, self.factors, float(self.eps), grad)

    def scaled_values(self, scaled: piecewise.Scaled, u: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rates for inputs, (M,), of which `scaled` makes drives."""
        return piecewise.forward_scaled(u, scaled, self.z, self.a, self.slopes)

    def scaled_gradients(
        self, scaled: piecewise.Scaled, u: NDArray[np.float32], grad: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Gradients to gain and offset of `scaled`, (2,), for those of the rates, (M,)."""
        return piecewise.backward_scaled(u, scaled, self.z, self.factors, float(self.eps), grad)


class _Curve(TypedFunction):
    """The curve on a tensor of any shape, element by element in the order of its memory."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, knots: Knots) -> Tensor:
        ctx.save_for_backward(z)
        ctx.knots = knots
        return elementwise(knots.values, z)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (z,) = ctx.saved_tensors
        return elementwise(ctx.knots.gradients, z, grads[0]), None


def _scale(z: NDArray[F], a: NDArray[F]) -> F:
    scale: F = (z[-1] if z[-1] > 0 else z[-1] - z[0]) / a[-1]
    return scale


def in_order(first: Tensor, *others: Tensor) -> list[NDArray[np.float32]]:
    """Float32 tensors of one shape as arrays (M,), in the order of the memory of the first."""
    if first.is_contiguous():
        return [x.detach().contiguous().numpy().reshape(-1) for x in (first, *others)]
    order = sorted(range(first.ndim), key=first.stride, reverse=True)
    return [x.detach().permute(*order).contiguous().numpy().reshape(-1) for x in (first, *others)]


def elementwise(function: Callable[..., NDArray[np.float32]], first: Tensor, *others: Tensor) -> Tensor:
    """A function of arrays (M,) applied to float32 tensors of one shape, in the order of the memory of the first."""
    follow_torch()
    values = function(*in_order(first, *others))
    if first.is_contiguous():
        return torch.from_numpy(values.reshape(first.shape))
    order = sorted(range(first.ndim), key=first.stride, reverse=True)
    memory = values.reshape([first.shape[axis] for axis in order])
    # permuted before torch sees it, which forbids changing a view that a function returns
    return torch.from_numpy(memory.transpose([order.index(axis) for axis in range(len(order))]))


def _bins(a: Array, edges: Array) -> NDArray[np.intp]:
    """The bin of each rate, of which the upper edge is part; -1 and beyond the last for those outside."""
    return np.searchsorted(edges, a) - 1


def _medians(z: Array, a: Array, edges: Array) -> Array:
    """The medians of drive and rate in each bin, (bins, 2); NaN where it is empty."""
    count = len(edges) - 1
    held = _bins(a, edges)
    inside = (held >= 0) & (held < count)
    held = held[inside]
    size = np.bincount(held, minlength=count)
    start = np.cumsum(size) - size
    result = np.full((count, 2), np.nan)
    there = size > 0
    for column, values in enumerate((z[inside], a[inside])):
        ordered = values[np.lexsort((values, held))]
        lower, upper = start[there] + (size[there] - 1) // 2, start[there] + size[there] // 2
        result[there, column] = (ordered[lower] + ordered[upper]) / 2
    return result


def _means(knots: Array, edges: Array) -> Array:
    """The means of the knots (K, 2) in each bin, (bins, 2); NaN where it is empty."""
    count = len(edges) - 1
    held = _bins(knots[:, 1], edges)
    inside = (held >= 0) & (held < count)
    size = np.bincount(held[inside], minlength=count)
    sums = [np.bincount(held[inside], values[inside], count) for values in knots.T]
    return np.stack(sums, axis=1) / np.where(size > 0, size, np.nan)[:, None]


def _renewed(new: Array, old: Array, alpha: float) -> Array:
    """`alpha` of the new centres and the rest of the old, where there are both; else whichever there is."""
    mixed = alpha * new + (1 - alpha) * old
    return np.where(np.isnan(old), new, np.where(np.isnan(new), old, mixed))


def _increasing(centers: Array) -> Array:
    """Centres with increasing drive: neighbours that are not are replaced by their mean."""
    while len(centers) > 1 and (falls := np.diff(centers[:, 0]) <= 0).any():
        # each run of neighbours that do not increase becomes one
        group = np.concatenate([[0], np.cumsum(~falls)])
        size = np.bincount(group)
        centers = np.stack([np.bincount(group, column) / size for column in centers.T], axis=1)
    return centers


def _extended(centers: Array, highest: float) -> tuple[Array, Array]:
    """Knots (K, 2) from rate 0 to the highest, and the slopes (K - 1,) between them."""
    if len(centers) == 0:  # nothing is known: rates are drives
        return np.array([[0.0, 0.0], [highest, highest]]), np.array([1.0])
    if len(centers) == 1:
        z, a = centers[0]
        start = 0.0 if z > 0 else z - a  # through the origin, else with slope 1
        centers = np.array([[start, 0.0], [z, a]])
    slopes = np.diff(centers[:, 1]) / np.diff(centers[:, 0])
    slopes = np.concatenate([slopes[:1], slopes, slopes[-1:]])
    first, last = centers[0], centers[-1]
    begin = first[0] - first[1] / slopes[0], 0.0
    end = last[0] + (highest - last[1]) / slopes[-1], highest
    return np.vstack([begin, centers, end]), slopes
