"""Seeded DOTA text files: tile detections to merge, and merged detections with labels to evaluate.

The objects are synthetic with realistic statistics: images of 800 to 4,000 px, DOTA's mix of classes and object sizes,
tiles at 1024/200. Every object is detected on one to four tiles, sometimes twice on one, with some jitter.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.detections import Detections, task1_path, write_detections
from rotated_atss.ops.boxes import obb_to_poly

TILE, STEP = 1024, 824
SIDES_PX = (800, 4000)
DETECTIONS_PER_OBJECT = 2.03  # on tiles
# class -> (percentage of objects, typical length in pixels)
CLASS_MIX = dict(zip(CLASSES["v1.0"], [
    (6, 60), (1, 80), (4, 40), (1, 250), (30, 18), (17, 45), (22, 40), (3, 80), (1, 100), (6, 25), (1, 250), (1, 80),
    (4, 90), (2, 35), (1, 40),
]))  # fmt: skip
ONE_CLASS = {"ship": CLASS_MIX["ship"]}


def write_tiles(folder: Path, count: int, images: int, mix: Mapping[str, tuple[int, int]] = CLASS_MIX) -> int:
    """Write about ``count`` tile detections with DOTA_devkit's tile names, and return the number written."""
    rng = np.random.default_rng(0)
    sides = rng.integers(*SIDES_PX, images)
    written = 0
    for name, (objects, length) in _shares(mix, count / DETECTIONS_PER_OBJECT).items():
        detections = _on_tiles(rng, sides, objects, length)
        write_detections(task1_path(folder, name), detections)
        written += len(detections)
    return written


def write_merged(folder: Path, count: int, objects: int, images: int) -> int:
    """Write about ``count`` detections of full images and labels of about ``objects`` objects.

    A tenth of the objects is difficult. 95 % of them are detected, with varying accuracy; all other detections are at
    random positions with lower scores.

    Returns:
        The number of detections written to ``detections/``.
    """
    rng = np.random.default_rng(0)
    sides = rng.integers(*SIDES_PX, images)
    lines: list[list[str]] = [[] for _ in range(images)]
    written = 0
    counts = _shares(CLASS_MIX, count)
    for name, (number, length) in _shares(CLASS_MIX, objects).items():
        image, boxes = _scatter(rng, sides, number, length)
        difficult = (rng.uniform(size=number) < 0.1).astype(int)
        for at, row, flag in zip(image.tolist(), _corners(boxes).tolist(), difficult.tolist()):
            lines[at].append(f"{' '.join(map(str, row))} {name} {flag}\n")
        detections = _on_images(rng, sides, image, boxes, max(0, counts[name][0] - number), length)
        write_detections(task1_path(folder / "detections", name), detections)
        written += len(detections)
    (folder / "labelTxt").mkdir()
    for number, some in enumerate(lines):
        (folder / "labelTxt" / f"P{number:04d}.txt").write_text("imagesource:GoogleEarth\ngsd:0.5\n" + "".join(some))
    return written


def _shares(mix: Mapping[str, tuple[int, int]], count: float) -> dict[str, tuple[int, int]]:
    """Return the number of objects and their typical length by class."""
    total = sum(weight for weight, _ in mix.values())
    return {name: (round(count * weight / total), length) for name, (weight, length) in mix.items()}


def _scatter(rng: np.random.Generator, sides: np.ndarray, objects: int, length: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw the image of every object and its (N, 5) box there."""
    image = rng.integers(0, len(sides), objects)
    center = rng.uniform(0, 1, (objects, 2)) * sides[image, None]
    size = length * np.exp(rng.normal(0, 0.3, (objects, 2)))
    return image, np.hstack([center, size, rng.uniform(0, np.pi, (objects, 1))])


def _on_tiles(rng: np.random.Generator, sides: np.ndarray, objects: int, length: float) -> Detections:
    image, boxes = _scatter(rng, sides, objects, length)
    index, corner = _tiles_of(rng, boxes[:, :2], sides[image])
    order = np.lexsort((corner[:, 1], corner[:, 0], image[index]))  # tile by tile, as a test writes them
    index, corner = index[order], corner[order]
    jitter = rng.normal(0, 0.03, (len(index), 2))
    boxes = boxes[index]
    boxes[:, 2:4] *= np.exp(jitter)
    boxes[:, :2] += jitter * boxes[:, 2:4] - corner
    boxes[:, 4] += jitter[:, 0]
    scores = np.round(rng.uniform(0.05, 1, len(index)), 6)
    names = [f"P{number:04d}__1.0__{x}___{y}" for number, (x, y) in zip(image[index].tolist(), corner.tolist())]
    return Detections.from_ids(names, scores, _corners(boxes))


def _tiles_of(rng: np.random.Generator, center: np.ndarray, side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (M,) object and (M, 2) upper-left corner of every tile that contains an object's center, some twice."""
    last = np.maximum(side - TILE, 0)[:, None]
    nearest = center // STEP
    indices, corners = [], []
    for back in ((0, 0), (0, 1), (1, 0), (1, 1)):
        start = np.minimum((nearest - back) * STEP, last)
        inside = ((start >= 0) & (center < start + TILE)).all(axis=1)
        for part in (inside, inside & (rng.uniform(size=len(center)) < 0.45)):
            indices.append(np.flatnonzero(part))
            corners.append(start[part].astype(np.int64))
    return np.concatenate(indices), np.concatenate(corners)


def _on_images(
    rng: np.random.Generator, sides: np.ndarray, image: np.ndarray, boxes: np.ndarray, others: int, length: float
) -> Detections:
    """Draw detections of the objects and ``others`` false ones, image by image in order of falling scores."""
    detected = rng.uniform(size=len(image)) < 0.95
    found = boxes[detected]
    jitter = rng.normal(0, 1, (len(found), 2)) * rng.uniform(0, 0.12, (len(found), 1))
    found += np.hstack([jitter * found[:, 2:4], found[:, 2:4] * np.expm1(jitter[:, ::-1]), jitter[:, :1]])
    elsewhere, false_boxes = _scatter(rng, sides, others, length)
    images = np.concatenate([image[detected], elsewhere])
    scores = np.concatenate([rng.beta(4, 2, len(found)), rng.beta(1, 5, others)])
    order = np.lexsort((-scores, images))
    names = [f"P{number:04d}" for number in images[order].tolist()]
    return Detections.from_ids(names, np.round(scores[order], 9), _corners(np.vstack([found, false_boxes])[order]))


def _corners(boxes: np.ndarray) -> np.ndarray:
    """Return the polygons of (N, 5) boxes with one decimal, as in DOTA's files."""
    return obb_to_poly(torch.from_numpy(boxes)).numpy().round(1)
