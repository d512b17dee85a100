"""Change each family's step in one place at a time, and see that a golden vector of level 1 notices it.

python -m validation.mutation                          all families: about a minute
python -m validation.mutation --family CUBA            one family; may be given again
python -m validation.mutation --no-names               operators, constants, comparisons, conditions and calls only
python -m validation.mutation --page docs/mutation.md  and the page

The status is 0 if every mutant is noticed or explained, and 1 if one survives, which is shown.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lavadl_ref.exchange import atomic
from lavadl_ref.testing import vectors
from validation.mutation import run
from validation.mutation.page import page


def main(arguments: list[str] | None = None) -> int:
    """0 if every mutant is noticed or explained."""
    parser = argparse.ArgumentParser(
        prog="python -m validation.mutation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--family", choices=list(vectors.DEFINITIONS), action="append", help="this one alone")
    parser.add_argument("--no-names", action="store_true", help="leave out mutants of names")
    parser.add_argument("--page", type=Path, help="write this page, of all families and mutants")
    given = parser.parse_args(arguments)
    if given.page and (given.family or given.no_names):
        parser.error("--page must be of all mutants, got --family or --no-names too")
    found, wrong = [], 0
    for name in given.family or vectors.DEFINITIONS:
        one = run.family(name, not given.no_names)
        found.append(one)
        print(one, flush=True)
        for why, mutants in (("survives", one.survivors), ("is not equivalent", one.contradicted)):
            wrong += len(mutants)
            for mutant in mutants:
                print(f"  {why}: {mutant}")
    if not given.family and not given.no_names:
        for entry in run.unused(found):
            wrong += 1
            print(f"  covers no mutant: {entry.function}: {entry.line}")
    if wrong:
        return 1
    if given.page:
        atomic.write_bytes(given.page, page(found).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
