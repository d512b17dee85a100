"""Object detection is loaded when it is first asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest


def printed(code):
    """The output of a fresh interpreter that runs `code`."""
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


LOADED = "print(sum(name.startswith('lavadl_ref.slayer.object_detection') for name in sys.modules))"


def test_slayer_alone_loads_no_module_of_object_detection():
    assert printed(f"import sys, lavadl_ref.slayer\n{LOADED}") == "0\n"


@pytest.mark.parametrize(
    "code",
    [
        "from lavadl_ref.slayer import obd",
        "from lavadl_ref import slayer; obd = slayer.obd",
        "import lavadl_ref.slayer; obd = lavadl_ref.slayer.object_detection",
        "import lavadl_ref.slayer.object_detection as obd",
        "from lavadl_ref.slayer import *",
    ],
)
def test_object_detection_is_found_by_each_of_its_names(code):
    assert printed(f"{code}\nprint(obd.__name__, obd.YOLOBase.__name__)") == (
        "lavadl_ref.slayer.object_detection YOLOBase\n"
    )


def test_slayer_lists_object_detection_and_refuses_unknown_names():
    code = "import lavadl_ref.slayer as s; print('obd' in dir(s), hasattr(s, 'nothing'), hasattr(s, 'obd'))"
    assert printed(code) == "True False True\n"
