"""Drawing chains of layers."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from lavadl_ref.exchange import FAMILIES, LAYERS, Layer, Network
from lavadl_ref.testing import _networks
from lavadl_ref.testing._kinds import PLAIN
from lavadl_ref.testing._layers import Options
from lavadl_ref.testing._names import known
from lavadl_ref.testing._neurons import GRADED
from lavadl_ref.testing.strategies._values import Drawn


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

    Returns
    -------
    strategy of Network

    Raises
    ------
    TypeError
        If `extreme`, `plain` or `graded` is no bool.
    ValueError
        If a name is unknown, a limit is less than 1, or `families` leave no neurons for `kinds`.

    Examples
    --------
    >>> from hypothesis import find, settings
    >>> stable = settings(max_examples=1000, deadline=None, database=None, derandomize=True)
    >>> network = find(networks("CUBA", "dense"), lambda network: len(network.layers) == 2, settings=stable)
    >>> [layer.kind for layer in network.layers], network.input_shape
    (['dense', 'dense'], (1,))
    """
    for name, value in (("extreme", extreme), ("plain", plain), ("graded", graded)):
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be a bool, got {value!r}")
    for name, limit in (("max_layers", max_layers), ("max_extent", max_extent)):
        if limit < 1:
            raise ValueError(f"{name} must be at least 1, got {limit}")
    if families is None and not graded:
        families = [name for name in FAMILIES if any(field.name == GRADED for field in FAMILIES[name].fields)]
    if kinds is None and not plain:
        kinds = [kind for kind in LAYERS if kind not in PLAIN]
    chosen = known(families, FAMILIES, "family"), known(kinds, LAYERS, "kind of layer")
    options = Options(*chosen, max_layers, max_extent, extreme, plain, graded)
    if not any(options.families_of(kind) for kind in options.kinds):
        raise ValueError(
            f"families must have neurons for layers of the kinds {', '.join(options.kinds)}, got "
            f"{', '.join(options.families)}, which do not spike"
        )
    return network(options)


@st.composite
def network(draw: st.DrawFn, options: Options) -> Network:
    """Layers that fit one another, now and then with the legacy simulation numbers."""
    return _networks.network(Drawn(draw), options, lambda *given: draw(_layer(options, *given)))


@st.composite
def _layer(
    draw: st.DrawFn, options: Options, shape: tuple[int, ...], kinds: tuple[str, ...], room: bool
) -> tuple[Layer, bool]:
    """A layer, and whether another follows: drawn as one, so that Hypothesis can leave out a layer as a whole."""
    return _networks.layer(Drawn(draw), options, shape, kinds, room)
