"""Print the sizes of what an installation of the core downloads here, and fail where they are more than `LIMIT`.

With names of extras, ``sizes.py train nir``, also what these add; no limit holds then.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 95.0  #: megabytes, of 10**6 bytes


def pip(*arguments: str) -> None:
    """A run of pip that must succeed."""
    subprocess.run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], check=True)


def downloaded(folder: Path, extras: list[str]) -> dict[str, float]:
    """The megabytes of the wheel of this package, and of all that pip downloads to install it, the largest first."""
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    (wheel,) = folder.glob("*.whl")
    pip("download", "--dest", str(folder), f"{wheel}[{','.join(extras)}]" if extras else str(wheel))
    sizes = {file.name: file.stat().st_size / 1e6 for file in folder.iterdir()}
    return dict(sorted(sizes.items(), key=lambda pair: -pair[1]))


def main(extras: list[str]) -> int:
    """Print the table; 1 if the core is larger than it may be."""
    with tempfile.TemporaryDirectory() as folder:
        sizes = downloaded(Path(folder), extras)
    for name, size in sizes.items():
        print(f"{size:8.2f} MB  {name}")
    total = sum(sizes.values())
    print(f"{total:8.2f} MB  in all" + ("" if extras else f", at most {LIMIT:g}"))
    return int(not extras and total > LIMIT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
