"""Detections of tiles, as tensors, merged into detections of full images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rotated_atss.dota.detections import Detections
from rotated_atss.dota.tiles import parse_tile_name
from rotated_atss.errors import UserError
from rotated_atss.ops import rotated_nms
from rotated_atss.ops.box_transforms import scale_obb
from rotated_atss.ops.boxes import obb_to_poly

COORDINATE_DECIMALS = 2  # a hundredth of a pixel; more digits would only swell a submission


@dataclass(frozen=True)
class BoxDetections:
    """Detections of one image or tile."""

    name: str  # the tile's or the image's id
    boxes: Tensor  # (K, 5) in pixels of that tile
    scores: Tensor  # (K,)
    labels: Tensor  # (K,) class indices


def merge_boxes(tiles: Iterable[BoxDetections], iou_threshold: float = 0.1) -> list[BoxDetections]:
    """Move the detections of tiles to their full images and suppress a class at a time what several tiles saw.

    A name that is no tile's is taken for a full image's. The order of the tiles does not matter.

    Args:
        tiles: Any number of tiles of any number of images.
        iou_threshold: Boxes of one class that overlap a better one by more are dropped.

    Returns:
        One entry an image, sorted by name, best detections first.
    """
    by_image: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = defaultdict(list)
    for tile in sorted(
        tiles, key=lambda tile: tile.name
    ):  # equal scores rank by tile, whatever order the tiles came in
        image, boxes = _on_image(tile)
        by_image[image].append((boxes, tile.scores, tile.labels))
    merged = []
    for image, parts in sorted(by_image.items()):
        boxes, scores, labels = (torch.cat(column) for column in zip(*parts))
        keep = rotated_nms(boxes, scores, labels, iou_threshold)
        merged.append(BoxDetections(image, boxes[keep], scores[keep], labels[keep]))
    return merged


def _on_image(tile: BoxDetections) -> tuple[str, Tensor]:
    try:
        name = parse_tile_name(tile.name)
    except UserError:
        return tile.name, tile.boxes.double()
    boxes = tile.boxes.double() + tile.boxes.new_tensor([name.x, name.y, 0, 0, 0], dtype=torch.float64)
    return name.image_id, scale_obb(boxes, (1 / name.rate, 1 / name.rate)) if name.rate != 1 else boxes


def to_task1(images: Iterable[BoxDetections], classes: Sequence[str]) -> dict[str, Detections]:
    """Detections by class, as DOTA's Task1 files hold them; a class without any has an empty entry."""
    ids: list[list[str]] = [[] for _ in classes]
    scores: list[list[np.ndarray]] = [[] for _ in classes]
    polygons: list[list[np.ndarray]] = [[] for _ in classes]
    for image in images:
        polys = obb_to_poly(image.boxes.double()).cpu().numpy().round(COORDINATE_DECIMALS)
        image_scores = _shortest(image.scores.cpu().numpy())
        labels = image.labels.cpu().numpy()
        for index in np.unique(labels).tolist():
            rows = labels == index
            ids[index] += [image.name] * int(rows.sum())
            scores[index].append(image_scores[rows])
            polygons[index].append(polys[rows])
    return {
        name: Detections.from_ids(
            ids[i], np.concatenate([np.empty(0), *scores[i]]), np.concatenate([np.empty((0, 8)), *polygons[i]])
        )
        for i, name in enumerate(classes)
    }


def _shortest(scores: np.ndarray) -> np.ndarray:
    """Scores as the float64 of the fewest digits that still mean the same float32: 0.9 instead of
    0.8999999761581421.
    """
    return scores.astype(np.str_).astype(np.float64) if len(scores) else scores.astype(np.float64)
