"""Networks as C programs beside the reference: ``python -m validation.port --networks 1000``.

Each random network, of 1 to 5 layers of all families and kinds with whatever a file can say, is written as C, compiled
and run; every message and every state of every layer and step is compared. A quarter of them leave the widths of the
device, a tenth run with the compiler's sanitizers. Every file of the folder of recorded data runs too.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from tests.support import c_programs
from tests.support.tree import ROOT
from validation.port import networks


def main(arguments: list[str] | None = None) -> int:
    """0 if all integers are equal."""
    parser = argparse.ArgumentParser(prog="python -m validation.port", description=__doc__)
    parser.add_argument("--networks", type=int, default=1000, help="how many random networks")
    parser.add_argument("--first", type=int, default=0, help="number of the first of them")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--no-files", action="store_true", help="leave the recorded data out")
    given = parser.parse_args(arguments)
    if not c_programs.COMPILERS:
        print(f"nothing was compared: {c_programs.NO_COMPILER}", file=sys.stderr)
        return 2
    total, began, watched = networks.Agreement(), time.monotonic(), sys.stderr.isatty()
    for found in networks.random_networks(given.networks, given.first, given.jobs):
        total.update(found)
        if watched:
            print(f"\r{total.networks} of {given.networks} networks", end="", file=sys.stderr, flush=True)
    folder = Path(os.environ.get("LAVADL_REF_DATA", ROOT.parent / "shared" / "data"))
    files = [] if given.no_files else sorted(folder.glob("**/*.net"))
    for path in files:
        if watched:
            print(f"\r{path.name}" + " " * 30, end="", file=sys.stderr, flush=True)
        total.update(networks.file(path))
    if watched:
        print("\r" + " " * 50 + "\r", end="", file=sys.stderr, flush=True)
    print(total)
    print(f"files: {', '.join(path.name for path in files) or 'none'}; {time.monotonic() - began:.0f} s")
    return 1 if total.differences else 0


if __name__ == "__main__":
    sys.exit(main())
