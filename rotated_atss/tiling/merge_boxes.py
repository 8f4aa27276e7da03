"""Merge tile detections, given as oriented boxes in tensors, into detections on full images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rotated_atss.dota.detections import Detections
from rotated_atss.dota.tiles import parse_tile_name
from rotated_atss.errors import UserError
from rotated_atss.interop.supervision import from_supervision, to_supervision
from rotated_atss.io.numbers import shortest_float64
from rotated_atss.ops import rotated_nms
from rotated_atss.ops.box_transforms import scale_obb
from rotated_atss.ops.boxes import obb_to_poly
from rotated_atss.ops.nms import rank_by_score
from rotated_atss.tiling.merge_polygons import IOU_THRESHOLD

if TYPE_CHECKING:
    import supervision

_ONE_CALL_BOXES = 100_000  # 40 MB of temporary memory

COORDINATE_DECIMALS = 2  # a hundredth of a pixel; more digits would only enlarge a submission


@dataclass(frozen=True)
class BoxDetections:
    """Detections on one image or tile.

    Attributes:
        name: Id of the image or name of the tile.
        boxes: (K, 5) ``cx, cy, w, h, angle`` in pixels of the image or tile.
        scores: (K,).
        labels: (K,) class indices.
    """

    name: str
    boxes: Tensor
    scores: Tensor
    labels: Tensor

    def to_supervision(self, class_names: Sequence[str] | None = None) -> supervision.Detections:
        """Convert to the class of the package supervision (:func:`rotated_atss.interop.supervision.to_supervision`)."""
        return to_supervision(self, class_names)

    @classmethod
    def from_supervision(cls, detections: supervision.Detections, name: str = "image") -> BoxDetections:
        """Convert from the class of the package supervision.

        Args:
            detections: Detections on one image, as for :func:`rotated_atss.interop.supervision.from_supervision`.
            name: Id of the image.

        Raises:
            ValueError: The detections have no scores or no class ids.
        """
        return cls(name, *from_supervision(detections))


def merge_boxes(tiles: Iterable[BoxDetections], iou_threshold: float = IOU_THRESHOLD) -> list[BoxDetections]:
    """Map tile detections to their full images and suppress duplicates by class-wise rotated NMS.

    A name that is not a tile name is the id of a full image. Computed in float64, which CPU and CUDA tensors can have.

    Args:
        tiles: Detections on any number of tiles of any number of images. Their order does not matter.
        iou_threshold: Boxes whose IoU with a higher-scoring kept box of their class exceeds this value are suppressed.

    Returns:
        Detections per image, sorted by name, in descending order of score; boxes are float64.

    Example:
        >>> import torch
        >>> boxes = [torch.tensor([[900.0, 50, 40, 20, 0]]), torch.tensor([[76.0, 50, 40, 20, 0]])]
        >>> names, scores = ["P1__1024__0___0", "P1__1024__824___0"], [torch.tensor([0.5]), torch.tensor([0.75])]
        >>> labels = torch.tensor([0])
        >>> (image,) = merge_boxes(BoxDetections(*each, labels) for each in zip(names, boxes, scores))
        >>> image.name, image.boxes[:, :2].tolist(), image.scores.tolist()
        ('P1', [[900.0, 50.0]], [0.75])
    """
    ranked = sorted(tiles, key=lambda tile: tile.name, reverse=True)
    by_image: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = defaultdict(list)
    while ranked:  # ties of the score are ordered by tile name; tiles are freed one by one
        tile = ranked.pop()
        image, boxes = _on_image(tile)
        by_image[image].append((boxes, tile.scores, tile.labels))
    merged = []
    for image in sorted(by_image):
        boxes, scores, labels = (torch.cat(column) for column in zip(*by_image.pop(image)))
        keep = _class_wise_nms(boxes, scores, labels, iou_threshold)
        merged.append(BoxDetections(image, boxes[keep], scores[keep], labels[keep]))
    return merged


def _class_wise_nms(boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float) -> Tensor:
    """Return the rows that class-wise rotated NMS keeps, in descending order of score.

    The classes of many boxes are processed one by one, which needs less memory and gives the same result.
    """
    if len(boxes) <= _ONE_CALL_BOXES:
        return rotated_nms(boxes, scores, labels, iou_threshold)
    of_class = (torch.nonzero(labels == label).squeeze(1) for label in labels.unique())
    kept = torch.cat([rows[rotated_nms(boxes[rows], scores[rows], iou_threshold)] for rows in of_class])
    kept = kept.sort().values  # ties of the score stay in input order
    return kept[rank_by_score(scores[kept])]


def to_task1(images: Iterable[BoxDetections], classes: Sequence[str]) -> dict[str, Detections]:
    """Convert detections to DOTA's Task1 form, one entry per class.

    Args:
        images: Detections on full images.
        classes: Class names in the order of the labels.

    Returns:
        Polygons rounded to ``COORDINATE_DECIMALS``, by class name; empty for a class without detections.

    Example:
        >>> import torch
        >>> image = BoxDetections("P1", torch.tensor([[10.0, 10, 8, 4, 0]]), torch.tensor([0.5]), torch.tensor([1]))
        >>> {name: detections.image_ids.tolist() for name, detections in to_task1([image], ["plane", "ship"]).items()}
        {'plane': [], 'ship': ['P1']}
    """
    ids: list[list[str]] = [[] for _ in classes]
    scores: list[list[np.ndarray]] = [[] for _ in classes]
    polygons: list[list[np.ndarray]] = [[] for _ in classes]
    for image in images:
        image_polygons, image_scores = round_for_task1(image)
        labels = image.labels.cpu().numpy()
        for index in np.unique(labels).tolist():
            rows = labels == index
            ids[index] += [image.name] * int(rows.sum())
            scores[index].append(image_scores[rows])
            polygons[index].append(image_polygons[rows])
    return {
        name: Detections.from_ids(
            ids[i], np.concatenate([np.empty(0), *scores[i]]), np.concatenate([np.empty((0, 8)), *polygons[i]])
        )
        for i, name in enumerate(classes)
    }


def round_for_task1(image: BoxDetections) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners and the scores that Task1 files have.

    Args:
        image: N detections on a full image.

    Returns:
        Polygons (N, 8) float64, rounded to ``COORDINATE_DECIMALS``, and scores (N,) float64.

    Example:
        >>> import torch
        >>> image = BoxDetections("P1", torch.tensor([[10.0, 10, 8.001, 4, 0]]), torch.tensor([0.1]), torch.tensor([1]))
        >>> [column.tolist() for column in round_for_task1(image)]
        [[[6.0, 8.0, 14.0, 8.0, 14.0, 12.0, 6.0, 12.0]], [0.1]]
    """
    polygons = obb_to_poly(image.boxes.cpu().double()).numpy().round(COORDINATE_DECIMALS)
    return polygons, shortest_float64(image.scores.cpu().numpy())


def _on_image(tile: BoxDetections) -> tuple[str, Tensor]:
    """Return the id of the full image, and the boxes in its pixels."""
    try:
        name = parse_tile_name(tile.name)
    except UserError:
        return tile.name, tile.boxes.double()
    boxes = tile.boxes.double() + tile.boxes.new_tensor([name.x, name.y, 0, 0, 0], dtype=torch.float64)
    return name.image_id, scale_obb(boxes, (1 / name.rate, 1 / name.rate)) if name.rate != 1 else boxes
