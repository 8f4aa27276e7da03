"""Choose a few validation images to draw in a log, and read their ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rotated_atss.dota.labels import read_labels
from rotated_atss.errors import UserError
from rotated_atss.ops.box_polygons import box_polygons
from rotated_atss.ops.boxes import poly_to_obb

_MAX_READ_PER_PART = 50  # after this many images without objects, the first image of the part is chosen


@dataclass(frozen=True)
class ImageGroundTruth:
    """Ground truth of an image.

    Attributes:
        path: Path of the image.
        polygons: (G, 8) corners in pixels.
        names: Class name of each object.
        instances: Per object, a dict with ``bbox`` and ``ignore_flag``, as MMDetection's datasets return it.
    """

    path: str
    polygons: NDArray[np.float64]
    names: list[str]
    instances: list[dict[str, Any]]


def choose_images(dataset: Any, num_images: int, world_size: int = 1) -> dict[str, ImageGroundTruth]:
    """Choose images that are spread over a dataset, preferably images with objects.

    The dataset is divided into ``num_images`` consecutive parts of equal size. In each part, the first image with
    objects is chosen. If none of the first 50 images of a part has objects, the first image of the part is chosen.

    Args:
        dataset: A dataset of this package.
        num_images: Maximum number of images to choose.
        world_size: Number of processes. Only images that the first process validates can be chosen, because the first
            process writes the log.

    Returns:
        Ground truth by path of the image.
    """
    indices = range(0, len(dataset), world_size)  # MMEngine's sampler gives these images to the first process
    num_parts = min(num_images, len(indices))
    starts = [len(indices) * part // num_parts for part in range(num_parts)]
    chosen = {}
    for start, end in zip(starts, [*starts[1:], len(indices)]):
        part_indices = indices[start : min(end, start + _MAX_READ_PER_PART)]
        ground_truth = _first_with_objects(dataset, part_indices)
        chosen[ground_truth.path] = ground_truth
    return chosen


def _first_with_objects(dataset: Any, indices: Sequence[int]) -> ImageGroundTruth:
    """Return the ground truth of the first image that has objects, or of the first image if all have no objects."""
    ground_truths = []
    for index in indices:
        ground_truth = read_ground_truth(dataset, index)
        if ground_truth.names:
            return ground_truth
        ground_truths.append(ground_truth)
    return ground_truths[0]


def read_ground_truth(dataset: Any, index: int) -> ImageGroundTruth:
    """Read the ground truth of an image from the dataset, or from the label file of the tile.

    The label file is read if the dataset has no objects for the image. A dataset of tiles in test mode never has any,
    because it does not read label files.

    Args:
        dataset: A dataset of this package.
        index: Index of the image.
    """
    info, classes = dataset.get_data_info(index), dataset.metainfo["classes"]
    instances = info.get("instances") or []
    if instances:
        boxes = torch.tensor([instance["bbox"] for instance in instances], dtype=torch.float64)
        names = [classes[instance["bbox_label"]] for instance in instances]
        return ImageGroundTruth(info["img_path"], box_polygons(boxes), names, instances)
    path = Path(info["img_path"])
    label_path = path.parent.parent / "labelTxt" / f"{path.stem}.txt"
    polygons, names = np.zeros((0, 8)), []
    if label_path.is_file():
        try:
            labels = read_labels(label_path)
        except UserError:  # not a DOTA label file; the training run should not stop, so the image has no objects here
            return ImageGroundTruth(str(path), polygons, names, [])
        polygons, names = np.asarray(labels.polygons).reshape(-1, 8), list(labels.names)
    obbs = poly_to_obb(torch.from_numpy(polygons)).tolist()
    return ImageGroundTruth(info["img_path"], polygons, names, [{"bbox": obb, "ignore_flag": 0} for obb in obbs])
