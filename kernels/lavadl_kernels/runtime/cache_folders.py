"""The folders of compiled kernels, in the order in which they are read; the last one is written to.

The candidates are the folder that NUMBA_CACHE_DIR names, the package's own folder, the user's cache folder, and a
private folder for temporary files.  The list ends with the first folder that can be written to.  The read-only folders
before it may still contain compiled kernels, for example those of a package that another user installed and ran.
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

    read: tuple[Path, ...]  #: the folders to read from, in this order
    write: Path | None  #: the folder to write to, or None if no folder can be written to
    #: the reason why `write` is not the folder that NUMBA_CACHE_DIR names, or only a temporary one; empty otherwise
    passed_over: str = ""


def cache_folders(package: Path) -> CacheFolders:
    """The folders for compiled kernels of the package whose sources are in the folder `package`."""
    return _cache_folders(package, str(config.CACHE_DIR))


@cache
def _cache_folders(package: Path, named: str) -> CacheFolders:
    # The name contains a digest of the path, so that several copies of the package do not overwrite each other's files.
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
    """The folder of the kernels that a package was built with; it has one subfolder for each level of processors."""
    return package / "compiled"


def _of_user(own: str) -> list[Path]:
    """The folder in the user's cache directory; an empty list if the user has no home directory."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    # If HOME is not set and the user has no entry in the user database, "~" is not expanded, and a folder of that name
    # would be created in the current folder.
    return [home / "numba" / own] if home.is_absolute() else []


def _unusable(folder: Path) -> str:
    """The reason why `folder` cannot be written to, or "" if it can; a missing folder is created."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f"cannot write to {folder}: {error.strerror or error}"
    return ""


def _temporary(own: str) -> tuple[Path | None, str]:
    """This user's private folder for temporary files, or None with the reason why there is none."""
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
    """Tell whether only this user can create files in `folder` or replace the folder itself.

    This matters because a file that is read there runs as code of this user.
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
