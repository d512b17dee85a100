"""Groups and datasets of a file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.exchange.hdf5 import headers, types
from lavadl_ref.exchange.hdf5.filters import filters_of
from lavadl_ref.exchange.hdf5.headers import Message
from lavadl_ref.exchange.hdf5.layouts import Chunks, Layout, layout_of
from lavadl_ref.exchange.hdf5.links import Links, links_of
from lavadl_ref.exchange.hdf5.source import Source

KEY_LIMIT = 1024  # of one group


class Object:
    """What a link leads to: one of `Group` and `Dataset`, or a type that stands alone."""

    kind = "named type"

    def __init__(self, source: Source, messages: Sequence[Message]) -> None:
        self._source = source
        self._messages = messages

    def _one(self, kind: int, what: str) -> bytes:
        """The body of the only message of a type."""
        found = [message for message in self._messages if message.type == kind]
        if len(found) != 1:
            raise ExchangeError(f"damaged file: {what} is given {len(found)} times")
        if found[0].shared:
            raise ExchangeError(f"expected {what} beside the data, found a reference to it")
        return found[0].body


class Group(Object):
    """A group: names, and what they lead to."""

    kind = "group"

    @cached_property
    def links(self) -> Links:
        """The address of the object that each name leads to; where it leads out of the file, the kind of link."""
        return links_of(self._source, self._messages, KEY_LIMIT)

    def open(self, name: str) -> Object:
        """The object that `name` leads to.

        Raises
        ------
        ExchangeError
            If it is not in this file, or damaged.
        KeyError
            If there is no such name.
        """
        target = self.links[name]
        if isinstance(target, str):
            raise ExchangeError(f"expected data in this file, found a {target}")
        return _object(self._source, target)


class Dataset(Object):
    """A dataset, of which nothing is read but its shape, its type and its layout until `read` is called."""

    kind = "dataset"

    @cached_property
    def shape(self) -> tuple[int, ...] | None:
        """Extents; () for a single value, None for a dataset that holds nothing by its kind."""
        return types.shape_of(self._one(headers.DATASPACE, "a shape"))

    @cached_property
    def type(self) -> types.Type:
        """What each element is."""
        return types.type_of(self._one(headers.DATATYPE, "a type"))

    @cached_property
    def layout(self) -> Layout | Chunks:
        """Where the data lies.

        Raises
        ------
        ExchangeError
            If it lies in another file, or is laid out in a way that is not known.
        """
        if any(message.type == headers.EXTERNAL for message in self._messages):
            raise ExchangeError("expected data in this file, found a reference to another file")
        assert self.shape is not None
        return layout_of(self._one(headers.LAYOUT, "a layout"), self.shape, self.type.size, filters_of(self._messages))

    def read(self) -> NDArray:
        """All elements, of any byte order; the caller has looked how many there are.

        Raises
        ------
        ExchangeError
            If the data is not there, or damaged.
        """
        assert self.shape is not None
        assert self.type.dtype is not None
        values = np.empty(self.shape, self.type.dtype)
        self.layout.read(self._source, values)
        return values

    def reference(self) -> bytes:
        """The bytes of the one element: where a string lies."""
        assert self.type.kind == "O"
        raw = np.empty(self.type.size, np.uint8)
        self.layout.read(self._source, raw)
        return raw.tobytes()


def _object(source: Source, address: int) -> Object:
    messages = headers.messages(source, address)
    found = {message.type for message in messages}
    if found & {headers.SYMBOL_TABLE, headers.LINK_INFO}:
        return Group(source, messages)
    if found & {headers.DATASPACE, headers.LAYOUT}:
        return Dataset(source, messages)
    return Object(source, messages)


def root(source: Source) -> Group:
    """The group that holds all others.

    Raises
    ------
    ExchangeError
        If the file is not HDF5, or damaged.
    """
    found = _object(source, headers.superblock(source))
    if not isinstance(found, Group):
        raise ExchangeError(f"damaged file: its root is a {found.kind}")
    return found
