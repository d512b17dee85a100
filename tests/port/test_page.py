"""The page about microcontrollers: its commands run as they stand there, and its C compiles and classifies digits."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from tests.support import PATIENCE, c_programs
from tests.support.tree import ROOT

pytestmark = [
    pytest.mark.skipif(not c_programs.COMPILERS, reason=c_programs.NO_COMPILER),
    pytest.mark.skipif(shutil.which("make") is None, reason="needs make"),
]
PAGE = (ROOT / "docs" / "microcontroller.md").read_text()
BLOCKS = re.findall(r"```(sh|python|c)\n(.*?)```", PAGE, re.DOTALL)

MAIN = """
#include <stdio.h>
#include "use.c"

int main(void)
{
    uint8_t levels[DIGITS_INPUTS];
    for (;;) {
        for (uint32_t i = 0; i < DIGITS_INPUTS; i++) {
            int level;
            if (scanf("%d", &level) != 1) {
                return 0;
            }
            levels[i] = (uint8_t)level;
        }
        printf("%d\\n", classify(levels));
    }
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder in which all commands of the page were run."""
    place = tmp_path_factory.mktemp("page")
    tools = place / "tools"
    tools.mkdir()
    script = tools / "lavadl-ref"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lavadl_ref.cli.main "$@"\n')
    script.chmod(0o755)
    paths = [str(ROOT), str(ROOT / "kernels"), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "CC": c_programs.COMPILERS[0],
    }
    for language, text in BLOCKS:
        command = {"sh": ["sh", "-e", "-c", text], "python": [sys.executable, "-c", text]}.get(language)
        if command is not None:
            done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=PATIENCE)
            assert done.returncode == 0, (text, done.stdout, done.stderr)
    return place


def test_the_commands_of_the_page_end_with_equal_outputs(folder):
    assert [language for language, _ in BLOCKS] == ["sh", "sh", "sh", "python", "sh", "c"]
    given = np.loadtxt(folder / "given.txt", int)
    assert given.shape == (16, 10)
    assert given.any()
    assert (given == np.loadtxt(folder / "expected.txt", int)).all()


def test_the_c_of_the_page_classifies_digits_as_training_does(folder):
    from sklearn.datasets import load_digits

    (use,) = [text for language, text in BLOCKS if language == "c"]
    place = folder / "digits"
    (place / "use.c").write_text(use)
    (place / "main.c").write_text(MAIN)
    program = c_programs.compiled(place, ("digits",))
    digits = load_digits()
    text = "".join(" ".join(map(str, image)) + "\n" for image in digits.images.reshape(-1, 64).astype(int).tolist())
    given = np.array(c_programs.said(program, text).split(), int)
    assert (given == digits.target).mean() > 0.85
