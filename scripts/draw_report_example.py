"""Take docs/images/report_page.png and report_viewer.jpg: a report of synthetic scenes in headless Chromium.

The detections are the labels, moved, turned, dropped and given another class at random, so the pictures show the report
and not the accuracy of a model.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks")]

from browser import start_browser  # noqa: E402

from rotated_atss.cli import main as run_command  # noqa: E402
from rotated_atss.dota.detections import Detections, write_task1_folder  # noqa: E402
from rotated_atss.dota.labels import Labels, read_labels  # noqa: E402
from rotated_atss.ops.boxes import obb_to_poly, poly_to_obb  # noqa: E402
from rotated_atss.synthetic import generate_scenes  # noqa: E402

SEED, SCENES = 1, 8
OTHER_CLASS = {"small-vehicle": "large-vehicle", "large-vehicle": "small-vehicle", "ship": "harbor"}
VIEW = "S0000"


def write_detections(labels: dict[str, Labels], folder: Path) -> None:
    """Write changed labels as Task1 files."""
    rng = np.random.default_rng(SEED)
    rows: dict[str, list[tuple[str, float, np.ndarray]]] = defaultdict(list)
    for image, objects in labels.items():
        boxes = poly_to_obb(torch.from_numpy(objects.polygons.copy())).numpy()
        for name, box in zip(objects.names, boxes):
            fate, quality = rng.random(), rng.beta(6, 2)
            if fate < 0.08:
                continue  # missed
            spread = (1 - quality) * min(box[2], box[3])
            changed = box + rng.normal(0, [0.35 * spread, 0.35 * spread, 0.1 * spread, 0.1 * spread, 0.12])
            changed[2:4] = np.maximum(changed[2:4], 4)
            rows[OTHER_CLASS.get(name, name) if fate > 0.95 else name].append((image, quality, changed))
    detections = {}
    for name, entries in rows.items():
        images, scores, boxes = zip(*entries)
        polygons = obb_to_poly(torch.from_numpy(np.stack(boxes))).numpy().round(2)
        detections[name] = Detections.from_ids(list(images), np.array(scores).round(4), polygons)
    write_task1_folder(folder, detections)


def save(driver: Any, name: str) -> None:
    """Write a picture of the page."""
    target = ROOT / "docs" / "images" / name
    pixels = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    if target.suffix == ".png":
        pixels = pixels.quantize(256, dither=Image.Dither.NONE)
    pixels.save(target, optimize=True, quality=85)
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Write both pictures."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images = generate_scenes(folder / "scenes", SCENES, seed=SEED, progress=False)
        labels = folder / "scenes" / "labelTxt"
        write_detections({image: read_labels(labels / f"{image}.txt") for image in images}, folder / "detections")
        options = ["--detections", str(folder / "detections"), "--labels", str(labels), "--quiet"]
        pictures = ["--images", str(folder / "scenes" / "images")]
        if code := run_command(["evaluate", *options, *pictures, "--report", str(folder / "report")]):
            sys.exit(code)
        driver = start_browser(folder / "profile", 1280, 860)
        try:
            driver.get((folder / "report" / "index.html").as_uri())
            save(driver, "report_page.png")
            driver.get((folder / "report" / "viewer" / f"{VIEW}.html").as_uri())
            driver.implicitly_wait(5)
            driver.execute_async_script("setTimeout(arguments[0], 1500)")
            save(driver, "report_viewer.jpg")
        finally:
            driver.quit()


if __name__ == "__main__":
    main()
