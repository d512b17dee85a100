"""Check an installed wheel, away from the source tree: ``check_wheel.py FOLDER``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PACKAGES = {"lavadl_ref": Path("lavadl_ref"), "lavadl_kernels": Path("kernels/lavadl_kernels")}


def main(folder: Path) -> int:
    """Compare what the wheel holds with the sources and import it; 1 if anything is amiss."""
    found = {path.relative_to(folder) for name in PACKAGES for path in (folder / name).rglob("*")}
    sources = {
        Path(name) / path.relative_to(source)
        for name, source in PACKAGES.items()
        for path in source.rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    missing = sorted(str(path) for path in sources - found)
    for path in missing:
        print(f"not in the wheel: {path}")
    code = "import lavadl_ref.reference as r, lavadl_kernels as k; print(r.__file__, k.__file__, sep='\\n')"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    elsewhere = [line for line in run.stdout.split() if not line.startswith(str(folder))]
    print(run.stderr, *(f"imported from elsewhere: {line}" for line in elsewhere), sep="\n", end="")
    return int(bool(missing or elsewhere or run.returncode))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
