"""Choice of a few images of a validation set, with their ground truth, for the pictures in a log."""

from __future__ import annotations

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

_MAX_TRIED = 50  # images with or without objects that are read per part of the dataset


@dataclass(frozen=True)
class TruthOfImage:
    """Ground truth of an image.

    Attributes:
        path: Path of the image.
        polygons: (G, 8) corners in pixels.
        names: Class name of each object.
        instances: ``bbox`` and ``ignore_flag`` of each object, as in the records of a dataset.
    """

    path: str
    polygons: NDArray[np.float64]
    names: list[str]
    instances: list[dict[str, Any]]


def choose_images(dataset: Any, number: int, world_size: int = 1) -> dict[str, TruthOfImage]:
    """Choose images that are spread over a dataset, preferably images with objects.

    The dataset is divided into equal parts, and the first image with objects of each part is taken. If the first
    images of a part have no objects, its first image is taken.

    Args:
        dataset: A dataset of this package.
        number: Number of images.
        world_size: Number of processes. Only images that the first process validates are chosen.

    Returns:
        Ground truth by path of the image.
    """
    indices = range(0, len(dataset), world_size)
    parts = min(number, len(indices))
    starts = [len(indices) * part // parts for part in range(parts)]
    chosen = {}
    for start, end in zip(starts, [*starts[1:], len(indices)]):
        truths = [read_truth(dataset, indices[place]) for place in range(start, min(end, start + _MAX_TRIED))]
        truth = next((truth for truth in truths if truth.names), truths[0])
        chosen[truth.path] = truth
    return chosen


def read_truth(dataset: Any, index: int) -> TruthOfImage:
    """Return the ground truth of an image from the dataset or, if it has none there, from the label file of the tile.

    Args:
        dataset: A dataset of this package. A dataset of tiles in test mode reads no labels.
        index: Index of the image.
    """
    info, classes = dataset.get_data_info(index), dataset.metainfo["classes"]
    instances = info.get("instances") or []
    if instances:
        boxes = torch.tensor([instance["bbox"] for instance in instances], dtype=torch.float64)
        names = [classes[instance["bbox_label"]] for instance in instances]
        return TruthOfImage(info["img_path"], box_polygons(boxes), names, instances)
    path = Path(info["img_path"])
    label = path.parent.parent / "labelTxt" / f"{path.stem}.txt"
    polygons, names = np.zeros((0, 8)), []
    if label.is_file():
        try:
            labels = read_labels(label)
        except UserError:  # not a DOTA label file; a missing picture is no reason to stop a training
            return TruthOfImage(str(path), polygons, names, [])
        polygons, names = np.asarray(labels.polygons).reshape(-1, 8), list(labels.names)
    rows = poly_to_obb(torch.from_numpy(polygons)).tolist()
    return TruthOfImage(info["img_path"], polygons, names, [{"bbox": row, "ignore_flag": 0} for row in rows])
