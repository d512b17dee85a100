"""Files and folders that a user names."""

from __future__ import annotations

import os
from pathlib import Path


def folder(path: str | os.PathLike[str], what: str) -> Path:
    """`path`, which must be a folder.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        It is missing, or something else; says that it should hold `what`.
    """
    found = Path(path)
    if not found.exists():
        raise FileNotFoundError(f"{found}: there is no such folder; expected one with {what}")
    if not found.is_dir():
        raise NotADirectoryError(f"{found}: expected a folder with {what}")
    return found


def file(path: Path, what: str) -> Path:
    """`path`, which must be a file; FileNotFoundError, which says that it should be `what`, if not."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; expected {what}")
    return path
