"""Reading of ``.net`` files as checked descriptions.

The file is not trusted. Before an object is opened, its link (hard links only) and its name (known keys only) are
checked; before data is read, its type and its claimed size are checked. No code here follows a structure deeper than
its caller asks for, so cycles are harmless.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange import hdf5, layout
from lavadl_ref.exchange.check import check
from lavadl_ref.exchange.describe import Network
from lavadl_ref.exchange.digest import digest
from lavadl_ref.exchange.errors import ExchangeError, ExponentWarning, LegacyKeyWarning, within
from lavadl_ref.exchange.families import LEGACY_KEYS, family
from lavadl_ref.exchange.layers import LAYERS, Dense, Kernel, Layer, Neuron
from lavadl_ref.exchange.storage import File, name_of, opened, shown

FEW = 16  # numbers where two or three are expected: they may stand in a message
EXACT_LIMIT = 2**53  # integers a float64 holds exactly

_Found = TypeVar("_Found", bound=hdf5.Object)
_Self = TypeVar("_Self", bound="Folder")
_Value = TypeVar("_Value")


def read(path: File) -> Network:
    """Read and check a ``.net`` file.

    The file is not trusted: reading it takes bounded time and memory, follows no link, and accepts only known content.
    If the file has a digest, as files of `write` have, the result is exactly what was written, or an error is raised.

    Parameters
    ----------
    path : str, path or binary file
        The name of the file, or a seekable file object such as `io.BytesIO`, which is read from its start whatever its
        position, within the same limits, and stays open.

    Returns
    -------
    Network
        Legal in the sense of `check`.  Legacy spellings are reduced to the current one:
        dense layers have shape (N,), convolution weights four axes, delays one integer per
        output channel.

    Raises
    ------
    ExchangeError
        If the file is missing, not HDF5, damaged, or not a legal network.  The message names
        the file, the layer and the field, what was found and what was expected.

    Warns
    -----
    LegacyKeyWarning
        If the file contains any of `LEGACY_KEYS`, which have no effect on a run.
    ExponentWarning
        If a file without a digest, which Lava-DL may have written, contains a weight exponent beyond -3..3: Lava-DL's
        own evaluation divides by at most 2**3, but it exports the exponent unclipped. The exponent is used as the file
        gives it.
    TypeError
        If `path` is neither a path nor a binary file.

    Examples
    --------
    >>> import io
    >>> from lavadl_ref.exchange import Flatten, write
    >>> file = io.BytesIO()
    >>> write(file, Network((Flatten(shape=(4,)),)))
    >>> read(file).layers[0].shape
    (4,)
    """
    name = name_of(path)
    with opened(path, Folder) as root:
        network, unused, large = _read_network(root)
    _warn(name, unused, large)
    return network


def network_of(folder: Folder, name: str) -> Network:
    """Read and check a network, as `read` does with that of a file.

    Parameters
    ----------
    folder : Folder
        The keys of the network.
    name : str
        What errors and warnings call it, instead of a file.

    Raises
    ------
    ExchangeError
        If it is not a legal network, or has another digest than its own.

    Warns
    -----
    LegacyKeyWarning, ExponentWarning
        As for `read`.
    """
    with within(name):
        network, unused, large = _read_network(folder)
    _warn(name, unused, large)
    return network


def _read_network(root: Folder) -> tuple[Network, dict[str, tuple[int, ...]], list[str]]:
    """Read and check a network; list the layers with legacy keys, and the exponents of one without a digest."""
    root.only({"layer", "simulation", layout.DIGEST_KEY})
    expected = root.text(layout.DIGEST_KEY) if layout.DIGEST_KEY in root.names else None
    layers, unused = _read_layers(root.folder("layer"))
    network = Network(layers, _read_simulation(root))
    check(network)
    if expected is not None:
        _check_digest(expected, digest(network))
    return network, unused, [] if expected is not None else _large_exponents(network)


def layer_of(folder: Folder, name: str) -> Layer:
    """Read and check one layer without a network around it, as `read` does with those of a file.

    Parameters
    ----------
    folder : Folder
        The keys of the layer.
    name : str
        What errors and warnings call the layer, instead of a file.

    Raises
    ------
    ExchangeError
        If it is not a legal layer; the message counts it as layer 0.

    Warns
    -----
    LegacyKeyWarning, ExponentWarning
        As for `read`.
    """
    with within(name):
        with within("layer 0"):
            layer, legacy = _read_layer(folder)
        network = Network((layer,))
        check(network)
    _warn(name, dict.fromkeys(legacy, (0,)), _large_exponents(network))
    return layer


def _warn(name: str, unused: dict[str, tuple[int, ...]], large: list[str]) -> None:
    """Warn the caller's caller of legacy keys, with the layers they are in, and of large exponents."""
    if unused:
        keys = {found: [key for key in unused if unused[key] == found] for found in unused.values()}
        places = "; ".join(f"{', '.join(names)} in layers {', '.join(map(str, at))}" for at, names in keys.items())
        warnings.warn(
            f"{name}: keys of older exporters, which have no effect on a run, are ignored: {places}",
            LegacyKeyWarning,
            stacklevel=3,
        )
    if large:
        limit = layout.EXPONENT_USED
        warnings.warn(
            f"{name}: {', '.join(large)}: if Lava-DL wrote this file, its evaluation used an exponent "
            f"within -{limit}..{limit}; here the file's own is used",
            ExponentWarning,
            stacklevel=3,
        )


