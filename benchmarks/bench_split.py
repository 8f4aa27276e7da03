"""Splitting DOTA images at 1024/200, compared with mmrotate's img_split.py and dotadevkit.

Every run starts a fresh interpreter, as a user does, and writes into an empty folder. FOLDER holds images/ and
labelTxt/; by default it is dota_sample in $ROTATED_ATSS_DATA or in ../shared/data, otherwise synthetic scenes. The
images are duplicated until there are --images.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks import dota_data
from benchmarks.memory import children_cpu_seconds
from benchmarks.records import ROOT, Record, Row, target
from benchmarks.timing import time_pair
from rotated_atss.dota.folders import list_images
from rotated_atss.dota.labels import read_labels

OPTIONS = dict(repeats=3, data="", images=100, processes=2)

SIZE, GAP = 1024, 200

OWN = "import sys; from rotated_atss.cli import main; sys.exit(main(sys.argv[1:]))"
OWN_WITHOUT_ISAL = f"import sys; sys.modules['isal'] = None\n{OWN}"
DOTADEVKIT = (
    "import sys; from dotadevkit.ops.ImgSplit import DataSplitter\n"
    f"DataSplitter(sys.argv[1], sys.argv[2], gap={GAP}, subsize={SIZE}, num_process=int(sys.argv[3])).splitdata(1)"
)

Split = Callable[[Path, Path, int], None]  # data, output folder, processes


def split(data: Path, out: Path, processes: int, code: str = OWN, options: Sequence[object] = ()) -> None:
    """Run ``rotated-atss split``; labels only where there are some."""
    labels = ["--labels", data / "labelTxt"] if (data / "labelTxt").is_dir() else []
    settings = ["--size", SIZE, "--gap", GAP, "--workers", processes, "--overwrite", "--quiet"]
    run_python("-c", code, "split", "--images", data / "images", *labels, "--out", out, *settings, *options)


split_like_devkit = partial(split, options=["--name-style", "devkit", "--padding", 0, 0, 0])
split_without_isal = partial(split, code=OWN_WITHOUT_ISAL)


def mmrotate_split(images: Path, out: Path, processes: int) -> list[object]:
    """Return the arguments of ``python`` that run mmrotate's img_split.py, which has one process per image."""
    from mmengine.utils import get_installed_path

    script = f"{get_installed_path('mmrotate')}/.mim/tools/data/dota/split/img_split.py"
    windows = f"--sizes {SIZE} --gaps {GAP} --img-rate-thr 0.6 --padding-value 104 116 124".split()
    return [script, "--img-dirs", images, "--save-dir", out, *windows, "--nproc", processes]


def mmrotate(data: Path, out: Path, processes: int) -> None:
    run_python(*mmrotate_split(data / "images", out, processes), "--ann-dirs", data / "labelTxt", "--iof-thr", 0.7)


def dotadevkit(data: Path, out: Path, processes: int) -> None:
    run_python("-c", DOTADEVKIT, data, out, processes)


def split_row(library: str, own: Split, baseline: Split, fast_extra: bool, args: argparse.Namespace) -> Row:
    data, out, other = (args.folder / name for name in ("data", "rotated_atss", library))
    run, run_baseline = partial(own, data, out, args.processes), partial(baseline, data, other, args.processes)
    timed = time_pair(
        run, run_baseline, args.repeats, baseline_warmup=0 if other.exists() else 1,  # an earlier row has warmed it up
        before=lambda: _clear(out, other),
    )  # fmt: skip
    cpu = {}
    for name, each, written in (("rotated_atss", run, out), ("baseline", run_baseline, other)):
        _clear(written)
        before = children_cpu_seconds()
        each()
        cpu[f"{name}_cpu_s"] = round(children_cpu_seconds() - before, 2)  # hardly affected by other load
    kind = {"library": library, "fast_extra": fast_extra, "processes": args.processes}
    return {**kind, **timed, **cpu, **compare(out, other)}


def compare(out: Path, other: Path) -> dict[str, int]:
    """Count the tiles with equal name and pixels, and with mmrotate's objects (dotadevkit clips its objects)."""
    tiles = list_images(out / "images")
    same = [tile for tile in tiles if dota_data.same_pixels(tile, other / "images" / tile.name)]
    counts = {"tiles": len(tiles), "same_pixels": len(same)}
    if (other / "annfiles").is_dir():
        names = [f"{tile.stem}.txt" for tile in same]
        counts["same_objects"] = sum(_same_objects(out / "labelTxt" / it, other / "annfiles" / it) for it in names)
    return counts


def _same_objects(path: Path, other: Path) -> bool:
    a, b = read_labels(path), read_labels(other)
    same_flags = np.array_equal(a.difficult, b.difficult)
    return a.names == b.names and same_flags and np.allclose(a.polygons, b.polygons, rtol=0, atol=1e-3)


def targets(rows: Sequence[Row]) -> list[Row]:
    """Compare with the targets, by the rows with isal if it is installed."""
    best = {row["library"]: row for row in reversed(rows)}
    differing = sum(best[library]["tiles"] - best[library]["same_pixels"] for library in ("mmrotate", "dotadevkit"))
    return [
        target("splitting: speedup over mmrotate", best["mmrotate"]["speedup"], at_least=1.5),
        target("splitting: speedup over dotadevkit", best["dotadevkit"]["speedup"], at_least=3),
        target("splitting: tiles whose pixels differ from mmrotate or dotadevkit", differing, at_most=0),
    ]


def run_python(*words: object) -> None:
    """Run an interpreter that keeps compiled modules, as an installed package does."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, *map(str, words)], cwd=ROOT, check=True, capture_output=True, env=environment)


def _clear(*folders: Path) -> None:
    """Remove folders and flush the disk, so that no run waits for the writes of another."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    os.sync()


def measure(args: argparse.Namespace) -> Record:
    isal = find_spec("isal") is not None
    data, title = dota_data.find_data(args.data, args.folder)
    dota_data.repeat(data, args.images, args.folder / "data")
    rows = [
        split_row("mmrotate", split, mmrotate, isal, args),
        split_row("dotadevkit", split_like_devkit, dotadevkit, isal, args),
    ]
    if isal:
        rows.append(split_row("mmrotate", split_without_isal, mmrotate, False, args))
    return {"settings": {"data": title, "images": args.images}, "targets": targets(rows), "rows": rows}
