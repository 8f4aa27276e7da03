"""Precision and recall of each class at a grid of score thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rotated_atss.dota.detections import Detections
from rotated_atss.dota.labels import Labels
from rotated_atss.dota.matching import classify_detections, collect_ground_truth, rank_detections

NUM_THRESHOLDS = 101  # score thresholds 0, 0.01, ..., 1


@dataclass(frozen=True)
class ScoreCounts:
    """True and false positives of one class at ascending score thresholds.

    Attributes:
        true_positives: (T,) int64, number of true positives whose score is at least each threshold.
        false_positives: (T,) int64, number of false positives whose score is at least each threshold.
        num_gt: Number of objects, without ignored ones.
    """

    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    num_gt: int

    @property
    def precision(self) -> NDArray[np.float64]:
        """Precision at each threshold; 1 where there is no detection."""
        total = self.true_positives + self.false_positives
        return np.where(total > 0, self.true_positives / np.maximum(total, 1), 1.0)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Recall at each threshold; 0 if there are no objects."""
        return self.true_positives / max(self.num_gt, 1)


def count_by_score(
    detections_by_class: Mapping[str, Detections],
    labels_by_image: Mapping[str, Labels],
    *,
    ignore_difficult: bool,
    iou_threshold: float = 0.5,
    num_thresholds: int = NUM_THRESHOLDS,
) -> dict[str, ScoreCounts]:
    """Count the true and false positives of each class at T equally spaced score thresholds from 0 to 1.

    Args:
        detections_by_class: Detections on full images.
        labels_by_image: Labels of the same images.
        ignore_difficult: Whether difficult objects and the detections matched to them are ignored.
        iou_threshold: A match needs an IoU above this value.
        num_thresholds: Number of thresholds T.

    Returns:
        Counts of the classes of ``detections_by_class`` that have objects.

    Example:
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> labels = {"P1": Labels(square, ("ship",), difficult=np.array([0]), line_numbers=np.array([1]))}
        >>> ships = Detections.from_ids(["P1", "P1"], np.array([0.9, 0.4]), np.vstack([square, square + 50]))
        >>> counts = count_by_score({"ship": ships}, labels, ignore_difficult=True, num_thresholds=3)["ship"]
        >>> counts.precision.tolist(), counts.recall.tolist()
        ([0.5, 1.0, 1.0], [1.0, 1.0, 0.0])
    """
    thresholds = np.linspace(0.0, 1.0, num_thresholds)
    index_by_image = {image: index for index, image in enumerate(labels_by_image)}
    counts = {}
    for name, objects in collect_ground_truth(labels_by_image, list(detections_by_class)).items():
        detections = detections_by_class[name]
        ignored = objects.difficult if ignore_difficult else np.zeros_like(objects.difficult)
        num_gt = int((~ignored).sum())
        if not num_gt:
            continue
        # For each image of the detections, its index among the images with labels. -1 marks an image without labels,
        # whose detections rank_detections drops.
        labeled_index = np.array([index_by_image.get(image, -1) for image in detections.images], np.int64)
        image_index = labeled_index[detections.image_index] if len(detections) else np.empty(0, np.int64)
        ranked = rank_detections(detections, image_index, objects, iou_threshold)
        # num_selected is the number of detections whose score reaches each threshold. The detections are ranked by
        # descending score, but searchsorted needs ascending values, so scores and thresholds are negated.
        negative_scores = np.sort(-detections.scores[image_index >= 0], kind="stable")
        num_selected = np.searchsorted(negative_scores, -thresholds, side="right")
        true_positives, false_positives = classify_detections(ranked, ignored, iou_threshold)
        counts[name] = ScoreCounts(
            _count_first(true_positives, num_selected), _count_first(false_positives, num_selected), num_gt
        )
    return counts


def _count_first(flags: NDArray[np.bool_], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the True values among the first n of ``flags`` (N,), for each n in ``lengths`` (T,)."""
    return np.concatenate([[0], np.cumsum(flags)])[lengths]