def _large_exponents(network: Network) -> list[str]:
    """The exponents that Lava-DL does not use as it exports them, each with its layer."""
    return [
        f"layer {index}: neuron/{key} {value}"
        for index, layer in enumerate(network.layers)
        if layer.neuron is not None
        for key in ("weight_exp", "weight_exp_imag")
        if abs(value := layer.neuron.parameters.get(key) or 0) > layout.EXPONENT_USED
    ]


def _check_digest(expected: str, found: str) -> None:
    if expected != found:
        raise ExchangeError(
            f"{layout.DIGEST_KEY}: must be {shown(expected[:12])}, got {found[:12]}; the file is damaged, "
            f"or was edited: then delete {layout.DIGEST_KEY} from it"
        )


def _read_simulation(root: Folder) -> dict[str, int]:
    if "simulation" not in root.names:
        return {}
    folder = root.folder("simulation")
    folder.only(layout.SIMULATION_KEYS)
    return {key: folder.integer(key) for key in folder.names}


def _read_layers(folder: Folder) -> tuple[tuple[Layer, ...], dict[str, tuple[int, ...]]]:
    """Read all layers, and list the layers in which each of `LEGACY_KEYS` is."""
    count = len(folder.names)
    for index in range(count):
        if str(index) not in folder.names:
            held = ", ".join(shown(name) for name in sorted(folder.names)[:8])
            raise ExchangeError(f"layer {index}: missing; layers are numbered from 0, got {held}")
    layers = []
    unused: dict[str, tuple[int, ...]] = {}
    for index in range(count):
        with within(f"layer {index}"):
            layer, legacy = _read_layer(folder.folder(str(index), prefix=""))
        layers.append(layer)
        for key in legacy:
            unused[key] = (*unused.get(key, ()), index)
    return tuple(layers), unused


def _read_layer(folder: Folder) -> tuple[Layer, list[str]]:
    """Read a layer, and list the legacy keys of its neurons."""
    kind = folder.text("type")
    if kind in layout.UNRELEASED:
        raise ExchangeError(f"type: {kind!r} {layout.UNRELEASED[kind]}")
    if kind not in LAYERS:
        raise ExchangeError(f"type: must be one of {', '.join(sorted(LAYERS))}, got {kind!r}")
    cls = LAYERS[kind]
    folder.only(layout.LAYER_KEYS[kind] | {"type", "shape"})
    values: dict[str, Any] = {"shape": _read_shape(folder, kind)}
    channels = values["shape"][0]
    legacy: list[str] = []
    if "neuron" in folder.names:
        neuron = folder.folder("neuron")
        values["neuron"] = _read_neuron(neuron)
        legacy = sorted(LEGACY_KEYS.intersection(neuron.names))
    if "delay" in folder.names:
        values["delay"] = folder.vector("delay", channels)
    if "delayShift" in folder.names:
        values["delay_shift"] = _read_shift(folder, values.get("neuron"))
    if kind == "input":
        values |= {key: folder.integer(key) for key in ("weight", "bias") if key in folder.names}
    elif kind == "time_decimation":
        values["factor"] = folder.integer("factor")
    elif issubclass(cls, (Dense, Kernel)):
        values |= _read_synapse(folder, cls, channels)
    return cls(**values), legacy


def _read_shape(folder: Folder, kind: str) -> tuple[int, ...]:
    found = folder.few_integers("shape")
    if found.shape not in ((1,), (3,)) or found.min() < 1:
        raise ExchangeError(f"shape: must be (N,) or (C, H, W), got {found.tolist()}")
    shape = tuple(int(extent) for extent in found)
    # Layers of one axis are also written (N, 1, 1), and flatten (1, 1, N).
    if layout.RANKS[kind] == (1,) and len(shape) == 3:
        if shape[1:] != (1, 1) and (kind != "flatten" or shape[:2] != (1, 1)):
            raise ExchangeError(f"shape: must be (N,) or (N, 1, 1), got {shape}")
        return (shape[0] * shape[2],)
    return shape


