"""Compiled kernels on disk, for several processes at once.

Numba writes the name of a file into its index before it writes the file, and picks the name by what the index holds.
Two processes that compile together could so read each other's code for another signature, and a third one code from
before an edit.  Here one process writes at a time, and the index comes last.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any


@contextmanager
def _alone(folder: str) -> Iterator[None]:
    """Wait until no other process writes into `folder`; where locks are not to be had, do not."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _save(cache_file: Any, key: Any, data: Any) -> None:
    with _alone(cache_file._cache_path):
        names = cache_file._load_index()
        name = names.get(key) or cache_file._data_name(len(names) + 1)
        cache_file._save_data(name, data)
        cache_file._save_index({**names, key: name})


def share(compiled: Any, stamp: Any) -> None:
    """Make the cache of a compiled function safe to share, and valid for as long as `stamp` stays the same."""
    cache_file: Any = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if hasattr(cache_file, "_source_stamp"):
        cache_file._source_stamp = stamp
        cache_file.save = partial(_save, cache_file)
