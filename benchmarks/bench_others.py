"""supervision, sahi and ultralytics where they do a job of ours: IoU and NMS of oriented boxes, splitting.

    python benchmarks/bench_others.py [--repeats 5] [--images 40] [--processes 2] [--data FOLDER]

None of them is installed with rotated-atss. One that is absent is named with the reason and the others are measured;
without any nothing is recorded. Where a package computes another quantity the row says so, and what is another job
altogether is listed in the record with the reason (others.py). FOLDER is as in bench_split.py. Splitting runs in this
process, so that starting Python and importing count for nobody, and ours is told to write the files that the peer does.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import harness, inputs, others
from benchmarks.bench_iou import errors
from benchmarks.bench_nms import mistakes
from benchmarks.bench_split import find_data, repeated
from benchmarks.exact import exact_iou
from benchmarks.peers import optional
from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.folders import list_images
from rotated_atss.dota.labels import read_labels
from rotated_atss.dota.tiles import parse_tile_name
from rotated_atss.ops import rotated_iou, rotated_nms
from rotated_atss.tiling.split import split_dota
from rotated_atss.tiling.split_settings import SplitSettings

IOU_THRESHOLD = 0.1
THRESHOLDS = [round(0.05 * step, 2) for step in range(1, 20)]  # to find the one that suits another quantity best
OBJECTS = 500
PAIRED = 300  # of each kind of pairs: all are compared with all
SAME_CORNER_PX = 0.05  # ultralytics writes six digits of a share of the tile

IOUS = {"supervision": others.supervision_iou, "ultralytics": others.ultralytics_iou}
NMS = {"supervision": others.supervision_nms, "ultralytics": others.ultralytics_nms}
QUANTITIES = {"supervision": "IoU", "ultralytics": "probIoU, another quantity"}

BOXES: dict[str, Callable[[], tuple[Tensor, Tensor]]] = {
    "a 1024 tile": lambda: (inputs.scene(OBJECTS, 0), inputs.scene(OBJECTS, 1)),
    "a heap, all overlap": lambda: (inputs.crowd(PAIRED, 0), inputs.crowd(PAIRED, 1)),
    **{
        title: lambda kind=kind: tuple(boxes.float() for boxes in inputs.pairs(kind, PAIRED))
        for kind, title in inputs.PAIR_KINDS.items()
    },
}
SCENES = {
    "tile, 15 classes": lambda: inputs.detections(400, 5, 15, 1024),
    "harbour, 1 class": lambda: inputs.harbour(800, 5),  # smaller than bench_nms's: the peers hold all pairs
}


def iou_row(package: str, title: str, repeats: int) -> dict[str, Any]:
    """Time of all pairs, and errors against float64; the pair on which the peer is worst is judged exactly too."""
    first, second = BOXES[title]()
    run = IOUS[package](first, second)
    row: dict[str, Any] = {"package": package, "quantity": QUANTITIES[package], "title": title}
    row |= {"objects": [len(first), len(second)], "pairs": len(first) * len(second)}
    row |= harness.time_pair(lambda: rotated_iou(first, second), run, repeats)
    right, theirs = rotated_iou(first.double(), second.double()), run().double()
    i, j = divmod(int((theirs - right).abs().argmax()), len(second))
    row["ours_error"] = errors(rotated_iou(first, second).double(), right)
    row["peer_error"] = errors(theirs, right)
    exact = exact_iou(first[i].tolist(), second[j].tolist())
    row["worst_pair"] = {"exact": exact, "float64": float(right[i, j]), "peer": float(theirs[i, j])}
    return row


def nms_row(package: str, name: str, repeats: int) -> dict[str, Any]:
    """Time and mistakes at one threshold. Another quantity is given its best threshold beside it, for fairness."""
    scene = SCENES[name]()
    run = NMS[package](*scene, IOU_THRESHOLD)
    row: dict[str, Any] = {"package": package, "quantity": QUANTITIES[package], "scene": name, "boxes": len(scene[0])}
    row |= harness.time_pair(lambda: rotated_nms(*scene, IOU_THRESHOLD), run, repeats)
    mine, yours = rotated_nms(*scene, IOU_THRESHOLD), run()
    row |= {"kept": len(mine), "peer_kept": len(yours), "same": bool(torch.equal(mine.sort()[0], yours.sort()[0]))}
    row |= {"ours_mistakes": mistakes(scene, mine), "peer_mistakes": mistakes(scene, yours)}
    if package == "ultralytics":
        row["rule_mistakes"] = mistakes(scene, others.fast_nms_of_areas(*scene, IOU_THRESHOLD))
        row["best"] = best_threshold(NMS[package], scene)
    return row


def best_threshold(nms: Callable[..., others.Job], scene: tuple[Tensor, Tensor, Tensor]) -> dict[str, Any]:
    """The threshold of the peer's quantity at which its result has the fewest mistakes."""
    found = {threshold: mistakes(scene, nms(*scene, threshold)()) for threshold in THRESHOLDS}
    best = min(found, key=lambda threshold: sum(found[threshold].values()))
    return {"threshold": best, "mistakes": found[best]}


def ultralytics_row(data: Path, folder: Path, repeats: int) -> dict[str, Any]:
    """JPEG, tiles cut short at the border, labels too, one process each."""
    mine, theirs = folder / "ours_jpg", folder / "ultralytics"
    source = others.yolo_layout(data, folder / "yolo", CLASSES["v2.0"])

    def ours() -> None:
        settings = SplitSettings(padding=None, image_format="jpg")
        split_dota(data / "images", data / "labelTxt", mine, settings, workers=1, overwrite=True, progress=False)

    timed = harness.time_pair(ours, others.ultralytics_split(source, theirs), repeats)
    images = theirs / "images/train"
    told = compare(mine, images, lambda tile, _: images / tile.name)
    tiles = [tile.stem for tile in list_images(mine / "images")]
    same = sum(same_objects(mine / "labelTxt" / f"{it}.txt", theirs / "labels/train" / f"{it}.txt") for it in tiles)
    row = {"package": "ultralytics", "what": "JPEG and labels", "workers": 1, **timed, **told}
    return row | {"same_objects": same}