def _read_neuron(folder: Folder) -> Neuron:
    name = folder.text("type")
    try:
        found = family(name)
    except KeyError:
        raise ExchangeError(f"neuron/type: unknown neuron {name!r}") from None
    folder.only({"type", *(field.key for field in found.fields), *LEGACY_KEYS})
    if "wgtExp" in folder.names and folder.integer("wgtExp") != 0:
        raise ExchangeError("neuron/wgtExp: must be 0, the only exponent that older exporters wrote")
    parameters: dict[str, Any] = {}
    for field in found.fields:
        value: Any = field.default
        if field.key not in folder.names:
            if field.required:
                raise ExchangeError(f"neuron/{field.key}: missing; {found.type} neurons need it")
        elif field.kind == "bool":
            value = folder.boolean(field.key)
        elif field.kind == "str":
            value = folder.text(field.key)
        elif field.per_channel:
            array = folder.integers(field.key)
            value = int(array.reshape(-1)[0]) if array.size == 1 else array
        else:
            value = folder.integer(field.key)
        parameters[field.name] = value
    return Neuron(found.type, parameters)


def _read_shift(folder: Folder, neuron: Neuron | None) -> bool | None:
    """None where the file says what the family does anyway."""
    shift = folder.boolean("delayShift")
    return None if neuron is not None and family(neuron.type).delay_shift == shift else shift


