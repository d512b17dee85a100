"""Hypothesis strategies: neurons, spike trains, whole networks, and ``.net`` files, whole and damaged.

Everything is legal in the sense of `lavadl_ref.exchange.check` and walks the tables of
`lavadl_ref.exchange`, so that a new family, field or kind of layer is drawn as soon as it is
there.  What is drawn has the form in which `lavadl_ref.exchange.read` returns it: every field of a
neuron is present.  Examples shrink to fewer, smaller layers and to zeros.

Needs Hypothesis, an optional dependency.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

try:
    from hypothesis import strategies as st
    from hypothesis.extra.numpy import arrays
except ImportError as error:
    raise ImportError("lavadl_ref.testing.strategies needs Hypothesis: pip install 'hypothesis>=6.100'") from error

from lavadl_ref import exchange
from lavadl_ref.exchange import FAMILIES, LAYERS, Network, Neuron
from lavadl_ref.testing._names import known
from lavadl_ref.testing.fuzz import _damage
from lavadl_ref.testing.strategies import _layers

FULL = 512  #: values of a spike train up to which each one is drawn by itself


def neurons(family: str | None = None, channels: int = 1, *, extreme: bool = True) -> st.SearchStrategy[Neuron]:
    """Neurons of a family.

    Parameters
    ----------
    family : str, optional
        Key of `lavadl_ref.exchange.FAMILIES`; any family if not given.
    channels : int
        Length of per-channel parameters; with more than one channel, each of those is drawn
        either as one integer or as int64 (channels,).
    extreme : bool
        Whether to draw the edges of every field and all that lies between; if not, values
        as trained networks have them.

    Raises
    ------
    ValueError
        If `family` is unknown or `channels` is less than 1.
    """
    names = known(family, FAMILIES, "family")
    if channels < 1:
        raise ValueError(f"channels: expected at least 1, found {channels}")
    return st.sampled_from(names).flatmap(lambda name: _layers.neuron(name, channels, extreme))


def spike_trains(
    shape: int | tuple[int, ...],
    steps: int,
    *,
    graded: bool = False,
    magnitude: int = 127,
    dtype: DTypeLike = np.int64,
) -> st.SearchStrategy[NDArray[Any]]:
    """Spike trains (\\*shape, T): mostly silent, mostly firing, or anything between.

    Parameters
    ----------
    shape : int or tuple of int
        Neurons, (C, H, W) or (N,); may start with a batch axis.
    steps : int
        T.
    graded : bool
        Whether spikes carry integers in [-magnitude, magnitude] instead of 1.
    magnitude : int
        Largest magnitude of a graded spike.
    dtype : dtype
        Of the array, e.g. float32 for training.

    Raises
    ------
    ValueError
        If `steps` or `magnitude` is less than 1.
    """
    if steps < 1 or magnitude < 1:
        raise ValueError(f"expected steps and magnitude of at least 1, found {steps} and {magnitude}")
    full = (*((shape,) if isinstance(shape, int) else shape), steps)
    values = st.integers(-magnitude, magnitude) if graded else st.integers(0, 1)
    kinds = [arrays(np.int64, full, elements=values, fill=st.just(fill)) for fill in (0, 1)]
    if np.prod(full) <= FULL:
        kinds.append(arrays(np.int64, full, elements=values, fill=st.nothing()))
    return st.one_of(kinds).map(lambda train: train.astype(dtype))


def networks(
    families: str | Iterable[str] | None = None,
    kinds: str | Iterable[str] | None = None,
    *,
    max_layers: int = 5,
    max_extent: int = 5,
    extreme: bool = True,
    plain: bool = True,
    graded: bool = True,
) -> st.SearchStrategy[Network]:
    """Small networks whose layers fit one another; each tells its `input_shape`.

    Parameters
    ----------
    families : str or iterable of str, optional
        Keys of `lavadl_ref.exchange.FAMILIES` that neurons may have; all if not given.
    kinds : str or iterable of str, optional
        Keys of `lavadl_ref.exchange.LAYERS` that layers may have; all if not given.  A network
        begins with an input layer or with whatever follows one.
    max_layers : int
        Most layers.
    max_extent : int
        Largest extent of an axis; convolutions may have up to 6 channels.
    extreme : bool
        Whether parameters, weights, biases and delays reach the limits of the format; if not,
        they are as trained networks have them: weights even within [-256, 254].
    plain : bool
        Whether layers may have no neurons.  If not, every dense layer has some, and of layers that never
        have any (flatten, average, time_decimation) those alone are drawn that `kinds` names.
    graded : bool
        Whether neurons may send other values than 0 and 1.  If not, no neuron has graded spikes, and SDNN, whose
        messages are always values, is drawn only if `families` names it.

    Raises
    ------
    TypeError
        If `extreme`, `plain` or `graded` is no bool.
    ValueError
        If a name is unknown, a limit is less than 1, or `families` leave no neurons for `kinds`.
    """
    for name, value in (("extreme", extreme), ("plain", plain), ("graded", graded)):
        if not isinstance(value, bool):
            raise TypeError(f"{name}: expected a bool, found {value!r}")
    if max_layers < 1 or max_extent < 1:
        raise ValueError(f"expected max_layers and max_extent of at least 1, found {max_layers} and {max_extent}")
    if families is None and not graded:
        families = [name for name in FAMILIES if any(field.name == _layers.GRADED for field in FAMILIES[name].fields)]
    if kinds is None and not plain:
        kinds = [kind for kind in LAYERS if kind not in _layers.PLAIN]
    chosen = known(families, FAMILIES, "family"), known(kinds, LAYERS, "kind of layer")
    options = _layers.Options(*chosen, max_layers, max_extent, extreme, plain, graded)
    if options.kinds == ("dense_rec",) and not options.families_of("dense_rec"):
        raise ValueError("expected a family whose neurons spike for layers of kind 'dense_rec', found SDNN")
    return _layers.network(options)


def net_files(source: st.SearchStrategy[Network] | None = None) -> st.SearchStrategy[bytes]:
    """Content of ``.net`` files.

    Parameters
    ----------
    source : strategy of Network, optional
        What the files hold; `networks()` if not given.
    """
    return (networks() if source is None else source).map(_content)


def corrupted_net_files(source: st.SearchStrategy[Network] | None = None) -> st.SearchStrategy[bytes]:
    """Content of damaged ``.net`` files.

    Bytes are changed, cut off or swapped for others; datasets and groups go missing, appear, change places or
    become links; values have other types, ranges and shapes.  A change may hit what does not
    matter: reading such a file either gives a legal network or raises `ExchangeError`.

    Parameters
    ----------
    source : strategy of Network, optional
        What the files held; `networks()` if not given.
    """
    return net_files(source).flatmap(_damaged)


@dataclass(frozen=True)
class _Drawn:
    """Choices of Hypothesis, which can shrink."""

    draw: st.DrawFn

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def one(self, options: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(options))


@st.composite
def _damaged(draw: st.DrawFn, data: bytes) -> bytes:
    # twice as often where a change surely matters
    kinds = (_damage.edited, _damage.edited, _damage.flipped, _damage.overwritten, _damage.truncated)
    return draw(st.sampled_from(kinds))(_Drawn(draw), data)


def _content(network: Network) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.net")
        exchange.write(path, network)
        return path.read_bytes()
