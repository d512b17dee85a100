"""A process of `warm`: runs the jobs whose names it reads, and answers each with one line of JSON."""

from __future__ import annotations

import json
import os
import sys
import warnings

import torch
from lavadl_kernels.runtime import compile_notice, jit
from lavadl_kernels.runtime.cache import KernelCacheWarning

from lavadl_ref.cli import _workloads


def main() -> None:
    """Answer until there is no more to read: its name, kernels compiled, warnings about files, an error or ''."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is written does not get between the answers
    compile_notice.NOTICE.silent = True
    torch.set_num_threads(1)
    jobs = _workloads.jobs()
    for line in sys.stdin:
        name = json.loads(line)
        before, error = compile_notice.NOTICE.done, ""
        with warnings.catch_warnings(record=True) as caught, jit.preparing():
            warnings.simplefilter("always")
            try:
                jobs[name]()
            except Exception as wrong:
                error = f"{type(wrong).__name__}: {wrong}"
        notes = [str(one.message) for one in caught if issubclass(one.category, KernelCacheWarning)]
        answer = [name, compile_notice.NOTICE.done - before, notes, error]
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
