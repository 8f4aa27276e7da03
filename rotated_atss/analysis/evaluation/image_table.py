"""Count objects and detections per image, and find the images with the highest and the lowest F1."""

from __future__ import annotations

from dataclasses import dataclass

from rotated_atss.analysis.evaluation.counts import Counts, count_by_image
from rotated_atss.analysis.evaluation.data import EvaluationData
from rotated_atss.analysis.evaluation.matching import Matches

MAX_LISTED = 8
"""Maximum number of images in each of the two lists of :func:`best_and_worst`."""


@dataclass(frozen=True)
class ImageRow:
    """Id and counts of one image."""

    image: str
    counts: Counts


def build_image_table(data: EvaluationData, matches: Matches, score_threshold: float) -> list[ImageRow]:
    """Count objects and detections per image.

    Args:
        data: Detections and objects.
        matches: Matches of the metric.
        score_threshold: Lowest score of a counted detection.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.analysis.evaluation.from_task1 import from_task1
        >>> from rotated_atss.analysis.evaluation.matching import Matcher
        >>> from rotated_atss.analysis.evaluation.overlaps import find_overlaps
        >>> from rotated_atss.dota.labels import Labels
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> ship = Labels(polygons=square, names=("ship",), difficult=np.array([0]), line_numbers=np.array([1]))
        >>> data = from_task1({}, {"P1": ship}, ["ship"])
        >>> matches = Matcher(data, find_overlaps(data)).match()
        >>> rows = build_image_table(data, matches, score_threshold=0.5)
        >>> rows[0].image, rows[0].counts.fn
        ('P1', 1)
    """
    counts = count_by_image(data, matches, data.detections.scores >= score_threshold)
    return [ImageRow(image, image_counts) for image, image_counts in zip(data.images, counts)]


def best_and_worst(rows: list[ImageRow], limit: int = MAX_LISTED) -> tuple[list[str], list[str]]:
    """Return the ids of the images with the highest and with the lowest F1.

    Among images with equal F1, the images with more objects come first. No image is in both lists. An image that has
    neither objects nor detections has no F1 and is in neither list. The best images have at least one true positive,
    and the worst images have at least one error.

    Args:
        rows: Counts per image.
        limit: Maximum number of images per list.

    Example:
        >>> all_found = ImageRow("P1", Counts(objects=2, ignored=0, detections=2, tp=2, fp=0))
        >>> half_found = ImageRow("P2", Counts(objects=2, ignored=0, detections=1, tp=1, fp=0))
        >>> best_and_worst([half_found, all_found])
        (['P1'], ['P2'])
    """
    f1_and_row = [(row.counts.f1, row) for row in rows if row.counts.f1 is not None]
    by_descending_f1 = sorted(f1_and_row, key=lambda item: (-item[0], -item[1].counts.objects))
    # If there are few images, only half of them can be among the best; the other half is left for the worst.
    num_best = min(limit, (len(f1_and_row) + 1) // 2)
    best = [row.image for _, row in by_descending_f1[:num_best] if row.counts.tp]
    # an image with an F1 of 1 has no error
    others = [(f1, row) for f1, row in f1_and_row if row.image not in best and f1 != 1.0]
    by_ascending_f1 = sorted(others, key=lambda item: (item[0], -item[1].counts.objects))
    return best, [row.image for _, row in by_ascending_f1[:limit]]
