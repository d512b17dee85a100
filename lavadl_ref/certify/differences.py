"""Differences of two certificates' plain values, a line each, of which the first may hold anything."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from lavadl_ref._text import printable
from lavadl_ref.certify.contents import arrays
from lavadl_ref.exchange import Network

LISTED = 8  #: numbers of a list, and indices of an axis, that are told


def entry(value: Any, key: str) -> Any:
    """An entry of a mapping, None where there is none, or no mapping."""
    return value.get(key) if isinstance(value, Mapping) else None


def differences(then: Any, now: Any, where: str = "", left_out: tuple[str, ...] = ()) -> Iterator[str]:
    """A line for each place at which two plain values differ.

    Parameters
    ----------
    then : object
        Any plain value, of any depth.
    now : plain value
        Mappings, lists, texts, numbers or None.
    where : str
        Of them, which begins each line.
    left_out : tuple of str
        Keys that are not compared.
    """
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*now, *then]):
            if key not in left_out:
                # layers are called by their numbers
                name = where if key == "layers" else _join(where, _short(key).replace("_", " "))
                yield from differences(then.get(key), now.get(key), name, left_out)
    elif isinstance(then, list) and isinstance(now, list) and any(isinstance(e, Mapping) for e in now):
        for index, (before, after) in enumerate(itertools.zip_longest(then, now)):
            name = _join(where, _title(before if after is None else after, index))
            if before is None or after is None:
                yield f"{name}: {'is new' if before is None else 'is no longer there'}"
            else:
                yield from differences(before, after, name, left_out)
    elif then != now or isinstance(then, bool) != isinstance(now, bool):
        yield f"{where or 'all of it'}: was {_short(then)}, is {_short(now)}"


def of_files(then: Any, now: Mapping[str, Any], network: Network) -> Iterator[str]:
    """The differences of two files: the digest, each layer, and which numbers of its arrays.

    Parameters
    ----------
    then : object
        The section of the file of a certificate; may be anything.
    now : mapping
        That of the file as it is.
    network : Network
        Which it describes.
    """
    yield from differences(then, now, left_out=("layers", "name"))
    layers = entry(then, "layers")
    for position, (before, after) in enumerate(itertools.zip_longest(_list(layers), now["layers"])):
        where = f"layer {position}"
        if before is None or after is None:
            yield f"{where}: {'is new' if before is None else 'is no longer there'}"
            continue
        known = {str(entry(one, "name")): one for one in _list(entry(before, "arrays"))}
        values = dict(arrays(network.layers[position]))
        for array in after["arrays"]:
            was = known.pop(array["name"], None)
            if was != array:
                yield f"{where}, {array['name']}: {changed(was, array, values[array['name']])}"
        for name in known:
            yield f"{where}, {_short(name)}: is no longer there"
        yield from differences(before, after, where, ("arrays",))


def changed(was: Any, now: Mapping[str, Any], values: Any) -> str:
    """The numbers of an array that changed, as far as the checksums of its lines tell.

    Parameters
    ----------
    was : object
        Its entry in a certificate, None for none; may be anything.
    now : mapping
        The entry that it has now.
    values : ndarray
        Its integers.
    """
    if was is None:
        return "is new"
    if entry(was, "shape") != now["shape"]:
        return f"shape was {_short(entry(was, 'shape'))}, is {_short(now['shape'])}"
    axes = []
    for before, after in zip(_list(entry(was, "lines")), now["lines"], strict=False):
        if not after or len(_list(before)) != len(after):  # too long for checksums of its lines
            return "numbers changed"
        axes.append([index for index, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]])
    if axes and all(len(found) == 1 for found in axes):
        index = tuple(found[0] for found in axes)
        return f"{list(index)} is {int(values[index]):,} now"
    told = [
        f"axis {axis}: {', '.join(map(str, found[:LISTED]))}"
        + (f" and {len(found) - LISTED} more" if len(found) > LISTED else "")
        for axis, found in enumerate(axes)
        if found
    ]
    return f"numbers changed at these indices: {'; '.join(told)}" if told else "numbers changed"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _title(value: Any, index: int) -> str:
    """The name of an entry of a list: its layer, quantity or name, else its index."""
    if isinstance(entry(value, "position"), int):
        return f"layer {value['position']}"
    return next((_short(value[key]) for key in ("quantity", "name") if entry(value, key)), str(index))


def _join(where: str, what: str) -> str:
    return f"{where}, {what}" if where else what


def _short(value: Any, nested: bool = False) -> str:
    """A value in one line of a few words, however long or deep it is."""
    if isinstance(value, list) and not nested:
        more = [f"and {len(value) - LISTED} more"] if len(value) > LISTED else []
        return f"[{', '.join([*(_short(one, True) for one in value[:LISTED]), *more])}]"
    if isinstance(value, (list, Mapping)):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    said = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else printable(str(value))
    return said if len(said) <= 160 else f"{said[:160]}…"