def _read_synapse(folder: Folder, cls: type[Layer], outputs: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    axes = 2 if issubclass(cls, Dense) else 4
    for key in ("weight", "weight_rec"):
        if key in layout.LAYER_KEYS[cls.kind]:
            parts = _read_parts(folder, key)
            values |= {name: _reduce(array, axes, outputs) for name, array in parts.items()}
    if "bias" in folder.names:
        parts = _read_parts(folder, "bias")
        values |= {name: _vector(array, outputs) for name, array in parts.items()}
    if "inputBias" in folder.names:
        values["input_bias"] = _vector(folder.integers("inputBias"), outputs)
    if axes == 4:
        for key in ("stride", "padding", "dilation"):
            values[key] = tuple(int(extent) for extent in folder.few_integers(key).reshape(-1))
        if "groups" in layout.LAYER_KEYS[cls.kind]:
            values["groups"] = folder.integer("groups")
    _check_declared(folder, cls, values)
    return values


def _read_parts(folder: Folder, key: str) -> dict[str, NDArray[np.int64]]:
    """Dataset `key`, or the two datasets of group `key`, by the description's names."""
    if key not in folder.names or not folder.is_folder(key):
        return {key: folder.integers(key)}
    parts = folder.folder(key)
    parts.only({"real", "imag"})
    return {key: parts.integers("real"), f"{key}_imag": parts.integers("imag")}


def _vector(values: NDArray[np.int64], outputs: int) -> NDArray[np.int64]:
    """`values`, a single number of a single output read as a vector."""
    return values.reshape(1) if values.shape == () and outputs == 1 else values


def _reduce(weight: NDArray[np.int64], axes: int, outputs: int) -> NDArray[np.int64]:
    """`weight` with `axes` axes: trailing unit axes dropped, a vector read as one row or column."""
    while weight.ndim > axes and weight.shape[-1] == 1:
        weight = weight[..., 0]
    if axes == 2 and weight.ndim == 1:
        return weight.reshape(1, -1) if outputs == 1 else weight.reshape(-1, 1)
    return weight


def _check_declared(folder: Folder, cls: type[Layer], values: dict[str, Any]) -> None:
    """Raise unless the weight has the shape that the keys describing it announce."""
    weight = values["weight"]
    expected = list(weight.shape)
    axes = 2 if issubclass(cls, Dense) else 4
    if weight.ndim != axes:
        raise ExchangeError(f"weight: must have {axes} axes, got shape {weight.shape}")
    groups = values.get("groups", 1)
    outputs, inputs = (1, 0) if cls.kind == "convT" else (0, 1)
    declared = []
    for key, axis in (
        ("outFeatures", 0),
        ("inFeatures", 1),
        ("outChannels", outputs),
        ("inChannels", inputs),
    ):
        if key in folder.names:
            count = folder.integer(key)
            # The second axis of a kernel holds the channels of one group.
            divided = groups if axes == 4 and axis == 1 else 1
            if divided < 1 or count % divided:
                raise ExchangeError(f"groups: must be a divisor of {key} {count}, got {groups}")
            expected[axis] = count // divided
            declared.append(key)
    if "kernelSize" in folder.names:
        kernel = folder.few_integers("kernelSize")
        if kernel.shape != (2,):
            raise ExchangeError(f"kernelSize: must be (height, width), got {kernel.tolist()}")
        expected[2:] = kernel.tolist()
        declared.append("kernelSize")
    if tuple(expected) != weight.shape:
        names = ", ".join(declared)
        raise ExchangeError(f"weight: must have shape {tuple(expected)}, got {weight.shape}, by {names}")


class Folder:
    """One group of a file.

    Parameters
    ----------
    group : hdf5.Group
        The group, already opened; all groups of a file share one allowance.
    prefix : str
        Put before keys in errors, e.g. ``neuron/``.
    """

    def __init__(self, group: hdf5.Group, prefix: str = "") -> None:
        self._group = group
        self._prefix = prefix
        self.names = tuple(sorted(group.links))

    def __contains__(self, key: str) -> bool:
        return key in self._group.links

    def only(self, known: Collection[str]) -> None:
        """Raise unless every key is one of `known`."""
        for name in self.names:
            if name not in known:
                raise ExchangeError(f"{self._prefix}{shown(name)}: unknown key; known are {', '.join(sorted(known))}")

    def folder(self: _Self, key: str, prefix: str | None = None) -> _Self:
        """Open the group called `key`; `prefix` replaces the one that its place gives it."""
        try:
            found = self._open(key, hdf5.Group)
            return type(self)(found, f"{self._prefix}{key}/" if prefix is None else prefix)
        except ExchangeError as error:
            raise self._placed(key, error) from None

    def is_folder(self, key: str) -> bool:
        """Tell whether `key` is a group."""
        try:
            return isinstance(self._open(key, hdf5.Object), hdf5.Group)
        except ExchangeError as error:
            raise self._placed(key, error) from None

    def integers(self, key: str) -> NDArray[np.int64]:
        """Read the numbers of dataset `key`, of any shape; floats must be whole."""
        return self._read(key, "iuf", None, _whole)

    def few_integers(self, key: str) -> NDArray[np.int64]:
        """Read the numbers of dataset `key`, of any shape, but no more than can be shown."""
        return self._read(key, "iuf", FEW, _whole)

    def vector(self, key: str, count: int) -> NDArray[np.int64]:
        """Read the numbers of dataset `key`; a single one is repeated `count` times."""

        def repeated(values: NDArray[Any]) -> NDArray[np.int64]:
            values = _whole(values)
            if values.size != 1:
                return values
            self._group.take("packed", 8 * count)
            return np.full(count, values.reshape(-1)[0])

        return self._read(key, "iuf", None, repeated)

    def integer(self, key: str) -> int:
        """Read the one number of dataset `key`, of shape () or (1,)."""
        return self._read(key, "iuf", 1, lambda values: int(_whole(values).reshape(1)[0]))

    def boolean(self, key: str) -> bool:
        """Read the one truth value of dataset `key`."""
        return self._read(key, "biuf", 1, _truth)

    def text(self, key: str) -> str:
        """Read the one string of dataset `key`, of fixed or variable length, ASCII."""
        return self._read(key, "SO", 1, _short_text)

    def _open(self, key: str, wanted: type[_Found]) -> _Found:
        if key not in self.names:
            raise ExchangeError("missing")
        found = self._group.open(key)
        if not isinstance(found, wanted):
            raise ExchangeError(f"must be a {wanted.kind}, got a {found.kind}")
        return found

    def _read(self, key: str, kinds: str, most: int | None, finish: Callable[[NDArray[Any]], _Value]) -> _Value:
        """Read dataset `key`, see `hdf5.Dataset.values`, and give its values to `finish`; errors name the key."""
        try:
            if key not in self.names:
                raise ExchangeError("missing")
            return finish(self._group.read(key, kinds, most))
        except ExchangeError as error:
            raise self._placed(key, error) from None

    def _placed(self, key: str, error: ExchangeError) -> ExchangeError:
        return ExchangeError(f"{self._prefix}{key}: {error}")


def _truth(values: NDArray[Any]) -> bool:
    (value,) = values.reshape(1)
    if value not in (0, 1):
        raise ExchangeError(f"must be a bool, got {value}")
    return bool(value)


def _short_text(values: NDArray[Any]) -> str:
    (value,) = values.reshape(1)
    text = str(value.decode("ascii", "backslashreplace"))
    if len(text) > layout.NAME_LIMIT:
        raise ExchangeError(f"must have at most {layout.NAME_LIMIT} characters, got {len(text)}")
    return text


def _whole(values: NDArray[Any]) -> NDArray[np.int64]:
    if values.dtype.kind == "f":
        bad = ~np.isfinite(values)
        if not bad.any():
            bad = np.trunc(values) != values
        if bad.any():
            where = tuple(int(axis) for axis in np.argwhere(bad)[0])
            raise ExchangeError(f"must be finite integers, got {values[where]} at {where}")
    if values.size:
        # as Python's numbers: a narrow type does not hold the limit
        low, high = values.min().item(), values.max().item()
        if not (low > -EXACT_LIMIT and high < EXACT_LIMIT):
            raise ExchangeError(f"must be integers below 2**53, got {low} to {high}")
    return values.astype(np.int64, copy=False)
