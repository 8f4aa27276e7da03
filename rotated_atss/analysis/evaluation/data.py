"""Input of an evaluation report in one form for DOTA and COCO: the detections and objects of all images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rotated_atss.dota.datasets import EvaluationRule

ORIENTED, COCO = "oriented", "coco"
"""Values of :attr:`EvaluationData.kind`."""


@dataclass(frozen=True)
class DetectionTable:
    """Detections of all classes, sorted by class and then by descending score.

    Attributes:
        polygons: (N, 8) float64, corners in pixels.
        labels: (N,) int64, index of the class, ascending.
        images: (N,) int64, index of the image.
        scores: (N,) float64.
        areas: (N,) float64, square pixels.
        inside: (N,) bool, whether the area is in the size range of the main AP; always true for COCO's boxes. A
            detection outside the range that matches no object is ignored; inside the range it is a false positive.
    """

    polygons: np.ndarray
    labels: np.ndarray
    images: np.ndarray
    scores: np.ndarray
    areas: np.ndarray
    inside: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class ObjectTable:
    """Ground-truth objects of all classes, sorted by image.

    Attributes:
        polygons: (G, 8) float64, corners in pixels.
        labels: (G,) int64, index of the class.
        images: (G,) int64, index of the image, ascending.
        areas: (G,) float64, square pixels.
        ignored: (G,) bool, whether the metric ignores the object because it is difficult, a crowd or outside the size
            range.
        crowd: (G,) bool, whether the box encloses a group of objects, which any number of detections can match (COCO).
    """

    polygons: np.ndarray
    labels: np.ndarray
    images: np.ndarray
    areas: np.ndarray
    ignored: np.ndarray
    crowd: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class EvaluationData:
    """Detections and ground truth of an evaluation, with the rule by which they are matched.

    Attributes:
        kind: Kind of the boxes: ``oriented``, or ``coco`` for horizontal boxes, whose polygons are rectangles. It does
            not determine the metric: some oriented datasets are evaluated with COCO's metric (``rule.metric``).
        classes: Names of the classes.
        images: Ids of the images.
        detections: Detections of these classes, without the lowest scores beyond the metric's maximum number
            per image and class.
        objects: Objects of these classes.
        rule: Metric, size ranges, and the treatment of difficult objects.

    Example:
        >>> polygons, integers, floats, flags = np.empty((0, 8)), np.empty(0, np.int64), np.empty(0), np.empty(0, bool)
        >>> detections = DetectionTable(polygons, integers, integers, floats, floats, flags)
        >>> objects = ObjectTable(polygons, integers, integers, floats, flags, flags)
        >>> EvaluationData("oriented", ("ship",), ("P1",), detections, objects, EvaluationRule()).num_objects
        array([0])
    """

    kind: str
    classes: tuple[str, ...]
    images: tuple[str, ...]
    detections: DetectionTable
    objects: ObjectTable
    rule: EvaluationRule

    @property
    def num_objects(self) -> np.ndarray:
        """Number of objects of each class that are not ignored, (C,)."""
        return np.bincount(self.objects.labels[~self.objects.ignored], minlength=len(self.classes))

    @property
    def class_slices(self) -> list[slice]:
        """Rows of each class in the detection table, which is sorted by class."""
        bounds = np.searchsorted(self.detections.labels, np.arange(len(self.classes) + 1)).tolist()
        return [slice(start, stop) for start, stop in zip(bounds, bounds[1:])]

    def reaches(self, ious: np.ndarray, iou_threshold: float) -> np.ndarray:
        """Return whether IoUs suffice for a match: at least the threshold for COCO's metric, otherwise above it."""
        return ious >= iou_threshold if self.rule.metric == "coco" else ious > iou_threshold
