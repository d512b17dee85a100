"""The folders of compiled kernels, in the order in which they are read; the last of them is written to.

They are the one that NUMBA_CACHE_DIR names, the package's own, the user's, and a private one among temporary files.
The list ends with the first that can be written to.  A folder before it may be read-only and still hold compiled
kernels: that of a package which someone else has installed and run once.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from numba import config


@dataclass(frozen=True)
class CacheFolders:
    """Folders of compiled kernels."""

    read: tuple[Path, ...]  #: in this order
    write: Path | None  #: None where no folder can be written to
    passed_over: str = ""  #: why `write` is not the folder of NUMBA_CACHE_DIR, or not a lasting one; empty if it is


def cache_folders(package: Path) -> CacheFolders:
    """The folders for compiled kernels of the package whose sources are in the folder `package`."""
    return _cache_folders(package, str(config.CACHE_DIR))


@cache
def _cache_folders(package: Path, named: str) -> CacheFolders:
    # several copies of the package must not replace each other's files
    own = f"{package.name}_{hashlib.sha1(os.fsencode(package), usedforsecurity=False).hexdigest()}"
    read: list[Path] = []
    reasons: dict[Path, str] = {}
    lasting = [*([Path(named) / own] if named else []), package / "__pycache__", *_of_user(own)]
    for folder in lasting:
        reasons[folder] = _unusable(folder)
        read.append(folder)
        if not reasons[folder]:
            passed_over = f"NUMBA_CACHE_DIR: {reasons[read[0]]}" if named and len(read) > 1 else ""
            return CacheFolders(tuple(read), folder, passed_over)
    why = f"NUMBA_CACHE_DIR: {reasons[read[0]]}" if named else reasons[read[-1]]
    temporary, wrong = _temporary(own)
    if temporary is None:
        return CacheFolders(tuple(read), None, f"{why}; {wrong}")
    return CacheFolders((*read, temporary), temporary, why)


def shipped(package: Path) -> Path:
    """The folder of kernels that a package was built with, in one folder a level of processors."""
    return package / "compiled"


def _of_user(own: str) -> list[Path]:
    """The folder in the user's cache directory; none where the user has no home."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    # without HOME and an entry of the user "~" stays as it is, and would be made in the current folder
    return [home / "numba" / own] if home.is_absolute() else []


def _unusable(folder: Path) -> str:
    """The reason why nothing can be written to `folder`, made if it is missing; empty if something can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f"cannot write to {folder}: {error.strerror or error}"
    return ""


def _temporary(own: str) -> tuple[Path | None, str]:
    """This user's folder among temporary files, or None and why there is none."""
    try:
        root = Path(tempfile.gettempdir()).resolve()
    except OSError as error:
        return None, error.strerror or str(error)
    if not hasattr(os, "getuid"):
        return None, f"the system does not tell who may write to {root}"
    private = root / f"lavadl_kernels-{os.getuid()}"
    try:
        private.mkdir(mode=0o700, exist_ok=True)
        if not _is_private(private):
            return None, f"{private} is not a folder that only this user can write to"
        folder = private / own
        return (None, wrong) if (wrong := _unusable(folder)) else (folder, "")
    except OSError as error:
        return None, f"cannot write to {private}: {error.strerror or error}"


def _is_private(folder: Path) -> bool:
    """Tell whether nobody but this user can put files into `folder`, or another folder in its place.

    A file that is read there runs as code of this user.
    """
    found, above = folder.lstat(), folder.parent.stat()
    mine = (os.getuid(), 0)
    shared = above.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not above.st_mode & stat.S_ISVTX
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.getuid()
        and not stat.S_IMODE(found.st_mode) & 0o077
        and above.st_uid in mine
        and not shared
    )
