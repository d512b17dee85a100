"""``python -m validation.benchmarks``: training next to lava-dl 0.6.0, deployed networks next to Lava's runtime."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable

import lavadl_kernels
import numba
import numpy as np
import torch

from validation.benchmarks import deployed, training
from validation.benchmarks.measure import Ratio

#: Parts: their ratios, what stands beside ours, the unit, and digits behind the point.
PARTS = {
    "training": (training.ratios, "lava-dl", "ms", 2),
    "deployed": (deployed.ratios, "Lava", "ms/step", 4),
}


def machine() -> str:
    """One line on what the figures were measured with."""
    return (
        f"{platform.machine()}, {os.cpu_count()} processors, torch {torch.__version__} on {torch.get_num_threads()} "
        f"threads, kernels on {lavadl_kernels.get_num_threads()}, numba {numba.__version__}, "
        f"numpy {np.__version__}, Python {platform.python_version()}"
    )


def row(ratio: Ratio, digits: int) -> str:
    """One line of the table."""
    return (
        f"{ratio.name:62s} {ratio.ours_ms:12.{digits}f} {ratio.theirs_ms:15.{digits - 1}f} {ratio.times:6.1f}x  "
        f"{ratio.low:.1f}..{ratio.high:.1f}"
    )


def main(show: Callable[[str], object] = print) -> int:
    """Print the tables; 0 if all was measured, 2 if a part could not run."""
    parser = argparse.ArgumentParser(prog="python -m validation.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds of each pair")
    parser.add_argument("--threads", type=int, default=None, help="threads of torch and of the kernels")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, not how fast")
    parser.add_argument("--only", choices=PARTS, help="run this part alone")
    arguments = parser.parse_args()
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    lavadl_kernels.set_num_threads(torch.get_num_threads())
    show(machine())
    missing = 0
    for part, (ratios, other, unit, digits) in PARTS.items():
        if arguments.only not in (None, part):
            continue
        show(f"{part:62s} {'ours ' + unit:>12s} {other + ' ' + unit:>15s} {'times':>7s}  pairs")
        try:
            for ratio in ratios(arguments.rounds, arguments.quick):
                show(row(ratio, digits))
        except ImportError as error:
            missing += 1
            show(f"nothing to compare with: {error}")
    return 2 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
