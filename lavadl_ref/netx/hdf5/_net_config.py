"""A network's description that can also be read like the file: ``net_config["layer"][0]["neuron"]["vThMant"]``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lavadl_ref.exchange.describe import Layer, Network
from lavadl_ref.exchange.write import write_layer


class Group(Mapping[str, Any]):
    """A read-only group of a file, by the file's keys; datasets are NumPy arrays.

    Paths such as ``"neuron/vThMant"`` are understood.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._held: dict[str, Any] = {}

    def __getitem__(self, path: str | int) -> Any:
        first, _, rest = str(path).partition("/")
        found = self._held[first]
        return found[rest] if rest else found

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {', '.join(self)}>"


class _Writing(Group):
    """A group that `exchange.write_layer` can fill as if it were one of an open file."""

    def create_group(self, name: str) -> _Writing:
        """An empty group within this one."""
        self._held[name] = made = _Writing(f"{self.name}/{name}")
        return made

    def create_dataset(self, path: str, data: Any) -> None:
        """Keep `data` under `path`, as the file would."""
        group: _Writing = self
        *groups, key = path.split("/")
        for name in groups:
            group = group._held[name] if name in group else group.create_group(name)
        group._held[key] = np.asarray(data)


class _Layers(Mapping[str, Group]):
    """The layers, by number or its digits."""

    def __init__(self, layers: tuple[Layer, ...]) -> None:
        self._layers = layers

    def __getitem__(self, index: str | int) -> Group:
        number = int(index)
        if not 0 <= number < len(self._layers):
            raise KeyError(index)
        group = _Writing(f"layer/{number}")
        write_layer(group, self._layers[number])
        return group

    def __iter__(self) -> Iterator[str]:
        return map(str, range(len(self._layers)))

    def __len__(self) -> int:
        return len(self._layers)


class NetConfig(Network):
    """`exchange.Network` with the file's keys: ``layer`` by number, in it datasets and the group ``neuron``."""

    def __getitem__(self, path: str) -> Any:
        first, _, rest = path.partition("/")
        if first != "layer":
            raise KeyError(path)
        layers = _Layers(self.layers)
        if not rest:
            return layers
        number, _, rest = rest.partition("/")
        return layers[number][rest] if rest else layers[number]
