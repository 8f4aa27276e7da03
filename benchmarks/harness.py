"""Run one benchmark: parse its options, measure, save the record, print its section and its targets.

A benchmark is a module ``bench_<name>.py`` with ``OPTIONS`` and ``measure``:

- ``OPTIONS``: default of each option; a list takes several values, False makes a flag. ``device`` is among them if the
  benchmark supports CUDA.
- ``measure(args)``: returns the record without name and environment, or None where there is nothing to record.
  ``args.folder`` is an empty folder, removed afterwards.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.page import targets_table
from benchmarks.records import ROOT, environment, save
from benchmarks.sections import SECTIONS, section

HELP = {
    "repeats": "measured runs",
    "seconds": "seconds per task",
    "split_repeats": "measured runs of splitting",
    "baseline_repeats": "measured runs of the baseline",
    "baseline_amp": "bfloat16 for the baseline's network too",
    "baseline_max_gt": "skip the baseline above so many ground-truth boxes",
    "pairs": "pairs of each kind",
    "boxes": "boxes of each image",
    "scene_boxes": "boxes of each scene whose pairs are all compared",
    "num_gt": "ground-truth boxes per image",
    "scenes": "scenes of each kind on which results are compared",
    "scene_gt": "ground-truth boxes of each of these scenes",
    "size": "side of the images in pixels",
    "sizes": "sides of the images in pixels",
    "batch": "images per batch",
    "candidates": "(prior, class) pairs per image above the score threshold",
    "scene_candidates": "candidates per image of crowded scenes",
    "detections": "number of detections",
    "compared": "detections of the comparison with dotadevkit",
    "images": "number of images after repetition",
    "model_sizes": "sides of the images for a model",
    "baseline_sizes": "sides of the images for the baseline",
    "label_files": "number of label files",
    "python": "Python interpreter that runs the commands (default: this one)",
    "geodeep": "Python interpreter that has geodeep installed",
    "processes": "worker processes",
    "baseline_size": "side of the image that the baselines split",
    "formats": "files of the image: tiled and striped TIFF, PNG, JPEG",
    "limit": "seconds after which a run is stopped",
    "data": "folder with images and labelTxt (default: the sample or synthetic scenes)",
    "only": "configs to measure (default: all)",
    "no_timing": "parameters and multiply-adds only",
    "time": "configs to time (default: a few on the CPU, all on a GPU)",
}


def run(name: str, words: Sequence[str]) -> None:
    """Run the benchmark ``name`` with the given command line."""
    benchmark = import_module(f"benchmarks.bench_{name.replace('-', '_')}")
    args = parse(name, benchmark.__doc__, benchmark.OPTIONS, words)
    if "device" not in benchmark.OPTIONS and args.device != "cpu":
        print(f"{name} measures on the CPU; --device {args.device} is ignored")
        args.device = "cpu"
    check_device(args.device)
    where = environment(args.device)  # before a tracked record is rewritten
    with tempfile.TemporaryDirectory(prefix=f"bench_{name}_") as folder:
        args.folder = Path(folder)
        measured = benchmark.measure(args)
    if measured is None:
        return
    record = {"name": name.replace("-", "_"), "environment": where, **measured}
    path = save(record)
    if record["name"] in SECTIONS:
        print(section(record))
    if record.get("targets"):
        print(targets_table([record]))
    print(path)


def parse(name: str, doc: str | None, options: dict[str, Any], words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line of a benchmark; the type of an option is that of its default."""
    parser = argparse.ArgumentParser(
        f"run.py {name}", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    devices = "cpu (default), cuda or cuda:<index>" if "device" in options else "ignored: measures on the CPU"
    parser.add_argument("--device", default="cpu", help=devices)
    for option, default in options.items():
        if option == "device":
            continue
        flag, help_text = f"--{option.replace('_', '-')}", HELP[option]
        if default is False:
            parser.add_argument(flag, action="store_true", help=help_text)
            continue
        several = isinstance(default, list)
        kind = type((default or [""])[0] if several else default)
        if default:
            help_text += f" (default: {' '.join(map(str, default)) if several else default})"
        parser.add_argument(flag, type=kind, nargs="+" if several else None, default=default, help=help_text)
    return parser.parse_args(words)


def check_device(device: str) -> None:
    """Exit with one line where the device is not available."""
    if device == "cpu":
        return
    import torch

    if not device.startswith("cuda"):
        raise SystemExit(f"unknown device '{device}'. Use cpu, cuda or cuda:<index>.")
    if not torch.cuda.is_available():
        raise SystemExit(f"no CUDA device found by torch {torch.__version__}. Nothing is measured.")


def synchronizer(device: str) -> Callable[[], object] | None:
    """Return a function that waits for the device, or None for the CPU."""
    if device == "cpu":
        return None
    import torch

    return lambda: torch.cuda.synchronize(device)


def in_new_process(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function of a benchmark module in a fresh interpreter; arguments and result pass as JSON."""
    code = (
        f"import json, sys; from {function.__module__} import {function.__name__} as run; "
        "print(json.dumps(run(*json.loads(sys.argv[1]))))"
    )
    return json_of_code(code, json.dumps(args), name=f"{function.__name__}{args}")


def json_of_code(code: str, *words: object, name: str = "code") -> Any:
    """Run code with arguments in a fresh interpreter and return the JSON of the last line that it prints."""
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} failed in a new process: {' '.join(done.stderr.strip().splitlines()[-1:])}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
