"""Reading a large image by the windows of a split (1024/200), per format and library: seconds and peak memory.

Every run is a fresh process that reads all windows from top to bottom and computes a checksum of their pixels. The
image is that of ``reliability/make_gigapixel.py``; FOLDER holds it already, or receives it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import harness
from benchmarks.records import Record, Row, target
from benchmarks.reliability.make_gigapixel import WRITERS, make_gigapixel

OPTIONS = dict(repeats=1, data="", size=30_000)

LIBRARIES = ("rotated-atss", "rasterio", "opencv")

RUN = """
import json, os, resource, sys, time, zlib
path, library = sys.argv[1:]
from benchmarks import memory
from rotated_atss.tiling.windows import sliding_windows
started, checksum = time.perf_counter(), 0
if library == "rotated-atss":
    from rotated_atss.io.image_reader import open_image
    image = open_image(path)
    width, height, read = image.width, image.height, lambda *window: image.read(window)
elif library == "rasterio":
    import numpy, rasterio
    image = rasterio.open(path)
    width, height = image.width, image.height
    def read(x, y, x_stop, y_stop):
        bands = image.read([3, 2, 1], window=((y, y_stop), (x, x_stop)))
        return numpy.ascontiguousarray(numpy.moveaxis(bands, 0, -1))
else:
    os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(1 << 40)
    import cv2, numpy
    image = cv2.imread(path)
    height, width = image.shape[:2]
    read = lambda x, y, x_stop, y_stop: numpy.ascontiguousarray(image[y:y_stop, x:x_stop])
windows = sliding_windows(width, height, [(1024, 200)], 0.6).tolist()
for window in sorted(windows, key=lambda window: window[1]):
    pixels = read(*window)
    checksum = zlib.crc32(pixels.tobytes(), checksum)
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "seconds": round(time.perf_counter() - started, 1), "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
    "peak_mb": memory.process_peak_megabytes(), "checksum": checksum, "windows": len(windows),
}))
"""


def format_rows(name: str, path: Path, repeats: int) -> list[Row]:
    """Measure all libraries in turn on one file; the fastest of the runs of each."""
    turns = [{library: harness.json_of_code(RUN, path, library) for library in LIBRARIES} for _ in range(repeats)]
    expected = turns[0]["opencv"]["checksum"]
    rows = []
    for library in LIBRARIES:
        row = min((turn[library] for turn in turns), key=lambda row: row["seconds"])
        rows.append({"format": name, "library": library, **row, "same_pixels": row["checksum"] == expected})
    return rows


def targets(rows: Sequence[Row]) -> list[Row]:
    own = [row for row in rows if row["library"] == "rotated-atss"]
    return [target(f"reading {row['format']}: peak MB", row["peak_mb"], at_most=1000) for row in own]


def measure(args: argparse.Namespace) -> Record:
    paths = make_gigapixel(Path(args.data or args.folder), args.size, list(WRITERS))
    rows = [row for name, path in paths.items() for row in format_rows(name, path, args.repeats)]
    megabytes = {name: round(path.stat().st_size / 1e6) for name, path in paths.items()}
    return {"settings": {"size": args.size, "file_mb": megabytes}, "targets": targets(rows), "rows": rows}
