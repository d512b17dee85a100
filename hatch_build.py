"""The wheel with compiled kernels: what `lavadl-ref warm --into FOLDER` made goes into it.

    LAVADL_REF_KERNELS=FOLDER pip wheel --no-deps .

Without the variable, and in a source distribution or an editable installation, the package is pure Python.
"""

from __future__ import annotations

import os
import re
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PYTHON = re.compile(r"\.py(\d+)\.[0-9a-f]+\.kernel$")


class Kernels(BuildHookInterface):  # type: ignore[type-arg]
    """Add the files, and name the one Python and the platform that they are for."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Change `build_data` where LAVADL_REF_KERNELS is set.

        Raises
        ------
        ValueError
            If the folder holds no kernels, or kernels of several Pythons.
        """
        folder = os.environ.get("LAVADL_REF_KERNELS")
        if not folder or self.target_name != "wheel" or version == "editable":
            return
        files = sorted(Path(folder).glob("*/*.kernel"))
        pythons = {found[1] for file in files if (found := PYTHON.search(file.name))}
        if len(pythons) != 1:
            raise ValueError(f"LAVADL_REF_KERNELS must be a folder of kernels for one Python, got {sorted(pythons)}")
        for file in files:
            build_data["force_include"][str(file)] = f"lavadl_kernels/compiled/{file.parent.name}/{file.name}"
        platform = re.sub("[-.]", "_", sysconfig.get_platform())
        build_data["pure_python"] = False
        build_data["tag"] = f"cp{pythons.pop()}-none-{platform}"
