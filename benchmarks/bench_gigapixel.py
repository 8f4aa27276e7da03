"""Splitting of one large image at 1024/200: time and memory of the whole process tree by size and format.

Images come from reliability/make_gigapixel.py and are kept in --data, if given. Every run is a command of its own, run
once, without labels. Baselines read the tiled TIFF or the PNG file of --baseline-size: mmrotate's img_split.py and
sahi's slice_image. A baseline that fails or takes longer than --limit seconds is named with the reason.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from benchmarks.bench_split import GAP, SIZE, mmrotate_split
from benchmarks.memory import command_peak
from benchmarks.records import ROOT, Record, Row, target
from benchmarks.reliability.make_gigapixel import make_gigapixel

OPTIONS = dict(sizes=[5000, 10000, 20000, 30000], formats=["tiled", "striped", "png", "jpeg"], baseline_size=30000,
               processes=2, limit=600, data="")  # fmt: skip

SAHI = (
    "import sys; from PIL import Image; Image.MAX_IMAGE_PIXELS = None; import sahi.slicing as slicing\n"
    f"slicing.MAX_WORKERS = int(sys.argv[3]); overlap = {GAP / SIZE}\n"
    "slicing.slice_image(sys.argv[1], output_file_name='giga', output_dir=sys.argv[2], "
    f"slice_height={SIZE}, slice_width={SIZE}, "
    "overlap_height_ratio=overlap, overlap_width_ratio=overlap, out_ext='.png')"
)
BASELINES = [("mmrotate", "tiled"), ("sahi", "png")]  # library, format that it reads


def commands(image: Path, out: Path, processes: int) -> dict[str, list[object]]:
    """Return the command of each library that is installed; sahi writes tiles with threads."""
    own = ["split", "--images", image.parent, "--out", out, "--size", SIZE, "--gap", GAP, "--workers", processes]
    words = {
        "rotated-atss": ["-m", "rotated_atss", *own, "--quiet"],
        **({"mmrotate": mmrotate_split(image.parent, out, processes)} if find_spec("mmrotate") else {}),
        **({"sahi": ["-c", SAHI, image, out, processes]} if find_spec("sahi") else {}),
    }
    return {library: [sys.executable, *each] for library, each in words.items()}


def split_row(library: str, image: Path, folder: Path, args: argparse.Namespace) -> Row:
    """Run one command and return seconds, megabytes and the number of tiles, or the reason of a failure."""
    out = folder / "out"
    row: Row = {"library": library, "file": image.parent.parent.name, "file_mb": round(image.stat().st_size / 1e6)}
    alone = folder / "images" / image.name  # in a folder without other images
    alone.parent.mkdir(parents=True)
    alone.symlink_to(image)
    words = commands(alone, out, args.processes).get(library)
    if words is None:
        return row | {"note": f"{library} is not installed"}
    row |= command_peak([str(word) for word in words], args.limit, cwd=ROOT)
    if "note" not in row:
        row["tiles"] = sum(path.suffix == ".png" for path in out.rglob("*.png"))
    shutil.rmtree(out, ignore_errors=True)
    return row


def targets(rows: Sequence[Row]) -> list[Row]:
    """Compare with the targets: memory at 30,000 pixels, and CPU time in proportion to the pixels."""
    own = [row for row in rows if row["library"] == "rotated-atss" and "seconds" in row]
    large = [row["peak_mb"] for row in own if row["size"] == 30_000]
    tiled = {row["size"]: row["cpu_s"] for row in own if row["file"] == "tiled" and row["size"] >= 10_000}
    growth = None
    if len(tiled) > 1:
        small, big = min(tiled), max(tiled)
        growth = round(tiled[big] / tiled[small] / (big / small) ** 2, 2)
    return [
        target("gigapixel: peak MB of all processes, 30,000 x 30,000 px", max(large, default=None), at_most=1000),
        target("gigapixel: CPU seconds per pixel, largest over 10,000 x 10,000 px", growth, at_most=1.5),
    ]


def measure(args: argparse.Namespace) -> Record:
    rows: list[Row] = []
    data = Path(args.data).resolve() if args.data else args.folder / "data"
    with suppress(KeyboardInterrupt):  # the rows until then are recorded
        for size in args.sizes:
            for library, image in runs_of(size, data, args):
                rows.append({"size": size, **split_row(library, image, args.folder / f"run_{len(rows)}", args)})
                print(rows[-1], flush=True)
    return {"settings": {"processes": args.processes, "limit": args.limit}, "targets": targets(rows), "rows": rows}


def runs_of(size: int, data: Path, args: argparse.Namespace) -> list[tuple[str, Path]]:
    """Return library and image of the runs of one size; the largest is measured in all formats."""
    formats = dict.fromkeys(args.formats[:1] if size < max(args.sizes) else args.formats)
    runs = [("rotated-atss", each) for each in formats] + (BASELINES if size == args.baseline_size else [])
    images = make_gigapixel(data, size, list(dict.fromkeys(each for _, each in runs)))
    return [(library, images[each]) for library, each in runs]
