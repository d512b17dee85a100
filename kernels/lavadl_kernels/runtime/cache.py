"""The cache of compiled kernels on disk, which is safe for concurrent processes and tolerates failing disks.

Each signature of a kernel has its own file, which is written under a temporary name and then renamed.  Numba's own
cache has one index for all signatures, which it writes before the code and without a lock, so that two processes that
compile at the same time can load the code of a wrong signature.  A file begins with a digest of the rest: a truncated
or damaged file counts as missing, and nothing of it is unpickled.  Whatever is wrong with the folder or a file, the
kernel is compiled and the run continues; a warning is given once.

An installed package may contain kernels that were compiled when it was built, for a level of processors
(`processor.LEVELS`).  They are files of the same format.  They are read after the user's own files, and only on a
processor that has that level.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import secrets
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba import types

from lavadl_kernels.runtime import private, processor
from lavadl_kernels.runtime.cache_folders import CacheFolders, cache_folders, shipped

caching, serialize = (private.part(f"numba.core.{name}", "cache") for name in ("caching", "serialize"))
_FunctionCache: Any = object if caching is None else caching.FunctionCache
_Conversion: Any = object if caching is None else caching.CompileResultCacheImpl

_MAGIC = b"lavadl_kernels 2\n"  #: the first bytes of a file, before the digests of all that follows and of the stamp
_DIGEST = hashlib.sha256().digest_size
SUFFIX = ".kernel"  #: the suffix of the files' names


class KernelCacheWarning(RuntimeWarning):
    """Compiled kernels cannot be read from disk, or cannot be kept there."""


_said: set[str] = set()  # the kinds of problems that a warning was already given for


def _warn(kind: str, message: str) -> None:
    """Warn once about a kind of problem, in one line.

    The warning names no line of the user's code, because none is at fault.
    """
    if kind not in _said:
        _said.add(kind)
        warnings.warn_explicit(message, KernelCacheWarning, "<lavadl_kernels>", 1)


def _digest(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def _sealed(stamp: Any, content: Any) -> bytes:
    data: bytes = _digest(repr(stamp).encode()) + serialize.dumps(content)
    return _MAGIC + _digest(data) + data


def _opened(sealed: bytes, stamp: Any) -> Any:
    """The content that `_sealed` was given; None, without unpickling anything, if it was given a different stamp.

    Raises
    ------
    ValueError
        If these bytes are not what `_sealed` returned.
    """
    start = len(_MAGIC) + _DIGEST
    head, data = sealed[:start], sealed[start:]
    if head != _MAGIC + _digest(data):
        raise ValueError("damaged")
    if data[:_DIGEST] != _digest(repr(stamp).encode()):
        return None
    return pickle.loads(data[_DIGEST:])


class Files:
    """The files of one kernel.

    Parameters
    ----------
    where : CacheFolders
        The folders that are searched and written to.
    name : str
        The beginning of the names of the kernel's files.
    stamp
        The state of the sources for which the files are valid: with a different stamp, Numba or NumPy, they are not
        found.
    """

    def __init__(self, where: CacheFolders, name: str, stamp: Any) -> None:
        numpy = np.__version__.partition(".")[0]
        self._where, self._name = where, name
        self.stamp = (numba.__version__, llvmlite.__version__, numpy, stamp)

    def file(self, key: Any) -> str:
        """The name of the file for `key`, which consists of types and texts."""
        return f"{self._name}.{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}{SUFFIX}"

    def load(self, key: Any) -> Any:
        """The content that was saved for `key`, or None if there is none."""
        for folder in self._where.read:
            path = folder / self.file(key)
            try:
                found = _opened(path.read_bytes(), self.stamp)
                if found is None:
                    continue
                saved_for, content = found
                # The name of a file depends only on the key's text, and different types may have the same text.
                if saved_for == key:
                    return content
            except Exception as error:  # unpickling can raise any exception
                # A folder that this process does not write to may belong to another user: a file that cannot be read
                # there is no reason for a warning.
                absent = FileNotFoundError if folder == self._where.write else OSError
                if not isinstance(error, absent):
                    self.useless(key, error, path)
        return None

    def save(self, key: Any, content: Any) -> None:
        """Save `content` for `key`, if that is possible; otherwise warn."""
        where = self._where
        if where.write is None:
            _warn("nowhere", f"compiled kernels cannot be kept, every process compiles them again: {where.passed_over}")
            return
        if where.passed_over:
            _warn("elsewhere", f"compiled kernels are kept in {where.write}: {where.passed_over}")
        data = _sealed(self.stamp, (key, content))
        try:
            _write(where.write / self.file(key), data)
        except OSError as error:
            why = error.strerror or str(error)
            _warn("unsaved", f"compiled kernels cannot be kept in {where.write}, and are compiled again: {why}")

    def useless(self, key: Any, error: Exception, path: Path | None = None) -> None:
        """Warn that the file for `key`, or `path`, is unusable because of `error`."""
        why = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
        found = path or self.file(key)
        _warn("useless", f"compiled kernels on disk are of no use, and are compiled again: {found}: {why}")


def _write(path: Path, data: bytes) -> None:
    """Write `data` to a temporary file in the folder of `path`, then rename it to `path`.

    No reader ever sees an incomplete file, and the temporary file is removed in case of an error.
    """
    if path.is_dir():  # a file cannot replace a folder; `rmdir` removes only an empty one
        path.rmdir()
    part = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        _remove_parts_of_the_dead(path)
        with open(part, "xb") as file:
            file.write(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


# `lavadl_ref.exchange` has copies of these two functions: kernels may not import lavadl_ref, and `exchange` works
# without kernels.
def _remove_parts_of_the_dead(path: Path) -> None:
    pattern = re.compile(rf"{re.escape(path.name)}\.(\d+)\.[0-9a-f]+\.part")
    for name in os.listdir(path.parent):
        found = pattern.fullmatch(name)
        if found and not _lives(int(found[1])):
            path.with_name(name).unlink(missing_ok=True)


def _lives(process: int) -> bool:
    if os.name == "nt":
        return True  # on Windows, signal 0 would be Ctrl-C
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # the process exists, but belongs to another user
    return True


class KernelCache(_FunctionCache):
    """The machine code of a compiled function on disk, behind the interface of Numba's own cache.

    Parameters
    ----------
    function : function
        The Python function.
    stamp
        The state of the sources from which the code is compiled, in addition to the function itself.
    features : sequence of str
        Processor features: if this processor has one of them, shipped code is not run, see `jit.Kernel`.
    """

    def __init__(self, function: Any, stamp: Any, features: Sequence[str] = ()) -> None:
        code = function.__code__
        source = Path(code.co_filename)
        python = f"py{sys.version_info[0]}{sys.version_info[1]}{getattr(sys, 'abiflags', '')}"
        self._package = _package_of(source.resolve())
        module = ".".join(source.resolve().relative_to(self._package).with_suffix("").parts)
        name = f"{module}.{function.__qualname__}-{code.co_firstlineno}.{python}"
        self._py_func, self._impl = function, _Results(source, code.co_firstlineno)
        self._name = re.sub("[<>]", "", name)
        self._stamp = stamp
        self._features = features
        self.enable()

    @property
    def files(self) -> Files:
        """The files of the function; their folders are determined when they are first needed."""
        return Files(cache_folders(self._package), self._name, self._stamp)

    @property
    def cache_path(self) -> str | None:
        """The folder that is written to, or None if there is none."""
        write = cache_folders(self._package).write
        return None if write is None else str(write)

    def flush(self) -> None:
        """Do nothing: a newly written file replaces the old one."""

    def _shipped(self, sig: Any, codegen: Any) -> tuple[Any, Files] | None:
        """The key of a signature for this processor's level, and the files shipped with the package.

        None if no shipped code can run here.  The files were written by a process whose Numba settings made it compile
        for the level.
        """
        level = processor.level()
        if level is None or any(map(processor.has, self._features)):
            return None
        triple, *_ = codegen.magic_tuple()
        folder = CacheFolders((shipped(self._package) / level,), None)
        return self._index_key(sig, _CompiledFor((triple, level, ""))), Files(folder, self._name, self._stamp)

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        """The key of a signature, with the state of the files of neuron families from outside the package."""
        return *super()._index_key(sig, codegen), _files_outside(sig)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The machine code for a signature, or None."""
        target_context.refresh()
        if not self._enabled:
            return None
        codegen = target_context.codegen()
        for source in ((self._index_key(sig, codegen), self.files), self._shipped(sig, codegen)):
            if source is None:
                continue
            key, files = source
            reduced = files.load(key)
            if reduced is not None:
                try:
                    return self._impl.rebuild(target_context, reduced)
                except Exception as error:  # LLVM and Numba may raise any exception
                    files.useless(key, error)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save the machine code for a signature."""
        if self._enabled and self._impl.check_cachable(data):
            self.files.save(self._index_key(sig, data.codegen), self._impl.reduce(data))


def _files_outside(kinds: Any) -> tuple[tuple[str, int, int], ...]:
    """Module name, modification time and size of the files outside the package that define named tuples in `kinds`.

    A kernel runs the functions of the family whose parameters it is given.  The stamp covers the package's own files,
    but not the files of other packages: without this, stale code would run after an edit there.
    """
    found: list[tuple[str, int, int]] = []
    for kind in kinds:
        if isinstance(kind, types.BaseTuple):
            found += _files_outside(kind.types)
        of = getattr(kind, "instance_class", None)
        module = getattr(of, "__module__", "")
        file = getattr(sys.modules.get(module), "__file__", None)
        if file and module.partition(".")[0] != __name__.partition(".")[0]:
            state = os.stat(file)
            found.append((module, state.st_mtime_ns, state.st_size))
    return tuple(found)


def _package_of(source: Path) -> Path:
    """The folder of the outermost package that contains a module: all its compiled code is kept in one place."""
    folder = source.parent
    while (folder.parent / "__init__.py").exists():
        folder = folder.parent
    return folder


class _Results(_Conversion):
    """The conversion of compiled results to plain values and back.

    Unlike the base class of Numba, it does not search for a cache folder.
    """

    def __init__(self, source: Path, line: int) -> None:
        self._locator, self._lineno = _Source(str(source)), line

    def reduce(self, compiled: Any) -> Any:
        """The plain values without the annotated source, which is long and contains folder names of this machine."""
        return super().reduce(compiled._replace(type_annotation=""))


class _CompiledFor:
    """A stand-in for a code generator that tells `FunctionCache._index_key` for which processor it compiles."""

    def __init__(self, answer: tuple[str, str, str]) -> None:
        self._answer = answer

    def magic_tuple(self) -> tuple[str, str, str]:
        return self._answer


class _Source:
    """A stand-in for Numba's cache locator: it holds the name of the source file that Numba's warnings show."""

    def __init__(self, file: str) -> None:
        self._py_file = file


def keep_on_disk(compiled: Any, stamp: Any, features: Sequence[str] = ()) -> None:
    """Keep the compiled code of a function on disk, in a `KernelCache`; it is valid as long as `stamp` is the same."""
    if numba.config.DISABLE_JIT:
        return  # without compilation there is nothing to keep
    if lacking := private.lacking("cache"):
        _warn("nowhere", f"compiled kernels cannot be kept, every process compiles them again: {lacking}")
    else:
        compiled._cache = KernelCache(compiled.py_func, stamp, features)
