"""Viewer of the report: frames per second while panning over many boxes, and tile pyramids of large images.

Frames are counted in headless Chromium, which renders on the CPU here: the view moves in every animation frame, and a
frame counts once the boxes have been drawn. Each pyramid is written by a fresh process, from a file of
``reliability/make_gigapixel.py``; FOLDER holds it already, or receives it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks import harness
from benchmarks.browser import missing_browser, start_browser
from benchmarks.memory import family_cpu_seconds
from benchmarks.records import Record, Row, target
from benchmarks.reliability.make_gigapixel import make_gigapixel
from rotated_atss.ops.boxes import obb_to_poly
from rotated_atss.report.viewer import write_viewer
from rotated_atss.report.viewer_data import ViewerDetection, ViewerImage, ViewerObject

OPTIONS = dict(seconds=5.0, boxes=[1000, 5000, 20_000], size=4000, sizes=[10_000, 30_000], formats=["png"], data="")

CLASSES = ["plane", "ship", "small-vehicle", "large-vehicle"]
ERRORS = ["classification", "localization", "angle", "duplicate", "background"]
VIEWS = {"whole image": 1.0, "a quarter of the side": 4.0}  # zoom factor over the whole image

PAN = """
const [zoom, seconds, done] = [arguments[0], arguments[1] * 1000, arguments[2]];
const viewer = window.RotatedAtss.viewer, viewport = viewer.viewport;
viewport.goHome(true);
const home = viewport.getBounds();
viewport.zoomTo(viewport.getZoom() * zoom, null, true);
let frames = 0, drawn = 0, start = 0, slowest = 0, last = 0;
viewer.addHandler("update-viewport", () => (drawn += 1));
function frame(now) {
  if (frames === 20) [start, drawn, last] = [now, 0, now];  // after a warm-up
  if (frames > 20) [slowest, last] = [Math.max(slowest, now - last), now];
  frames += 1;
  const turn = frames / 40;
  const x = home.x + home.width * (0.5 + 0.05 * Math.cos(turn));
  const y = home.y + home.height * (0.5 + 0.05 * Math.sin(turn));
  viewport.panTo(new OpenSeadragon.Point(x, y), true);
  if (!start || now - start < seconds) return requestAnimationFrame(frame);
  const inView = parseInt(document.getElementById("status").textContent);
  done({frames, frames_per_second: drawn * 1000 / (now - start), slowest_frame_ms: slowest, in_view: inView});
}
requestAnimationFrame(frame);
"""

PYRAMID = """
import json, sys, time
from pathlib import Path
from benchmarks import memory
from rotated_atss.io.image_reader import open_image
from rotated_atss.report.pyramid import write_pyramid
started = time.perf_counter()
with open_image(sys.argv[1]) as reader:
    pyramid = write_pyramid(reader, Path(sys.argv[2]))
print(json.dumps({
    "seconds": round(time.perf_counter() - started, 1), "peak_mb": memory.process_peak_megabytes(),
    "levels": pyramid.levels,
}))
"""


def dense_image(path: Path, boxes: int, size: int, seed: int = 0) -> ViewerImage:
    """Write an image of noise and draw boxes for it: a third objects, two thirds detections."""
    rng = np.random.default_rng(seed)
    cv2.imwrite(str(path), cv2.resize(rng.integers(60, 180, (size // 8, size // 8, 3), np.uint8), (size, size)))
    centers = rng.uniform(0, size, (boxes, 2))
    sides, angles = rng.uniform((16, 8), (48, 20), (boxes, 2)), rng.uniform(0, np.pi, (boxes, 1))
    polygons = obb_to_poly(torch.from_numpy(np.hstack([centers, sides, angles]))).tolist()
    names = rng.choice(CLASSES, boxes).tolist()
    states, scores = rng.random(boxes), rng.random(boxes).round(3).tolist()
    objects = [
        ViewerObject(polygons[index], names[index], "missed" if states[index] < 0.2 else "matched")
        for index in range(boxes // 3)
    ]
    detections = []
    for index in range(boxes // 3, boxes):
        result = (0.5, "fp", ERRORS[index % len(ERRORS)]) if states[index] < 0.3 else (0.8, "tp")
        detections.append(ViewerDetection(polygons[index], names[index], scores[index], *result))
    return ViewerImage(path.stem, path, objects, detections)


def pan_rows(driver: Any, page: Path, boxes: int, seconds: float) -> list[Row]:
    """Measure the frames per second of one page at several zooms."""
    driver.get(page.as_uri())
    driver.set_script_timeout(60 + seconds)
    rows = []
    for view, zoom in VIEWS.items():
        before = family_cpu_seconds(driver.service.process.pid)
        measured = driver.execute_async_script(PAN, zoom, seconds)
        frames = measured.pop("frames")
        if before is not None:
            measured["cpu_ms_per_frame"] = 1000 * (family_cpu_seconds(driver.service.process.pid) - before) / frames
        rounded = {name: round(value, 1) for name, value in measured.items()}
        rows.append({"task": "pan", "boxes": boxes, "view": view, **rounded})
        print(rows[-1], flush=True)
    return rows


def measure_panning(args: argparse.Namespace) -> tuple[list[Row], str]:
    """Measure all numbers of boxes; return the rows and the browser's version."""
    rows, folder = [], args.folder
    images = [dense_image(folder / f"boxes_{boxes}.png", boxes, args.size) for boxes in args.boxes]
    pages = write_viewer(images, folder / "report", classes=CLASSES)
    driver = start_browser(folder / "profile")
    try:
        for boxes, page in zip(args.boxes, pages.values()):
            rows += pan_rows(driver, folder / "report" / page, boxes, args.seconds)
        return rows, f"{driver.capabilities['browserName']} {driver.capabilities['browserVersion']}"
    finally:
        driver.quit()


def measure_pyramid(image: Path, size: int, folder: Path) -> Row:
    """Write one pyramid in a fresh process."""
    measured = harness.json_of_code(PYRAMID, image, folder / "pyramid")
    tiles = [path.stat().st_size for path in (folder / "pyramid").rglob("*.jpg")]
    row = {"task": "pyramid", "size": size, "file": image.parent.parent.name, **measured}
    row |= {"file_mb": round(image.stat().st_size / 1e6), "tiles": len(tiles), "tiles_mb": round(sum(tiles) / 1e6)}
    print(row, flush=True)
    return row


def targets(rows: Sequence[Row]) -> list[Row]:
    """Compare the slowest view with 5,000 boxes, and the largest pyramid, with the targets."""
    rates = [row["frames_per_second"] for row in rows if row["task"] == "pan" and row["boxes"] == 5000]
    peaks = [row["peak_mb"] for row in rows if row["task"] == "pyramid"]
    return [
        target("viewer: frames per second, 5,000 boxes", min(rates, default=None), at_least=30),
        target("viewer: peak MB of writing a tile pyramid", max(peaks, default=None), at_most=1000),
    ]


def measure(args: argparse.Namespace) -> Record:
    rows, browser, missing = list[Row](), "", missing_browser()
    if missing:
        print(f"Panning is not measured: {missing}")
    else:
        rows, browser = measure_panning(args)
    data = Path(args.data).resolve() if args.data else args.folder / "data"
    for size in args.sizes:
        for form, image in make_gigapixel(data, size, args.formats).items():
            rows.append(measure_pyramid(image, size, args.folder / f"{size}_{form}"))
    return {"settings": {"size": args.size, "browser": browser}, "targets": targets(rows), "rows": rows}
