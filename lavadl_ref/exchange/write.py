"""Writing of descriptions as ``.net`` files, with the keys, dtypes and shapes of Lava-DL's exporter."""

from __future__ import annotations

import os
import secrets
from typing import Any

import h5py
import numpy as np

from lavadl_ref.exchange import layers, layout
from lavadl_ref.exchange.atomic import write_bytes
from lavadl_ref.exchange.check import check, check_layer
from lavadl_ref.exchange.describe import Network
from lavadl_ref.exchange.digest import digest
from lavadl_ref.exchange.errors import ExchangeError, within
from lavadl_ref.exchange.families import FAMILIES
from lavadl_ref.exchange.storage import File, name_of


def write(path: File, network: Network) -> None:
    """Check `network` and write it to `path`, replacing what is there.

    The file is created in memory and appears complete or not at all, see `atomic.write_bytes`. It contains the `digest`
    of `network`, by which `read` checks that nothing has changed since.

    Parameters
    ----------
    path : str, path or binary file
        The name of the file, or a seekable file object such as `io.BytesIO`, whose whole content is replaced.
    network : Network
        The network to write.

    Raises
    ------
    ExchangeError
        If `network` is not legal.
    OSError
        With the name of the file, if it cannot be written.
    TypeError
        If `path` is neither a path nor a binary file.

    Examples
    --------
    >>> import tempfile
    >>> from lavadl_ref.exchange import Dense, Neuron, read
    >>> neuron = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
    >>> layer = Dense(shape=(2,), neuron=neuron, weight=np.array([[1, 2, 3], [4, 5, 6]]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(f"{folder}/trained.net", Network((layer,)))
    ...     read(f"{folder}/trained.net").layers[0].weight.tolist()
    [[1, 2, 3], [4, 5, 6]]
    """
    name = name_of(path)
    with within(name):
        check(network)
    content = encoded(network)
    if isinstance(path, (str, os.PathLike)):
        write_bytes(path, content)
        return
    try:
        path.seek(0)
        path.write(content)
        path.truncate()
    except OSError as error:  # also io.UnsupportedOperation, of a file that is open for reading
        raise OSError(error.errno, error.strerror or str(error), name) from None


def encoded(network: Network) -> bytes:
    """The content of a ``.net`` file for a legal `network`."""
    # HDF5 keeps what it could not write to a full disk and crashes on it when the process ends: it writes to memory,
    # under a name that no other thread has open
    with h5py.File(secrets.token_hex(8), "w", driver="core", backing_store=False) as file:
        fill(file, network)
        file.flush()
        content: bytes = file.id.get_file_image()
    return content


def fill(file: Any, network: Network) -> None:
    """Put the entries of a legal `network` into an empty file, or into what makes groups and datasets as one does."""
    group = file.create_group("layer")
    for index, layer in enumerate(network.layers):
        _write_layer(group.create_group(str(index)), layer)
    for key, value in network.simulation.items():
        file.create_dataset(f"simulation/{key}", data=np.int64(value))
    file.create_dataset(layout.DIGEST_KEY, data=np.bytes_(digest(network)))


def write_layer(group: h5py.Group, layer: layers.Layer) -> None:
    """Check `layer` and write its datasets into the empty `group`.

    Parameters
    ----------
    group : h5py.Group
        Open for writing, e.g. ``file.create_group("layer/0")``.
    layer : Layer
        The layer is checked by itself; whether it fits its neighbours is checked on reading. A file that is assembled
        layer by layer has no digest.

    Raises
    ------
    ExchangeError
        If `layer` is not legal or `group` already holds something.
    """
    with within(str(group.name)):
        if len(group):
            raise ExchangeError(f"must be an empty group, got {', '.join(group)}")
        check_layer(layer)
        _write_layer(group, layer)


def _write_layer(group: h5py.Group, layer: layers.Layer) -> None:
    # Lava-DL reserves ten bytes; only the names it never exports are longer.
    width = max(10, len(layer.kind))
    group.create_dataset("type", data=np.array([layer.kind], f"S{width}"))
    shape = (*layer.shape, 1, 1) if isinstance(layer, (layers.Flatten, layers.Average)) else layer.shape
    group.create_dataset("shape", data=np.array(shape, np.int64))
    if isinstance(layer, layers.Input):
        _floats(group, "weight", [layer.weight])
        _floats(group, "bias", [layer.bias])
    elif isinstance(layer, layers.TimeDecimation):
        _integer(group, "factor", layer.factor)
    elif isinstance(layer, (layers.Dense, layers.Kernel)):
        _write_synapse(group, layer)
    if layer.delay is not None:
        _floats(group, "delay", layer.delay)
    if layer.neuron is not None:
        _write_neuron(group.create_group("neuron"), layer.neuron)
        if layer.shifts != FAMILIES[layer.neuron.type].delay_shift:
            group.create_dataset("delayShift", data=np.bool_(layer.shifts))


def _write_synapse(group: h5py.Group, layer: layers.Dense | layers.Kernel) -> None:
    _write_parts(group, "weight", layer.weight, layer.weight_imag)
    if layer.bias is not None:
        _write_parts(group, "bias", layer.bias, layer.bias_imag)
    if layer.input_bias is not None:
        _floats(group, "inputBias", layer.input_bias)
    if isinstance(layer, layers.Recurrent):
        _write_parts(group, "weight_rec", layer.weight_rec, layer.weight_rec_imag)
    if isinstance(layer, layers.Dense):
        _integer(group, "inFeatures", layer.weight.shape[1])
        _integer(group, "outFeatures", layer.weight.shape[0])
        return
    for key, pair in (
        ("kernelSize", layer.kernel_size),
        ("stride", layer.stride),
        ("padding", layer.padding),
        ("dilation", layer.dilation),
    ):
        group.create_dataset(key, data=np.array(pair, np.int64))
    if not isinstance(layer, (layers.Pool, layers.Unpool)):
        inputs = layer.weight.shape[0]
        if not isinstance(layer, layers.ConvTranspose):
            inputs = layer.weight.shape[1] * layer.groups
        _integer(group, "inChannels", inputs)
        _integer(group, "outChannels", layer.channels)
        _integer(group, "groups", layer.groups)


def _write_parts(group: h5py.Group, key: str, real: layers.Integers, imag: layers.Integers | None) -> None:
    if imag is None:
        _floats(group, key, real)
    else:
        _floats(group, f"{key}/real", real)
        _floats(group, f"{key}/imag", imag)


def _write_neuron(group: h5py.Group, neuron: layers.Neuron) -> None:
    group.create_dataset("type", data=neuron.type)
    for field in FAMILIES[neuron.type].fields:
        value = neuron.parameters.get(field.name, field.default)
        if value is None or (field.sparse and value == field.default):
            continue
        if field.key in ("weight_exp", "weight_exp_imag"):
            _floats(group, field.key, [value])
        elif field.kind == "str":
            group.create_dataset(field.key, data=str(value))
        elif field.kind == "bool":
            group.create_dataset(field.key, data=np.bool_(value))
        else:
            group.create_dataset(field.key, data=np.asarray(value, np.int64))


def _floats(group: h5py.Group, key: str, values: Any) -> None:
    """float32 as Lava-DL writes; float64 where float32 would round."""
    exact = np.asarray(values, np.float64)
    narrow = exact.astype(np.float32)
    group.create_dataset(key, data=narrow if (narrow == exact).all() else exact)


def _integer(group: h5py.Group, key: str, value: int) -> None:
    group.create_dataset(key, data=np.int64(value))
