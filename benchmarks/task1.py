"""Seeded DOTA text: tile detections to be merged, and merged detections with the labels to evaluate them by.

The scenes are invented, their shape is not: images of 800 to 4,000 px, DOTA's mix of classes and object sizes; tiles
are cut at 1024/200, every object is seen by one to four of them, sometimes twice by one, a little jittered.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.detections import Detections, task1_path, write_detections

TILE, STEP = 1024, 824
SIDES_PX = (800, 4000)
SEEN = 2.03  # detections an object on tiles
# class -> (objects in a hundred, typical length in pixels)
MIX = dict(zip(CLASSES["v1.0"], [(6, 60), (1, 80), (4, 40), (1, 250), (30, 18), (17, 45), (22, 40), (3, 80), (1, 100),
                                 (6, 25), (1, 250), (1, 80), (4, 90), (2, 35), (1, 40)]))  # fmt: skip
ONE_CLASS = {"ship": MIX["ship"]}


def write_tiles(folder: Path, count: int, images: int, mix: Mapping[str, tuple[int, int]] = MIX, seed: int = 0) -> int:
    """Write about ``count`` tile detections in DOTA_devkit's naming; the number written."""
    rng = np.random.default_rng(seed)
    sides = rng.integers(*SIDES_PX, images)
    written = 0
    for name, (objects, length) in _shares(mix, count / SEEN).items():
        detections = _on_tiles(rng, sides, objects, length)
        write_detections(task1_path(folder, name), detections)
        written += len(detections)
    return written


def write_merged(folder: Path, count: int, objects: int, images: int, seed: int = 0) -> int:
    """Write ``detections/``, about ``count`` detections, and ``labelTxt/``, about ``objects`` objects, a tenth of them
    difficult; the number of detections.

    95 of a hundred objects are found, some well, some badly; all other detections lie anywhere, with lower scores.
    """
    rng = np.random.default_rng(seed)
    sides = rng.integers(*SIDES_PX, images)
    lines: list[list[str]] = [[] for _ in range(images)]
    written = 0
    wanted = _shares(MIX, count)
    for name, (number, length) in _shares(MIX, objects).items():
        image, boxes = _scatter(rng, sides, number, length)
        _add_labels(rng, lines, image, _corners(*boxes), name)
        found = _on_images(rng, sides, image, boxes, max(0, wanted[name][0] - number), length)
        write_detections(task1_path(folder / "detections", name), found)
        written += len(found)
    (folder / "labelTxt").mkdir()
    for number, some in enumerate(lines):
        (folder / "labelTxt" / f"P{number:04d}.txt").write_text("imagesource:GoogleEarth\ngsd:0.5\n" + "".join(some))
    return written


Boxes = tuple[np.ndarray, np.ndarray, np.ndarray]  # centre (N, 2), size (N, 2), angle (N,)


def _shares(mix: Mapping[str, tuple[int, int]], count: float) -> dict[str, tuple[int, int]]:
    """Class -> (number of its objects, typical length)."""
    total = sum(weight for weight, _ in mix.values())
    return {name: (round(count * weight / total), length) for name, (weight, length) in mix.items()}


def _scatter(rng: np.random.Generator, sides: np.ndarray, objects: int, length: float) -> tuple[np.ndarray, Boxes]:
    """Image of every object, and where it lies there."""
    image = rng.integers(0, len(sides), objects)
    centre = rng.uniform(0, 1, (objects, 2)) * sides[image, None]
    size = length * np.exp(rng.normal(0, 0.3, (objects, 2)))
    return image, (centre, size, rng.uniform(0, np.pi, objects))


def _on_tiles(rng: np.random.Generator, sides: np.ndarray, objects: int, length: float) -> Detections:
    image, (centre, size, angle) = _scatter(rng, sides, objects, length)
    seen, corner = _tiles_that_see(rng, centre, sides[image])
    order = np.lexsort((corner[:, 1], corner[:, 0], image[seen]))  # a test run writes tile by tile
    seen, corner = seen[order], corner[order]
    jitter = rng.normal(0, 0.03, (len(seen), 2))
    size = size[seen] * np.exp(jitter)
    polygons = _corners(centre[seen] + jitter * size - corner, size, angle[seen] + jitter[:, 0])
    scores = np.round(rng.uniform(0.05, 1, len(seen)), 6)
    names = [f"P{number:04d}__1.0__{x}___{y}" for number, (x, y) in zip(image[seen].tolist(), corner.tolist())]
    return Detections.from_ids(names, scores, np.round(polygons, 1))


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


def _on_images(
    rng: np.random.Generator, sides: np.ndarray, image: np.ndarray, boxes: Boxes, others: int, length: float
) -> Detections:
    """Detections of the objects, and ``others`` of nothing, image by image, by falling scores there."""
    found = rng.uniform(size=len(image)) < 0.95
    centre, size, angle = (part[found] for part in boxes)
    jitter = rng.normal(0, 1, (len(centre), 2)) * rng.uniform(0, 0.12, (len(centre), 1))
    of_objects = _corners(centre + jitter * size, size * np.exp(jitter[:, ::-1]), angle + jitter[:, 0])
    elsewhere, false_boxes = _scatter(rng, sides, others, length)
    images = np.concatenate([image[found], elsewhere])
    scores = np.concatenate([rng.beta(4, 2, len(centre)), rng.beta(1, 5, others)])
    order = np.lexsort((-scores, images))
    names = [f"P{number:04d}" for number in images[order].tolist()]
    polygons = np.concatenate([of_objects, _corners(*false_boxes)])
    return Detections.from_ids(names, np.round(scores[order], 9), np.round(polygons[order], 1))


def _add_labels(
    rng: np.random.Generator, lines: list[list[str]], image: np.ndarray, polygons: np.ndarray, name: str
) -> None:
    difficult = (rng.uniform(size=len(image)) < 0.1).astype(int)
    for number, row, flag in zip(image.tolist(), np.round(polygons, 1).tolist(), difficult.tolist()):
        lines[number].append(f"{' '.join(map(str, row))} {name} {flag}\n")


def _corners(centre: np.ndarray, size: np.ndarray, angle: np.ndarray) -> np.ndarray:
    across = np.stack([np.cos(angle), np.sin(angle)], axis=1) * size[:, :1] / 2
    along = np.stack([-np.sin(angle), np.cos(angle)], axis=1) * size[:, 1:] / 2
    return np.concatenate([centre + across * i + along * j for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))], axis=1)
