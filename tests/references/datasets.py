"""Synthetic datasets as arrays, and folders of images and labels."""

from __future__ import annotations

import cv2
import numpy as np

from rotated_atss.analysis.dataset_objects import DatasetObjects
from rotated_atss.dota.labels import write_labels


def rectangles(boxes):
    """Return the corners (N, 8) of boxes (N, 5) ``cx, cy, w, h, angle``."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 5)
    unit = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    polygons = []
    for cx, cy, w, h, angle in boxes:
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        polygons.append((unit * (w, h) @ turn + (cx, cy)).ravel())
    return np.array(polygons).reshape(-1, 8)


def dataset(boxes, *, classes=None, images=None, image_wh=((1000, 800),), names=("ship", "plane"), difficult=None):
    """Return objects with the given boxes; by default of class 0 in image 0."""
    polygons = rectangles(boxes)
    count = len(polygons)
    return DatasetObjects(
        image_names=tuple(f"P{number}" for number in range(len(image_wh))),
        image_wh=np.array(image_wh, np.int64).reshape(-1, 2),
        ground_resolution=np.full(len(image_wh), np.nan),
        image_index=np.zeros(count, np.int64) if images is None else np.array(images, np.int64),
        class_index=np.zeros(count, np.int64) if classes is None else np.array(classes, np.int64),
        class_names=tuple(names),
        polygons=polygons,
        difficult=np.zeros(count, np.int64) if difficult is None else np.array(difficult, np.int64),
    )


def random_dataset(count=300, seed=0, image_wh=((1500, 900), (700, 1300), (2000, 2000))):
    """Return random objects of two classes in several images."""
    rng = np.random.default_rng(seed)
    images = np.sort(rng.integers(len(image_wh), size=count))
    centers = rng.uniform(0, 1, (count, 2)) * np.array(image_wh)[images]
    sides = np.exp(rng.uniform(np.log(5), np.log(400), (count, 2)))
    angles = rng.uniform(-np.pi, np.pi, (count, 1))
    boxes = np.concatenate((centers, sides, angles), axis=1)
    classes, difficult = rng.integers(2, size=count), rng.integers(3, size=count)
    return dataset(boxes, classes=classes, images=images, image_wh=image_wh, difficult=difficult)


def write_folder(root, objects):
    """Write blank images and DOTA labels of a dataset to ``root/images`` and ``root/labelTxt``, and return ``root``."""
    for name in ("images", "labelTxt"):
        (root / name).mkdir(parents=True)
    for row, (name, (width, height)) in enumerate(zip(objects.image_names, objects.image_wh.tolist())):
        cv2.imwrite(str(root / "images" / f"{name}.png"), np.zeros((height, width, 3), np.uint8))
        members = objects.image_index == row
        names = [objects.class_names[number] for number in objects.class_index[members]]
        difficult = objects.difficult[members].tolist()
        write_labels(root / "labelTxt" / f"{name}.txt", objects.polygons[members], names, difficult)
    return root
