"""Memory that this process uses."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_STATM = Path("/proc/self/statm")


def resident_bytes() -> int | None:
    """Return the resident memory of this process in bytes.

    Returns:
        The current value on Linux, the maximum so far on macOS and other POSIX systems, None on Windows.

    Example:
        >>> (resident_bytes() or 2**30) > 2**20
        True
    """
    if _STATM.exists():
        resident_pages = int(_STATM.read_text().split()[1])
        return resident_pages * os.sysconf("SC_PAGE_SIZE")
    try:
        import resource  # missing on Windows
    except ModuleNotFoundError:
        return None
    maximum = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return maximum if sys.platform == "darwin" else maximum * 1024  # macOS counts bytes, others KiB
