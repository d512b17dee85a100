"""Check an installed wheel, away from the source tree: ``check_wheel.py FOLDER [JOB]``.

With the name of a job of ``lavadl-ref warm``, the wheel must carry all kernels that it needs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGES = {"lavadl_ref": Path("lavadl_ref"), "lavadl_kernels": Path("kernels/lavadl_kernels")}


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A run of Python with the wheel's packages alone."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(folder), **settings},
        cwd=folder,
        capture_output=True,
        text=True,
    )


def compiles(folder: Path, job: str) -> bool:
    """Tell whether a job compiles anything with an empty folder of compiled kernels; say so."""
    with tempfile.TemporaryDirectory() as empty:
        done = run(folder, "-m", "lavadl_ref.cli.main", "warm", "--only", job, NUMBA_CACHE_DIR=empty)
        # files are looked at, not the message, whose words may change
        compiled = [path.name for path in Path(empty).rglob("*.kernel")]
    print(done.stderr, f"with an empty cache: {done.stdout}", sep="", end="")
    return done.returncode != 0 or bool(compiled)


def main(folder: Path, *jobs: str) -> int:
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
    done = run(folder, "-c", code)
    elsewhere = [line for line in done.stdout.split() if not line.startswith(str(folder))]
    print(done.stderr, *(f"imported from elsewhere: {line}" for line in elsewhere), sep="\n", end="")
    return int(bool(missing or elsewhere or done.returncode or any(compiles(folder, job) for job in jobs)))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), *sys.argv[2:]))
