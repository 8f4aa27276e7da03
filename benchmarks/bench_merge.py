"""Merging 270,000 tile detections into full images: rotated-atss beside dotadevkit, two processes each, files included.

    python benchmarks/bench_merge.py [--detections 270000] [--repeats 5] [--processes 2]

The scenes are invented, their shape is not: 458 images (as many as DOTA-v1.0's validation set) of 800 to 4,000 px, cut
at 1024/200, DOTA's mix of classes, every object seen by one to four tiles, sometimes twice by one, a little jittered.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.harness import environment, save, table, time_one, time_pair  # noqa: E402
from data_prep.merge import merge_folder  # noqa: E402
from rotated_atss.dota import text  # noqa: E402
from rotated_atss.dota.classes import CLASSES  # noqa: E402

IMAGES, TILE, STEP = 458, 1024, 824
IOU_THRESHOLD = 0.1
# class -> (objects in a hundred, typical length in pixels)
MIX = dict(zip(CLASSES["v1.0"], [(6, 60), (1, 80), (4, 40), (1, 250), (30, 18), (17, 45), (22, 40), (3, 80), (1, 100),
                                 (6, 25), (1, 250), (1, 80), (4, 90), (2, 35), (1, 40)]))  # fmt: skip


def write_tiles(folder: Path, count: int, seed: int = 0) -> int:
    """Write about ``count`` tile detections in DOTA_devkit's naming; the number written."""
    rng = np.random.default_rng(seed)
    sides = rng.integers(800, 4000, IMAGES)
    share = sum(weight for weight, _ in MIX.values())
    written = 0
    for name, (weight, length) in MIX.items():
        detections = _detections(rng, sides, round(count * weight / share / 2.03), length)
        text.write_detections(text.task1_path(folder, name), detections)
        written += len(detections)
    return written


def _detections(rng: np.random.Generator, sides: np.ndarray, objects: int, length: float) -> text.Detections:
    image = rng.integers(0, IMAGES, objects)
    centre = rng.uniform(0, 1, (objects, 2)) * sides[image, None]
    size = length * np.exp(rng.normal(0, 0.3, (objects, 2)))
    angle = rng.uniform(0, np.pi, objects)
    seen, corner = _tiles_that_see(rng, centre, sides[image])
    order = np.lexsort((corner[:, 1], corner[:, 0], image[seen]))  # a test run writes tile by tile
    seen, corner = seen[order], corner[order]
    jitter = rng.normal(0, 0.03, (len(seen), 2))
    size = size[seen] * np.exp(jitter)
    polygons = _corners(centre[seen] + jitter * size - corner, size, angle[seen] + jitter[:, 0])
    scores = np.round(rng.uniform(0.05, 1, len(seen)), 6)
    names = [f"P{number:04d}__1.0__{x}___{y}" for number, (x, y) in zip(image[seen].tolist(), corner.tolist())]
    return text.Detections.from_ids(names, scores, np.round(polygons, 1))


def _tiles_that_see(rng: np.random.Generator, centre: np.ndarray, side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M,) object and (M, 2) upper left corner of every tile that holds an object's centre, some of them twice."""
    last = np.maximum(side - TILE, 0)[:, None]
    nearest = centre // STEP
    seen, corners = [], []
    for back in ((0, 0), (0, 1), (1, 0), (1, 1)):
        start = np.minimum((nearest - back) * STEP, last)
        holds = ((start >= 0) & (centre < start + TILE)).all(axis=1)
        for part in (holds, holds & (rng.uniform(size=len(centre)) < 0.45)):
            seen.append(np.flatnonzero(part))
            corners.append(start[part].astype(np.int64))
    return np.concatenate(seen), np.concatenate(corners)


def _corners(centre: np.ndarray, size: np.ndarray, angle: np.ndarray) -> np.ndarray:
    across = np.stack([np.cos(angle), np.sin(angle)], axis=1) * size[:, :1] / 2
    along = np.stack([-np.sin(angle), np.cos(angle)], axis=1) * size[:, 1:] / 2
    return np.concatenate([centre + across * i + along * j for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))], axis=1)


def compare(ours: Path, theirs: Path) -> dict[str, int]:
    """How many merged rows are the same, and how many of ours have a twin of the same score instead (a tie)."""
    same = tied = other = 0
    for name, path in text.list_task1_files(theirs).items():
        mine, yours = (_rows(file) for file in (text.task1_path(ours, name), path))
        same += len(mine & yours)
        scores = {row[:2] for row in yours - mine}
        for row in mine - yours:
            tied, other = (tied + 1, other) if row[:2] in scores else (tied, other + 1)
    return {"same": same, "tied": tied, "different": other}


def _rows(path: Path) -> set[tuple]:
    found = text.read_detections(path)
    return set(zip(found.image_ids.tolist(), found.scores.tolist(), map(tuple, np.round(found.polygons, 6).tolist())))


def measure(count: int, repeats: int, processes: int, folder: Path) -> dict:
    from dotadevkit.ops.ResultMerge import mergebypoly

    tiles, ours, theirs = (folder / name for name in ("tiles", "ours", "theirs"))
    written = write_tiles(tiles, count)
    pair = time_pair(
        lambda: merge_folder(tiles, ours, IOU_THRESHOLD, workers=processes, progress=False),
        lambda: mergebypoly(tiles, theirs, processes, IOU_THRESHOLD),
        repeats,
    )
    rows = compare(ours, theirs)
    alone = time_one(lambda: merge_folder(tiles, ours, IOU_THRESHOLD, workers=1, progress=False), repeats)
    return {"detections": written, "processes": processes, **pair, "ours_one_process": alone, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detections", type=int, default=270_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench_merge_"))
    try:
        result = measure(args.detections, args.repeats, args.processes, folder)
    finally:
        shutil.rmtree(folder)
    print(table([{
        "job": f"merge {result['detections']} detections", "processes": result["processes"],
        "ours_s": result["ours"]["median"], "dotadevkit_s": result["peer"]["median"], "ratio": result["ratio"],
        "ours_1_process_s": result["ours_one_process"]["median"],
    }]))  # fmt: skip
    print(f"rows after merging: {result['rows']}")
    print(save("merge", {"peer": "dotadevkit", "environment": environment(), "results": [result]}))


if __name__ == "__main__":
    main()
