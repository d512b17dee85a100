"""The parts, in the order in which they run."""

from __future__ import annotations

from validation.exhaustive.checks import delays, products, quantisers, sums, widths
from validation.exhaustive.checks.part import DIGEST, ROOT, Checked, Part

PARTS: dict[str, Part] = {
    part.name: part
    for part in (
        products.LEAK,
        products.PRODUCT,
        products.ROTATION,
        quantisers.QUANTISER,
        quantisers.BYTE,
        widths.WIDTH,
        delays.DELAY,
        sums.SUM,
    )
}

__all__ = ["DIGEST", "PARTS", "ROOT", "Checked", "Part"]
