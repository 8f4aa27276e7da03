"""What every benchmark shares: who measured, how a pair is timed, where the figures go.

The contract is README.md beside this file: ours and the peer's run in turns in one process on the same input, after a
warm-up of each; the median, the fastest and the slowest run are kept, and the ratio of the medians. Only ratios of one
run mean anything on another machine. A row where we lose is published like one where we win.

A script ``bench_<claim>.py`` beside this file puts the checkout on ``sys.path``, so that it runs uninstalled too, and
imports ``benchmarks.harness``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(os.environ.get("BENCH_RESULTS") or ROOT / "benchmarks" / "results")  # another folder for trials
_LOAD = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None  # before anything is measured
_PACKAGES = ("torch", "numpy", "shapely", "opencv-python-headless", "isal", "pyspng")
_PACKAGES += ("onedl-mmcv", "onedl-mmrotate", "dotadevkit")
_PACKAGES += ("supervision", "sahi", "ultralytics")  # where they are installed


def environment(device: str = "cpu") -> dict[str, Any]:
    """The commit, the versions and the machine; no date and no path, so that equal set-ups give equal records."""
    return {
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "load_before": _LOAD,
        "device": _device(device),
    }


def arguments(doc: str, *, repeats: int) -> argparse.ArgumentParser:
    """The parser of a benchmark, with what all of them take."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=repeats, help=f"measured runs of ours (default: {repeats})")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:1")
    return parser


def check_device(device: str) -> None:
    """End with one line where the device is not there."""
    import torch

    if device == "cpu":
        return
    if not device.startswith("cuda"):
        raise SystemExit(f"unknown device {device!r}: give cpu, cuda or cuda:<number>")
    if not torch.cuda.is_available():
        raise SystemExit(f"no CUDA device: torch {torch.__version__} sees none on this machine, nothing measured")


def synchroniser(device: str) -> Callable[[], object] | None:
    """What to call before reading the clock: CUDA works on while Python goes ahead."""
    if device == "cpu":
        return None
    import torch

    return lambda: torch.cuda.synchronize(device)


def fp32_peak(device: str) -> float | None:
    """A CUDA device's float32 operations a second, computed: processors x lanes x 2 (a fused multiplication and
    addition) x highest clock. None where the clock is not told.
    """
    import torch

    properties = torch.cuda.get_device_properties(device)
    version = (properties.major, properties.minor)
    lanes = 64 if version == (8, 0) or version[0] == 7 else 128
    clock_hz = getattr(properties, "clock_rate", 0) * 1e3 or _told_clock_hz(torch.device(device).index or 0)
    return properties.multi_processor_count * lanes * 2 * clock_hz if clock_hz else None


def _told_clock_hz(index: int) -> float:
    """What nvidia-smi says, 0 where it is silent."""
    asked = ["nvidia-smi", f"--id={index}", "--query-gpu=clocks.max.sm", "--format=csv,noheader,nounits"]
    try:
        return float(subprocess.run(asked, capture_output=True, text=True, check=True).stdout) * 1e6
    except (OSError, ValueError, subprocess.CalledProcessError):
        return 0.0


def bar(claim: str, measured: float | None, *, at_least: float | None = None, at_most: float | None = None) -> dict:
    """A promise and what was measured of it; ``met`` is None where nothing was."""
    limit = at_least if at_least is not None else at_most
    if limit is None:
        raise ValueError("a bar needs at_least or at_most")
    met = None if measured is None else bool(measured >= limit if at_least is not None else measured <= limit)
    kind = "at_least" if at_least is not None else "at_most"
    return {"claim": claim, kind: limit, "measured": measured, "met": met}


def show_bars(bars: Sequence[dict[str, Any]]) -> str:
    """A line a bar: met, missed or not measured."""
    words = {True: "met", False: "MISSED", None: "not measured"}
    return "\n".join(f"{words[each['met']]}: {each['claim']}: {_shown(each['measured'])}".rstrip(": ") for each in bars)


def settle_allocator() -> None:
    """Let glibc keep what is freed, as in every process in which a network has run: having freed one block of 30 MB it
    stops to hand smaller ones back. Without it a process that never held more than a few MB takes every temporary anew
    from the system, page by page: 9 of 32 ms in the assignment of 5,000 objects.
    """
    bytearray(30 << 20)


