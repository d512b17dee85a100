"""Pictures of a certificate as inline SVG: head-room on a scale of bits, spikes, and traces of a state.

No picture has text inside: labels are in the page, at the page's size, and each picture has a title for those who do
not see it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lavadl_ref.certify.markup import Markup, element

BITS = 40  #: where the scale of head-room ends
ROW = 7  #: height of a neuron's row of spikes, in pixels
TRACE = 72  #: height of a trace, in pixels


def bits(*values: int | None) -> float:
    """Bits of the largest magnitude: ``log2(1 + |value|)``; the end of the scale for None, a number without end."""
    return max((BITS if value is None else min(math.log2(1 + abs(value)), BITS) for value in values), default=0.0)


def bar(bound: Mapping[str, Any], measured: tuple[int, int] | None) -> Markup:
    """Head-room of one number: the device's width, the proved range in it, and within that the range that was met.

    Parameters
    ----------
    bound : mapping
        A bound of the proof.
    measured : tuple of int, optional
        Smallest and largest number of the audit's run.
    """
    width, proved = bits(bound["low"], bound["high"]), bits(bound["smallest"], bound["largest"])
    told = f"width {width:.1f} bits, proved {proved:.1f} bits"
    if None in (bound["smallest"], bound["largest"]):
        told = f"width {width:.1f} bits, no proved end"
    shapes = [_rect(0, width, 0, 12, "width"), _rect(0, proved, 2, 8, bound["verdict"])]
    if measured is not None:
        met = bits(*measured)
        told += f", measured {met:.1f} bits"
        shapes.append(_rect(0, met, 4.5, 3, "met"))
    shapes.append(_line(f"M{width:.2f} 0v12", "edge"))
    return _picture(f"{bound['quantity']}: {told}", (BITS, 12), 16, shapes, "bar")


def raster(rows: Sequence[Mapping[str, Any]], steps: int, told: str) -> Markup:
    """Messages over time: a row for each neuron, a mark for each step at which it sent something.

    Parameters
    ----------
    rows : sequence of mapping
        Each with ``steps``.
    steps : int
        How many are shown.
    told : str
        A title.
    """
    marks = "".join(f"M{step + 0.5:g} {index + 0.12:g}v.76" for index, row in enumerate(rows) for step in row["steps"])
    lines = "".join(f"M0 {index}h{steps}" for index in range(1, len(rows)))
    return _picture(
        told, (steps, len(rows)), max(ROW * len(rows), 14), [_line(lines, "grid"), _line(marks, "mark")], "raster"
    )


def trace(values: Sequence[int], told: str) -> Markup:
    """A state over time, from its smallest to its largest value, with a line at 0.

    Parameters
    ----------
    values : sequence of int
        One for each step.
    told : str
        A title.
    """
    low, high = min(*values, 0, 0), max(*values, 0, 0)
    span = max(high - low, 1)

    def height(value: int) -> str:
        return f"{2 + 96 * (high - value) / span:.2f}"

    points = "L".join(f"{step + 0.5:g} {height(value)}" for step, value in enumerate(values))
    zero = _line(f"M0 {height(0)}h{len(values)}", "zero")
    return _picture(told, (len(values), 100), TRACE, [zero, _line(f"M{points}", "trace")], "state")


def _picture(told: str, size: tuple[int, int], height: int, shapes: Sequence[Markup], kind: str) -> Markup:
    """A picture as wide as its place; strokes keep their width."""
    box = f"0 0 {max(size[0], 1)} {max(size[1], 1)}"
    return Markup(
        f'<svg class="{kind}" role="img" viewBox="{box}" preserveAspectRatio="none" height="{height}">'
        f"{element('title', told)}{''.join(shapes)}</svg>"
    )


def _rect(x: float, width: float, y: float, height: float, kind: str) -> Markup:
    return element("rect", x=f"{x:.2f}", y=f"{y:g}", width=f"{width:.2f}", height=f"{height:g}", class_=kind)


def _line(path: str, kind: str) -> Markup:
    return element("path", d=path, class_=kind)
