"""Define the input of an evaluation report: detections and objects of all images, in one form for DOTA and COCO."""

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
        image_index: (N,) int64, index of the image.
        scores: (N,) float64.
        areas: (N,) float64, square pixels.
        in_size_range: (N,) bool, whether the area is in the size range of the main AP; always true for COCO's boxes. A
            detection that matches no object is a false positive if it is in the range, and ignored otherwise.
    """

    polygons: np.ndarray
    labels: np.ndarray
    image_index: np.ndarray
    scores: np.ndarray
    areas: np.ndarray
    in_size_range: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class ObjectTable:
    """Ground-truth objects of all classes, sorted by image.

    Attributes:
        polygons: (G, 8) float64, corners in pixels.
        labels: (G,) int64, index of the class.
        image_index: (G,) int64, index of the image, ascending.
        areas: (G,) float64, square pixels.
        ignored: (G,) bool, whether the metric ignores the object because it is difficult, a crowd or outside the size
            range.
        crowd: (G,) bool, whether the box is a crowd of COCO, which encloses a group of objects. Any number of
            detections can match a crowd.
    """

    polygons: np.ndarray
    labels: np.ndarray
    image_index: np.ndarray
    areas: np.ndarray
    ignored: np.ndarray
    crowd: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class EvaluationData:
    """Detections and ground truth of an evaluation, with the rule by which they are matched.

    Attributes:
        kind: Kind of the boxes: ``oriented``, or ``coco`` for horizontal boxes. The metric is ``rule.metric`` and does
            not depend on the kind, because some oriented datasets are evaluated with COCO's metric.
        classes: Names of the classes.
        images: Ids of the images.
        detections: Detections of these classes. If the metric limits the number of detections per image and class,
            only the detections with the highest scores are included.
        objects: Objects of these classes.
        rule: Metric, size ranges, and the treatment of difficult objects.

    Example:
        >>> polygons, floats = np.empty((0, 8)), np.empty(0)
        >>> integers, flags = np.empty(0, np.int64), np.empty(0, bool)
        >>> detections = DetectionTable(
        ...     polygons, labels=integers, image_index=integers, scores=floats, areas=floats, in_size_range=flags
        ... )
        >>> objects = ObjectTable(
        ...     polygons, labels=integers, image_index=integers, areas=floats, ignored=flags, crowd=flags
        ... )
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
        """One slice per class, with the rows of the class in :attr:`detections`, which are sorted by class."""
        bounds = np.searchsorted(self.detections.labels, np.arange(len(self.classes) + 1)).tolist()
        return [slice(start, stop) for start, stop in zip(bounds, bounds[1:])]

    def reaches(self, ious: np.ndarray, iou_threshold: float) -> np.ndarray:
        """Return whether each IoU is high enough for a match.

        COCO's metric requires at least the threshold, and the other metrics require more than the threshold.
        """
        has_coco_metric = self.rule.metric == "coco"  # possible for both kinds of boxes
        return ious >= iou_threshold if has_coco_metric else ious > iou_threshold