def time_one(
    run: Callable[[], object], repeats: int, *, warmup: int = 1, sync: Callable[[], object] | None = None
) -> dict[str, Any]:
    """Seconds of ``repeats`` runs after ``warmup`` unmeasured ones: median, fastest, slowest."""
    _times(run, warmup, sync)
    return summary(_times(run, repeats, sync))


def time_pair(
    ours: Callable[[], object],
    peer: Callable[[], object] | None,
    repeats: int,
    *,
    warmup: int = 1,
    peer_repeats: int | None = None,
    peer_warmup: int | None = None,
    sync: Callable[[], object] | None = None,
    before: Callable[[], object] | None = None,
) -> dict[str, Any]:
    """Time two ways of one job in turns, so that whatever else the machine does hits both.

    Args:
        peer: None where there is none to compare with: then ours is timed alone.
        repeats: Measured runs of ours, spread around the peer's.
        warmup: Unmeasured runs of each before.
        peer_repeats: Measured runs of the peer, where they take minutes; by default as many as ours.
        peer_warmup: Unmeasured runs of the peer; 0 where a smaller job has warmed it already.
        sync: Called before every reading of the clock, for a device that works asynchronously.
        before: Called before every run of either, not timed: what the last run left is cleared away.

    Returns:
        ``{"ours": {"median", "min", "max", "runs"}, "peer": {...}, "ratio": peer / ours of the medians}``, seconds;
        without a peer ``ours`` alone.
    """
    if peer is None:
        _times(ours, warmup, sync, before)
        return {"ours": summary(_times(ours, repeats, sync, before))}
    peer_repeats = repeats if peer_repeats is None else peer_repeats
    _times(ours, warmup, sync, before)
    _times(peer, warmup if peer_warmup is None else peer_warmup, sync, before)
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    for turn in range(max(repeats, peer_repeats)):
        if turn < repeats:
            times["ours"] += _times(ours, 1, sync, before)
        if turn < peer_repeats:
            times["peer"] += _times(peer, 1, sync, before)
    result: dict[str, Any] = {name: summary(values) for name, values in times.items()}
    result["ratio"] = round(result["peer"]["median"] / result["ours"]["median"], 2)
    return result


def summary(times: Sequence[float]) -> dict[str, Any]:
    """Median, fastest, slowest and number of runs, in seconds."""
    return {
        "median": round(statistics.median(times), 6),
        "min": round(min(times), 6),
        "max": round(max(times), 6),
        "runs": len(times),
    }


def save(name: str, payload: dict[str, Any]) -> Path:
    """Write ``benchmarks/results/<name>.json``, the environment added where the payload has none; return its path.

    What was measured on a GPU has its name in the file's: ``iou_nvidia-h200.json``.
    """
    payload = {"name": name, **payload}
    payload.setdefault("environment", environment())
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}{_suffix(payload['environment']['device'])}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(payload, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)
    return path


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Rows of one benchmark as an aligned table: texts to the left, numbers to the right."""
    columns = list(rows[0]) if columns is None else list(columns)
    cells = [columns, *([_shown(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    left = [isinstance(rows[0].get(column), str) for column in columns]
    lines = [
        "  ".join(text.ljust(width) if flush else text.rjust(width) for text, width, flush in zip(line, widths, left))
        for line in cells
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


# -- inside ------------------------------------------------------------------------------------------------------------


def _times(
    run: Callable[[], object],
    count: int,
    sync: Callable[[], object] | None,
    before: Callable[[], object] | None = None,
) -> list[float]:
    times = []
    for _ in range(count):
        if before:
            before()
        if sync:
            sync()
        started = time.perf_counter()
        run()
        if sync:
            sync()
        times.append(time.perf_counter() - started)
    return times


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def _suffix(device: str) -> str:
    return "" if device == "cpu" else "_" + re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")


def _commit() -> str:
    """The commit, marked where tracked files differ from it."""
    try:
        told = ["git", "describe", "--always", "--dirty", "--exclude=*"]
        return subprocess.run(told, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _device(device: str) -> str:
    if device == "cpu":
        return "cpu"
    torch = sys.modules.get("torch")
    return str(torch.cuda.get_device_name(device)) if torch is not None else device
