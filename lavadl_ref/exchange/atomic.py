"""Files that appear complete or not at all."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path`, replacing what is there.

    The bytes are written to a hidden file beside `path`, brought to the disk, and moved to their place: whatever
    happens, `path` holds either all of `data` or what it held before. A hidden file that a killed process has left
    there is removed by the next call for the same `path`.

    Parameters
    ----------
    path : path
        In a folder that exists.
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
            target.with_name(name).unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it belongs to someone else
    return True
