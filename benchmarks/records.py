"""Records of the benchmarks: environment, rows and targets, stored as ``benchmarks/results/<name>.json``."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from rotated_atss.io.files import write_json

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(os.environ.get("BENCH_RESULTS") or ROOT / "benchmarks" / "results")

Row = dict[str, Any]
Record = dict[str, Any]

_LOAD = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None  # at import, before any measurement
_PACKAGES = ("torch", "numpy", "shapely", "opencv-python-headless", "isal", "pyspng", "onedl-mmcv", "onedl-mmrotate",
             "dotadevkit", "supervision", "sahi", "ultralytics", "onnx", "onnxruntime", "openvino")  # fmt: skip


def environment(device: str = "cpu") -> Record:
    """Describe commit, versions and machine; without date and paths, so that equal setups give equal records."""
    return {
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "load_before": _LOAD,
        "device": device if device == "cpu" else sys.modules["torch"].cuda.get_device_name(device),
    }


def target(name: str, measured: float | None, *, at_least: float | None = None, at_most: float | None = None) -> Row:
    """Compare a measurement with its performance target; ``met`` is None where nothing was measured."""
    kind, limit = ("at_most", at_most) if at_least is None else ("at_least", at_least)
    if limit is None:
        raise ValueError(f"target '{name}' has no limit. Give at_least or at_most.")
    met = None if measured is None else bool(measured <= limit if at_least is None else measured >= limit)
    return {"name": name, kind: limit, "measured": measured, "met": met}


def save(record: Record) -> Path:
    """Write a record to its JSON file and return the path; records of a GPU carry its name (``iou_nvidia-h200``)."""
    device = record["environment"]["device"]
    suffix = "" if device == "cpu" else "_" + re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    path = RESULTS / f"{record['name']}{suffix}.json"
    write_json(path, record)
    return path


def load(folder: Path) -> list[Record]:
    """Read all records of a folder, those of the CPU before those of GPUs."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return sorted(found, key=lambda record: record.get("environment", {}).get("device", "cpu") != "cpu")


def _commit() -> str:
    """Return the commit, with ``-dirty`` where tracked files differ from it."""
    try:
        words = ["git", "describe", "--always", "--dirty", "--exclude=*"]
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
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
