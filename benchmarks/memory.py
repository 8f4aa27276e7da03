"""Peak memory: of one call, beyond what the process held before it, and of a command with all its processes."""

from __future__ import annotations

import ctypes
import gc
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

MB = 1e6


def extra_megabytes(run: Callable[[], object], device: str = "cpu") -> float:
    """Megabytes (1e6 bytes) at the highest point of ``run`` above the level before it.

    On CUDA what torch allocated. On the CPU resident memory: on Linux its high-water mark is set back first, so that
    imports, which may have needed more for a moment, hide nothing; elsewhere the mark only ever grows, and what stays
    below it reads as 0. Call it in a fresh process.
    """
    gc.collect()
    _trim_heap()
    if device != "cpu":
        return _extra_on_cuda(run, device)
    before = _reset_peak()
    run()
    return round(max(0.0, _peak() - before) / MB, 1)


def command_megabytes(words: Sequence[str], every_s: float = 0.005) -> float | None:
    """Megabytes (1e6 bytes) that a command and all processes it starts hold at most, or None where there is no /proc.

    The sum of what each process held at its own highest point, whenever that was, pages that they share counted in
    each: never less than the true peak, but for what a process takes in its last ``every_s`` seconds.
    """
    if not Path("/proc/self/status").exists():
        return None
    highest: dict[int, float] = {}
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            for pid in _family(process.pid):
                highest[pid] = max(highest.get(pid, 0.0), _status("VmHWM", pid) or 0.0)
            time.sleep(every_s)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)
    return round(sum(highest.values()) / MB, 1)


def held_megabytes(model: Any, optimiser: Any = None) -> float:
    """Megabytes of a torch model's parameters and buffers, and of what its optimiser keeps between steps."""
    kept = [*model.parameters(), *model.buffers()]
    if optimiser is not None:
        kept += [
            value for state in optimiser.state.values() for value in state.values() if hasattr(value, "element_size")
        ]
    return round(sum(value.numel() * value.element_size() for value in kept) / MB, 1)


def _family(pid: int) -> list[int]:
    """A process and those it started, theirs too."""
    found = [pid]
    for parent in found:  # grows on the way
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue  # ended in the meantime
    return found


def _extra_on_cuda(run: Callable[[], object], device: str) -> float:
    import torch

    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    torch.cuda.synchronize(device)
    return round((torch.cuda.max_memory_allocated(device) - before) / MB, 1)


def _trim_heap() -> None:
    """Give freed memory back to the system (glibc): what imports left behind would be used again unseen."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _reset_peak() -> float:
    """Bytes held now; the peak starts there where the system lets it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _peak()
    return _status("VmRSS") or _peak()


def _peak() -> float:
    """Highest resident memory in bytes, since the reset or ever."""
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _status("VmHWM") or usage * (1 if sys.platform == "darwin" else 1024)


def _status(name: str, pid: int | str = "self") -> float | None:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)
