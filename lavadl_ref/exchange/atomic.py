"""Writing of files and folders that appear complete or not at all."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path`, replacing what is there.

    The bytes are written to a hidden file beside `path`, flushed to the disk, and moved to their place: `path` always
    holds either all of `data` or its previous content. The next call for the same `path` removes a hidden file that a
    killed process has left.

    Parameters
    ----------
    path : path
        The file, in an existing folder.
    data : bytes
        Content of the file.

    Raises
    ------
    OSError
        With the name of the file, if it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_bytes(f"{folder}/x", b"all of it")
    ...     Path(folder, "x").read_bytes(), os.listdir(folder)
    (b'all of it', ['x'])
    """
    target = Path(path)
    # the process, so that others know whether it lives, and a name of the call's own: threads may write at once
    part = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        _remove_parts_of_the_dead(target)
        try:
            with open(part, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), os.fspath(path)) from None


def _remove_parts_of_the_dead(target: Path) -> None:
    pattern = re.compile(rf"\.{re.escape(target.name)}\.(\d+)\.[0-9a-f]+\.part")
    for name in os.listdir(target.parent):
        found = pattern.fullmatch(name)
        if found and not _lives(int(found[1])):
            left = target.with_name(name)
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    if os.name == "nt":
        return True  # signal 0 would be Ctrl-C there
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it belongs to someone else
    return True


@contextmanager
def folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a new folder, whose files come to `path` when the block ends without an error; else none is left.

    If `path` does not exist, the folder appears there in one step. If it exists, its content stays until the new files
    are complete and on the disk; then files of the same names are replaced one by one, those directly in `path` last,
    and other files stay. The next call for `path` removes what a killed process has left.

    Parameters
    ----------
    path : path
        The folder, created if it is missing, together with its parents.

    Yields
    ------
    Path
        The empty folder to write to.

    Raises
    ------
    OSError
        With the name of the folder, if files cannot be written or moved to their place.
    """
    target = Path(os.path.realpath(path))
    # inside, where it exists: the folder above it may be on another disk
    place = target / "folder" if target.is_dir() else target
    part = place.with_name(f".{place.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        with _file_is_no_folder():
            place.parent.mkdir(parents=True, exist_ok=True)
        _remove_parts_of_the_dead(place)
        part.mkdir()
        try:
            yield part
            _sync(part)
            if place == target:
                os.rename(part, target)
            else:
                _move(part, target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), os.fspath(path)) from None


@contextmanager
def _file_is_no_folder() -> Iterator[None]:
    """Say so where a folder cannot be made, instead of that the file exists."""
    try:
        yield
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None


def _move(part: Path, target: Path) -> None:
    for place, _, names in os.walk(part, topdown=False):
        there = target / Path(place).relative_to(part)
        there.mkdir(parents=True, exist_ok=True)
        for name in names:
            os.replace(Path(place, name), there / name)


def _sync(part: Path) -> None:
    """Bring every file below `part` to the disk, which may find only then that it is full."""
    for place, _, names in os.walk(part):
        for name in names:
            with open(Path(place, name), "r+b") as file:  # some systems bring to the disk what is open for writing
                os.fsync(file.fileno())