def sahi_row(data: Path, folder: Path, repeats: int, workers: int) -> dict[str, Any]:
    """PNG, images alone: processes of ours beside as many threads of sahi's."""
    mine, theirs = folder / "ours_png", folder / "sahi"

    def ours() -> None:
        settings = SplitSettings(image_ratio=0.0, padding=None)
        split_dota(data / "images", None, mine, settings, workers=workers, overwrite=True, progress=False)

    timed = harness.time_pair(ours, others.sahi_split(data / "images", theirs, workers), repeats)

    def named(tile: Path, shape: tuple[int, ...]) -> Path:
        at = parse_tile_name(tile.stem)
        return theirs / f"{at.image_id}_{at.x}_{at.y}_{at.x + shape[1]}_{at.y + shape[0]}.png"

    told = compare(mine, theirs, named)
    return {"package": "sahi", "what": "PNG, images alone", "workers": workers, **timed, **told}


def compare(mine: Path, theirs: Path, named: Callable[[Path, tuple[int, ...]], Path]) -> dict[str, Any]:
    """Tiles of both, how many of ours have a twin of the same place and pixels, and the megabytes of both."""
    tiles, other = list_images(mine / "images"), list_images(theirs)
    same = 0
    for tile in tiles:
        pixels = cv2.imread(str(tile))
        twin = named(tile, pixels.shape)
        same += twin.exists() and np.array_equal(pixels, cv2.imread(str(twin)))
    sizes = [round(sum(path.stat().st_size for path in paths) / 1e6, 1) for paths in (tiles, other)]
    return {
        "tiles": len(tiles),
        "peer_tiles": len(other),
        "same_pixels": same,
        "ours_mb": sizes[0],
        "peer_mb": sizes[1],
    }


def same_objects(mine: Path, theirs: Path) -> bool:
    """Whether a tile's labels name the same objects; ultralytics writes no file where there are none."""
    height, width = cv2.imread(str(mine.parents[1] / "images" / f"{mine.stem}.jpg")).shape[:2]
    labels = read_labels(mine)
    rows = [line.split() for line in theirs.read_text(encoding="utf-8").splitlines()] if theirs.exists() else []
    if tuple(CLASSES["v2.0"][int(row[0])] for row in rows) != labels.names:
        return False
    corners = np.array([row[1:] for row in rows], dtype=np.float64).reshape(-1, 4, 2) * (width, height)
    return np.allclose(corners.reshape(-1, 8), labels.polygons, rtol=0, atol=SAME_CORNER_PX)


def split_rows(here: dict[str, ModuleType], args: argparse.Namespace) -> dict[str, Any]:
    if not {"sahi", "ultralytics"} & here.keys():
        return {"split": []}
    folder = Path(tempfile.mkdtemp(prefix="bench_others_"))
    try:
        data, name = find_data(args.data, folder)
        many = repeated(data.resolve(), args.images, folder / "many")
        rows = [ultralytics_row(many, folder, args.split_repeats)] if "ultralytics" in here else []
        if "sahi" in here:
            rows.append(sahi_row(many, folder, args.split_repeats, args.processes))
    finally:
        shutil.rmtree(folder)
    return {"data": name, "images": args.images, "split": rows}


def measure(here: dict[str, ModuleType], args: argparse.Namespace) -> dict[str, Any]:
    """The results of the packages that are here."""
    results: dict[str, Any] = {
        "iou": [iou_row(name, title, args.repeats) for name in IOUS if name in here for title in BOXES],
        "nms": [nms_row(name, scene, args.repeats) for name in NMS if name in here for scene in SCENES],
        **split_rows(here, args),
    }
    jobs = [dict(zip(("package", "job", "reason"), each)) for each in others.OTHER_JOBS]
    results["other_jobs"] = jobs
    if "sahi" in here:
        results["two_ships"] = others.sahi_keeps_of_two_ships()
    return results


def show(results: dict[str, Any]) -> None:
    times = [{**row, "ours_s": row["ours"]["median"], "peer_s": row["peer"]["median"]}
             for part in ("iou", "nms", "split") for row in results[part]]  # fmt: skip
    for row in times:
        row["case"] = row.get("title") or row.get("scene") or row["what"]
        row["wrong"] = sum(row["peer_mistakes"].values()) if "scene" in row else row.get("peer_error", {}).get("worst")
    print(harness.table(times, ["package", "case", "ours_s", "peer_s", "ratio", "wrong", "tiles", "same_pixels"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--split-repeats", type=int, default=3)
    parser.add_argument("--images", type=int, default=40, help="the sample is repeated to so many (default: 40)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--data", type=Path)
    args = parser.parse_args()
    found = {name: optional(name, needs) for name, needs in others.NEEDS.items()}
    here = {name: module for name, (module, _) in found.items() if module is not None}
    missing = {name: why for name, (_, why) in found.items() if why}
    for why in missing.values():
        print(why)
    if not here:
        print("none of them is installed: nothing measured, no record written")
        return
    results = measure(here, args)
    show(results)
    print("\n".join(f"{each['package']}, {each['job']}: {each['reason']}" for each in results["other_jobs"]))
    payload = {"environment": harness.environment(), "missing": missing, "iou_threshold": IOU_THRESHOLD}
    print(harness.save("others", {**payload, "results": results}))


if __name__ == "__main__":
    main()
