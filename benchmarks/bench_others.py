"""IoU, NMS and splitting of oriented boxes, compared with supervision, sahi and ultralytics where they are installed.

None of them is installed with rotated-atss. A missing one is reported with the reason; without any, no record is
written. A row states where a package computes another quantity. FOLDER is as in bench_split.py. Splitting runs in this
process, so that start-up and imports are not timed, and rotated-atss writes the same kind of files as the baseline.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
from torch import Tensor

from benchmarks import dota_data, inputs, others
from benchmarks.baselines import optional
from benchmarks.bench_iou import errors
from benchmarks.bench_nms import IOU_THRESHOLD, Scene, compare, mistakes
from benchmarks.records import Record, Row
from benchmarks.timing import time_pair
from rotated_atss.cli import main as rotated_atss
from rotated_atss.dota.folders import list_images
from rotated_atss.dota.tiles import parse_tile_name
from rotated_atss.ops import rotated_iou, rotated_nms

OPTIONS = dict(repeats=5, split_repeats=3, images=40, processes=2, data="")

THRESHOLDS = [round(0.05 * step, 2) for step in range(1, 20)]  # candidates for the best threshold of another quantity
NUM_GT = 500
NUM_BOXES = 300  # of each kind; all pairs are compared

IOUS = {"supervision": others.supervision_iou, "ultralytics": others.ultralytics_iou}
NMS = {"supervision": others.supervision_nms, "ultralytics": others.ultralytics_nms}
QUANTITIES = {"supervision": "IoU", "ultralytics": "probIoU (not the IoU)"}

BOXES: dict[str, Callable[[], tuple[Tensor, ...]]] = {
    "tile of 1024 px": lambda: (inputs.scene(NUM_GT, 0), inputs.scene(NUM_GT, 1)),
    "crowd, all boxes overlap": lambda: (inputs.crowd(NUM_BOXES, 0), inputs.crowd(NUM_BOXES, 1)),
    **{
        title: lambda kind=kind: tuple(boxes.float() for boxes in inputs.pairs(kind, NUM_BOXES))
        for kind, title in inputs.PAIR_KINDS.items()
    },
}
SCENES: dict[str, Callable[[], Scene]] = {
    "tile, 15 classes": lambda: inputs.detections(400, 5, 15, 1024),
    "harbor, 1 class": lambda: inputs.harbor(800, 5),  # smaller than in bench_nms.py: the baselines hold all pairs
}


def iou_row(library: str, title: str, repeats: int) -> Row:
    """Time all pairs and compare with float64."""
    first, second = BOXES[title]()
    run = IOUS[library](first, second)
    row: Row = {"task": "IoU", "library": library, "quantity": QUANTITIES[library], "title": title}
    row |= {"num_gt": [len(first), len(second)], "pairs": len(first) * len(second)}
    row |= time_pair(lambda: rotated_iou(first, second), run, repeats)
    reference = rotated_iou(first.double(), second.double())
    row["rotated_atss_error"] = errors(rotated_iou(first, second), reference)
    row["baseline_error"] = errors(run(), reference)
    return row


def nms_row(library: str, name: str, repeats: int) -> Row:
    """Time NMS and count mistakes; another quantity also at its best threshold."""
    scene = SCENES[name]()
    row: Row = {"task": "NMS", "library": library, "quantity": QUANTITIES[library], "scene": name}
    row |= compare(scene, partial(rotated_nms, *scene, IOU_THRESHOLD), NMS[library](*scene, IOU_THRESHOLD), repeats)
    return row | ({} if QUANTITIES[library] == "IoU" else {"best": best_threshold(NMS[library], scene)})


def best_threshold(nms: Callable[..., others.Call], scene: Scene) -> Row:
    """Find the threshold at which the baseline's result has the fewest mistakes."""
    counts = {threshold: mistakes(scene, nms(*scene, threshold)()) for threshold in THRESHOLDS}
    best = min(counts, key=lambda threshold: sum(counts[threshold].values()))
    return {"threshold": best, "mistakes": counts[best]}


def split_own(data: Path, out: Path, workers: int, *options: str) -> Callable[[], None]:
    """Return ``rotated-atss split`` in this process, with tiles cropped at the image border."""
    words = ["split", "--images", str(data / "images"), "--out", str(out), "--no-padding", "--overwrite", "--quiet"]
    return lambda: rotated_atss([*words, "--workers", str(workers), *options])


def ultralytics_row(data: Path, folder: Path, repeats: int) -> Row:
    """Split into JPEG tiles cropped at the border, with labels, in one process."""
    out, other = folder / "rotated_atss_jpg", folder / "ultralytics"
    own = split_own(data, out, 1, "--labels", str(data / "labelTxt"), "--format", "jpg")
    timed = time_pair(own, others.ultralytics_split(others.yolo_layout(data, folder / "yolo"), other), repeats)
    images = other / "images/train"
    counts = compare_tiles(out, images, lambda tile: images / tile.name)
    return {"task": "splitting", "library": "ultralytics", "files": "JPEG and labels", "workers": 1, **timed, **counts}


def sahi_row(data: Path, folder: Path, repeats: int, workers: int) -> Row:
    """Split into PNG tiles without labels; sahi uses as many threads as rotated-atss processes."""
    out, other = folder / "rotated_atss_png", folder / "sahi"
    own = split_own(data, out, workers, "--image-ratio", "0")
    timed = time_pair(own, others.sahi_split(data / "images", other, workers), repeats)

    def path_of(tile: Path) -> Path:
        at, (height, width) = parse_tile_name(tile.stem), cv2.imread(str(tile)).shape[:2]
        return other / f"{at.image_id}_{at.x}_{at.y}_{at.x + width}_{at.y + height}.png"

    counts = compare_tiles(out, other, path_of)
    kind = {"task": "splitting", "library": "sahi", "files": "PNG, images only", "workers": workers}
    return {**kind, **timed, **counts}


def compare_tiles(out: Path, other: Path, path_of: Callable[[Path], Path]) -> Row:
    """Count the tiles of both and those with equal place and pixels, with the megabytes of both."""
    tiles = list_images(out / "images")
    return {
        "tiles": len(tiles), "baseline_tiles": len(list_images(other)),
        "same_pixels": sum(dota_data.same_pixels(tile, path_of(tile)) for tile in tiles),
        "rotated_atss_mb": dota_data.megabytes(out / "images"), "baseline_mb": dota_data.megabytes(other),
    }  # fmt: skip


def measure(args: argparse.Namespace) -> Record | None:
    missing = {name: reason for name in others.PACKAGES if (reason := optional(name))}
    installed = [name for name in others.PACKAGES if name not in missing]
    print(*missing.values(), sep="\n")
    if not installed:
        print("no optional package is installed; nothing is measured and no record is written")
        return None
    rows = [iou_row(name, title, args.repeats) for name in IOUS if name in installed for title in BOXES]
    rows += [nms_row(name, scene, args.repeats) for name in NMS if name in installed for scene in SCENES]
    settings = {"iou_threshold": IOU_THRESHOLD, "images": args.images}
    folder = args.folder
    data, settings["data"] = dota_data.find_data(args.data, folder)
    many = dota_data.repeat(data, args.images, folder / "many")
    if "ultralytics" in installed:
        rows.append(ultralytics_row(many, folder, args.split_repeats))
    if "sahi" in installed:
        rows.append(sahi_row(many, folder, args.split_repeats, args.processes))
    return {"settings": settings, "rows": rows, "missing": missing}
