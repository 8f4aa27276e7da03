"""Merge tile detections, given as arrays of oriented boxes, into detections on full images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rotated_atss.dota.detections import Detections
from rotated_atss.dota.tiles import parse_tile_name
from rotated_atss.errors import UserError
from rotated_atss.interop.supervision import from_supervision, to_supervision
from rotated_atss.io.numbers import shortest_float64
from rotated_atss.ops.box_arrays import scale_obbs
from rotated_atss.ops.box_nms import box_nms
from rotated_atss.ops.box_polygons import box_polygons
from rotated_atss.tiling.merge_polygons import IOU_THRESHOLD

if TYPE_CHECKING:
    import supervision

COORDINATE_DECIMALS = 2  # decimals of pixels in Task1 files; more would only enlarge a submission


@dataclass(frozen=True)
class BoxDetections:
    """Detections on one image or tile, as NumPy arrays.

    Attributes:
        name: Id of the image or name of the tile.
        boxes: (K, 5) float64 ``cx, cy, w, h, angle``. Lengths are in pixels of the image or tile, angles in radians.
        scores: (K,) floating-point numbers.
        labels: (K,) int64 class indices.
    """

    name: str
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray

    def take(self, rows: np.ndarray | slice) -> BoxDetections:
        """Select detections by index, mask or slice.

        Example:
            >>> image = BoxDetections("P1", np.ones((3, 5)), np.array([0.9, 0.5, 0.3]), np.array([0, 1, 0]))
            >>> image.take(image.labels == 0).scores.tolist()
            [0.9, 0.3]
        """
        return BoxDetections(self.name, self.boxes[rows], self.scores[rows], self.labels[rows])

    def to_supervision(self, class_names: Sequence[str] | None = None) -> supervision.Detections:
        """Convert to the class of the package supervision (:func:`rotated_atss.interop.supervision.to_supervision`)."""
        return to_supervision(self, class_names)

    @classmethod
    def from_supervision(cls, detections: supervision.Detections, name: str = "image") -> BoxDetections:
        """Convert from the class of the package supervision.

        Args:
            detections: Detections on one image. :func:`rotated_atss.interop.supervision.from_supervision` lists the
                fields that are read.
            name: Id of the image.

        Raises:
            ValueError: The detections have no scores or no class ids.
        """
        return cls(name, *from_supervision(detections))


def merge_boxes(tiles: Iterable[BoxDetections], iou_threshold: float = IOU_THRESHOLD) -> list[BoxDetections]:
    """Map tile detections to their full images and suppress duplicates by class-wise rotated NMS.

    A name that is not a tile name is taken as the id of a full image, and its boxes are not moved. Boxes are computed
    in float64.

    Args:
        tiles: Detections on any number of tiles of any number of images. Their order does not matter.
        iou_threshold: Boxes whose IoU with a higher-scoring kept box of their class exceeds this value are suppressed.

    Returns:
        Detections per image, sorted by image id. The detections of an image are in descending order of score; equal
        scores are in the order of the tile names.

    Example:
        >>> ship, labels = [40.0, 20, 0], np.array([0])  # the same ship is detected on two tiles
        >>> left = BoxDetections("P1__1024__0___0", np.array([[900.0, 50, *ship]]), np.array([0.5]), labels)
        >>> right = BoxDetections("P1__1024__824___0", np.array([[76.0, 50, *ship]]), np.array([0.75]), labels)
        >>> (image,) = merge_boxes([left, right])
        >>> image.name, image.boxes[:, :2].tolist(), image.scores.tolist()
        ('P1', [[900.0, 50.0]], [0.75])
    """
    # Tiles are mapped in the order of their names. Each tile is removed from the list first, so that its boxes are
    # freed when they are mapped.
    remaining_tiles = sorted(tiles, key=lambda tile: tile.name, reverse=True)
    # image id -> boxes, scores and labels of each of its tiles
    by_image: dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = defaultdict(list)
    while remaining_tiles:
        tile = remaining_tiles.pop()
        image_id, boxes = _map_to_image(tile)
        by_image[image_id].append((boxes, tile.scores, tile.labels))
    merged = []
    for image_id in sorted(by_image):
        boxes, scores, labels = (np.concatenate(column) for column in zip(*by_image.pop(image_id)))
        keep = box_nms(boxes, scores, iou_threshold, groups=labels)
        merged.append(BoxDetections(image_id, boxes[keep], scores[keep], labels[keep]))
    return merged


def to_task1(images: Iterable[BoxDetections], classes: Sequence[str]) -> dict[str, Detections]:
    """Group detections by class, and convert their boxes to polygons as in Task1 files.

    Args:
        images: Detections on full images.
        classes: Class names in the order of the class indices.

    Returns:
        Detections by class name, with polygons rounded to ``COORDINATE_DECIMALS``. Classes without detections are
        included.

    Example:
        >>> image = BoxDetections("P1", np.array([[10.0, 10, 8, 4, 0]]), np.array([0.5]), np.array([1]))
        >>> {name: detections.image_ids.tolist() for name, detections in to_task1([image], ["plane", "ship"]).items()}
        {'plane': [], 'ship': ['P1']}
    """
    ids: list[list[str]] = [[] for _ in classes]
    scores: list[list[np.ndarray]] = [[] for _ in classes]
    polygons: list[list[np.ndarray]] = [[] for _ in classes]
    for image in images:
        image_polygons, image_scores = round_for_task1(image)
        for label in np.unique(image.labels).tolist():
            rows = image.labels == label
            ids[label] += [image.name] * int(rows.sum())
            scores[label].append(image_scores[rows])
            polygons[label].append(image_polygons[rows])
    return {
        name: Detections.from_ids(
            ids[label],
            np.concatenate([np.empty(0), *scores[label]]),
            np.concatenate([np.empty((0, 8)), *polygons[label]]),
        )
        for label, name in enumerate(classes)
    }


def round_for_task1(image: BoxDetections) -> tuple[np.ndarray, np.ndarray]:
    """Convert boxes to polygons, and round corners and scores as in Task1 files.

    Args:
        image: N detections on a full image.

    Returns:
        Polygons (N, 8) float64, rounded to ``COORDINATE_DECIMALS``, and scores (N,) float64, rounded to the fewest
        decimal digits from which their own dtype restores the same values.

    Example:
        >>> image = BoxDetections("P1", np.array([[10.0, 10, 8.001, 4, 0]]), np.array([0.1]), np.array([1]))
        >>> [column.tolist() for column in round_for_task1(image)]
        [[[6.0, 8.0, 14.0, 8.0, 14.0, 12.0, 6.0, 12.0]], [0.1]]
    """
    return box_polygons(image.boxes).round(COORDINATE_DECIMALS), shortest_float64(image.scores)


def _map_to_image(tile: BoxDetections) -> tuple[str, np.ndarray]:
    """Return the id of the full image, and the boxes (K, 5) in pixels of the full image."""
    boxes = np.asarray(tile.boxes, dtype=np.float64)
    try:
        tile_name = parse_tile_name(tile.name)
    except UserError:
        return tile.name, boxes
    boxes = boxes + np.array([tile_name.x, tile_name.y, 0, 0, 0])
    if tile_name.rate != 1:
        boxes = scale_obbs(boxes, (1 / tile_name.rate, 1 / tile_name.rate))
    return tile_name.image_id, boxes
