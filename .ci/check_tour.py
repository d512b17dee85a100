"""Run the blocks of docs/tour.md as they are written, with an installed wheel alone: ``check_tour.py FOLDER``.

The folder is that of ``pip install --target``. Its dependencies are those of this Python, of which the repository is no
part: an editable installation is taken off the path of every Python that runs here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.pages import blocks  # noqa: E402 - after the path

#: Python runs this when it starts, behind the lines of an editable installation.
ALONE = """
import os, sys
ours = [path for path in sys.path if os.path.isdir(os.path.join(path, "lavadl_ref")) and path != {folder!r}]
kernels = [os.path.join(path, "kernels") for path in ours]
sys.path[:] = [path for path in sys.path if path not in ours + kernels]
"""
WHERE = """
import importlib.util
for name in ("lavadl_ref", "lavadl_kernels", "validation"):
    found = importlib.util.find_spec(name)
    print(name, found and found.submodule_search_locations[0], sep="=")
"""


def run(*command: str, **settings: str) -> str:
    """The output of a command in the empty folder, shown as it was typed; the program ends where it fails."""
    done = subprocess.run(command, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True)
    print(f"$ {' '.join(command)}", done.stdout, sep="\n", end="", flush=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}")
    return done.stdout


def main(folder: Path) -> int:
    """Run the tour; 1 if it does not say what the page promises."""
    page = ROOT / "docs" / "tour.md"
    with tempfile.TemporaryDirectory() as alone, tempfile.TemporaryDirectory() as empty:
        Path(alone, "sitecustomize.py").write_text(ALONE.format(folder=str(folder)))
        os.chdir(empty)
        settings = {
            "PYTHONPATH": os.pathsep.join([alone, str(folder)]),
            "PATH": os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "COLUMNS": "120",
        }
        found = dict(line.split("=") for line in run(sys.executable, "-c", WHERE, **settings).splitlines())
        names = ("lavadl_ref", "lavadl_kernels")
        wrong = [name for name, place in found.items() if place != (str(folder / name) if name in names else "None")]
        if wrong:
            sys.exit(f"not of the wheel alone: {', '.join(wrong)}")
        Path("tour.py").write_text("\n".join(blocks(page, "python")))
        said = run(sys.executable, "-W", "error", "tour.py", **settings)
        for lines in blocks(page, "sh"):
            for line in lines.splitlines():
                run("sh", "-c", line, **settings)
        promised = ("all equal: True", "proved for binary input over 16 steps")
        missing = [words for words in promised if words not in said]
        missing += [name for name in ("digits.net", "digit.png") if not Path(name).is_file()]
        os.chdir(ROOT)  # else the folder cannot be removed everywhere
    print(*(f"missing: {words}" for words in missing), sep="\n", end="")
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
