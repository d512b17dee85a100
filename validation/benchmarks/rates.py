"""A training step in bootstrap's ANN mode, next to one of a network that torch's own modules make."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import lavadl_ref.slayer
from validation.benchmarks import workloads
from validation.benchmarks.measure import compare
from validation.benchmarks.results import Part, Row, Settings, ratio_columns, ratio_row


def rows(settings: Settings) -> Iterator[Row]:
    """With and without weight norm, with torch's default Adam and its fused one."""
    for weight_norm, fused in itertools.product((False, True), repeat=2):
        own, plain = workloads.ann_and_plain(lavadl_ref.slayer, settings.quick, weight_norm, fused)
        name = f"{own.name}: training step, batch {own.x.shape[0]}"
        yield ratio_row(compare(name, own.train, plain.train, settings.rounds))


PART = Part(
    "rates",
    "Bootstrap's ANN mode",
    "This table shows the cost of training in rates, compared with linear maps and ReLUs of the same shapes in "
    "torch's own modules, which have neither quantised weights nor a trained gain and offset of the input.",
    ratio_columns("plain torch"),
    rows,
)
