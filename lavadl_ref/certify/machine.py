"""The machine that a certificate was made on: processor and system, without names of hosts, users or folders."""

from __future__ import annotations

import os
import platform

from lavadl_ref._text import printable


def machine() -> dict[str, str]:
    """Processor, its threads, and the operating system."""
    return {
        "processor": printable(_processor())[:120],
        "threads": str(os.cpu_count()),
        "system": printable(f"{platform.system()} {platform.release()}, {platform.machine()}")[:120],
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as listed:
            for line in listed:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()
