"""Splitting of one large image at 1024/200: time and memory of the whole process tree by size and format.

Images come from reliability/make_gigapixel.py and are kept in --data, if given. Every run is a command of its own, run
once, without labels. Baselines read the tiled TIFF or the PNG file of --baseline-size: mmrotate's img_split.py and
sahi's slice_image. A baseline that fails or takes longer than --limit seconds is named with the reason.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
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

Command = Callable[[Path, Path, int], list[object]]  # image, output folder, processes


def rotated_atss(image: Path, out: Path, processes: int) -> list[object]:
    """Return the command of this package."""
    settings = ["--size", SIZE, "--gap", GAP, "--workers", processes, "--quiet"]
    return [sys.executable, "-m", "rotated_atss", "split", "--images", image.parent, "--out", out, *settings]


def mmrotate(image: Path, out: Path, processes: int) -> list[object]:
    """Return the command of mmrotate."""
    return [sys.executable, *mmrotate_split(image.parent, out, processes)]


def sahi(image: Path, out: Path, processes: int) -> list[object]:
    """Return the command of sahi, whose threads write tiles."""
    if importlib.util.find_spec("sahi") is None:
        raise FileNotFoundError("sahi is not installed")
    return [sys.executable, "-c", SAHI, image, out, processes]


BASELINES: list[tuple[str, Command, str]] = [("mmrotate", mmrotate, "tiled"), ("sahi", sahi, "png")]


def measure_split(library: str, command: Command, image: Path, folder: Path, args: argparse.Namespace) -> Row:
    """Run one command and return seconds, megabytes and the number of tiles, or the reason of a failure."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    row: Row = {"library": library, "file": image.parent.parent.name, "file_mb": round(image.stat().st_size / 1e6)}
    try:
        words = [str(word) for word in command(image, out, args.processes)]
        row |= command_peak(words, args.limit, cwd=ROOT)
    except FileNotFoundError as error:
        return row | {"note": str(error)}
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
    rows, folder = [], args.folder
    data = Path(args.data).resolve() if args.data else folder / "data"
    runs = [(size, *run) for size in args.sizes for run in runs_of(size, data, args)]
    with suppress(KeyboardInterrupt):  # the rows until then are recorded
        for size, library, command, image in runs:
            alone = link_alone(image, folder / f"input_{len(rows)}")
            rows.append({"size": size, **measure_split(library, command, alone, folder, args)})
            print(rows[-1], flush=True)
    return {"settings": {"processes": args.processes, "limit": args.limit}, "targets": targets(rows), "rows": rows}


def runs_of(size: int, data: Path, args: argparse.Namespace) -> list[tuple[str, Command, Path]]:
    """Return library, command and image of the runs of one size; the largest is measured in all formats."""
    formats = dict.fromkeys(args.formats[:1] if size < max(args.sizes) else args.formats)
    baselines = [row for row in BASELINES if size == args.baseline_size]
    images = make_gigapixel(data, size, list(dict.fromkeys([*formats, *(each for _, _, each in baselines)])))
    own: list[tuple[str, Command, Path]] = [("rotated-atss", rotated_atss, images[each]) for each in formats]
    return own + [(library, command, images[each]) for library, command, each in baselines]


def link_alone(image: Path, folder: Path) -> Path:
    """Return a link to an image in a folder without other images."""
    link = folder / image.parent.parent.name / "images" / image.name
    link.parent.mkdir(parents=True)
    link.symlink_to(image)
    return link
