"""Peak memory of one call, of a command with its child processes, and of a model; CPU time of processes."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

MB = 1e6


def extra_megabytes(run: Callable[[], object], device: str = "cpu") -> float:
    """Measure the peak memory increase during ``run``, in megabytes (1e6 bytes).

    Memory allocated by torch on CUDA, resident memory on the CPU. On Linux the high-water mark is reset first, so that
    an earlier peak, such as that of an import, does not mask this one; elsewhere anything below the earlier peak reads
    as 0. Call it in a fresh process.
    """
    gc.collect()
    if hasattr(ctypes.CDLL(None), "malloc_trim"):  # glibc: return freed memory to the system
        ctypes.CDLL(None).malloc_trim(0)
    if device != "cpu":
        return _extra_on_cuda(run, device)
    before = _reset_peak()
    run()
    return round(max(0.0, _peak() - before) / MB, 1)


def command_megabytes(words: Sequence[str]) -> float | None:
    """Measure the memory of a command and all its child processes in megabytes (1e6 bytes), None without /proc.

    The result is the sum of the peaks of the processes, shared pages counted in each. It is an upper bound of the true
    peak, except for allocations within the last 5 ms of a process.
    """
    if not Path("/proc/self/status").exists():
        return None
    highest: dict[int, float] = {}
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            for pid in _family(process.pid):
                highest[pid] = max(highest.get(pid, 0.0), _status("VmHWM", pid) or 0.0)
            time.sleep(0.005)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)
    return round(sum(highest.values()) / MB, 1)


def process_peak_megabytes() -> float:
    """Return the peak resident memory of this process in megabytes (1e6 bytes)."""
    return round(_peak() / MB, 1)


def command_peak(words: Sequence[str], limit_s: float, cwd: str | Path | None = None) -> dict[str, Any]:
    """Run a command and measure its seconds and the peak memory of all its processes at one time.

    The memory is the largest sum of the proportional set sizes (PSS), in which a page that processes share counts once.
    It is read every 50 ms; shorter peaks can be missed.

    Args:
        words: The command.
        limit_s: Seconds after which it is killed.
        cwd: Its working directory.

    Returns:
        ``seconds``, ``cpu_s`` (of all processes) and ``peak_mb`` (1e6 bytes); for a command that failed or was killed,
        ``note`` with the reason too.
    """
    started, highest, before = time.perf_counter(), 0.0, children_cpu_seconds()
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(words, cwd=cwd, stdout=subprocess.DEVNULL, stderr=errors) as process:
            while process.poll() is None and time.perf_counter() - started < limit_s:
                family = _family(process.pid)
                highest = max(highest, sum(_status("Pss", pid, "smaps_rollup") or 0.0 for pid in family))
                time.sleep(0.05)
            timed_out = process.returncode is None
            for pid in _family(process.pid) if timed_out else ():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        measured: dict[str, Any] = {"seconds": round(time.perf_counter() - started, 1)}
        measured |= {"cpu_s": round(children_cpu_seconds() - before, 1), "peak_mb": round(highest / MB)}
        if process.returncode:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").strip().splitlines()
            measured["note"] = f"stopped after {limit_s:g} s" if timed_out else (lines or ["failed"])[-1][:200]
        return measured


def children_cpu_seconds() -> float:
    """Return the CPU time in seconds, user and system, of the processes that this one started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def family_cpu_seconds(pid: int) -> float | None:
    """Return the CPU time in seconds that a process and its descendants have used so far, None without /proc."""
    if not Path("/proc/self/stat").exists():
        return None
    ticks = 0
    for each in _family(pid):
        with contextlib.suppress(OSError):  # the process has ended
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])  # utime and stime, proc(5)
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_megabytes(run: Callable[[], object], device: str, model: Any, optimizer: Any = None) -> float | None:
    """Measure the peak of allocated CUDA memory during ``run``, without what other models hold; None on the CPU."""
    if device == "cpu":
        return None
    return round(extra_megabytes(run, device) + held_megabytes(model, optimizer), 1)


def held_megabytes(model: Any, optimizer: Any = None) -> float:
    """Return the megabytes of a model's parameters and buffers, and of the state of its optimizer."""
    kept = [*model.parameters(), *model.buffers()]
    if optimizer is not None:
        kept += [
            value for state in optimizer.state.values() for value in state.values() if hasattr(value, "element_size")
        ]
    return round(sum(value.numel() * value.element_size() for value in kept) / MB, 1)


def _family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    found = [pid]
    for parent in found:  # grows during the loop
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue  # the process has ended
    return found


def _extra_on_cuda(run: Callable[[], object], device: str) -> float:
    import torch

    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    torch.cuda.synchronize(device)
    return round((torch.cuda.max_memory_allocated(device) - before) / MB, 1)


def _reset_peak() -> float:
    """Reset the peak where the system supports it, and return the resident bytes."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _peak()
    return _status("VmRSS") or _peak()


def _peak() -> float:
    """Return the peak of the resident memory in bytes, since the reset or the start."""
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _status("VmHWM") or usage * (1 if sys.platform == "darwin" else 1024)


def _status(name: str, pid: int | str = "self", file: str = "status") -> float | None:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return None
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)
