"""Counts per image, and the images with the highest and the lowest F1."""

from __future__ import annotations

from dataclasses import dataclass

from rotated_atss.analysis.evaluation.counts import Counts, count_by_image
from rotated_atss.analysis.evaluation.data import EvaluationData
from rotated_atss.analysis.evaluation.matching import Matches

LISTED = 8


@dataclass(frozen=True)
class ImageRow:
    """Counts of one image, as in :class:`rotated_atss.analysis.evaluation.counts.Counts`."""

    image: str
    counts: Counts


def build_image_table(data: EvaluationData, matches: Matches, score_threshold: float) -> list[ImageRow]:
    """Count objects and detections per image.

    Args:
        data: Detections and objects.
        matches: Matches of the metric.
        score_threshold: Lowest score of a detection that counts.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.analysis.evaluation.from_task1 import from_task1
        >>> from rotated_atss.analysis.evaluation.matching import Matcher
        >>> from rotated_atss.analysis.evaluation.overlaps import find_overlaps
        >>> from rotated_atss.dota.labels import Labels
        >>> labels = {"P1": Labels(np.zeros((1, 8)), ("ship",), np.array([0]), np.array([1]))}
        >>> data = from_task1({}, labels, ["ship"])
        >>> rows = build_image_table(data, Matcher(data, find_overlaps(data)).match(), 0.5)
        >>> rows[0].image, rows[0].counts.fn
        ('P1', 1)
    """
    counts = count_by_image(data, matches, data.detections.scores >= score_threshold)
    return [ImageRow(image, each) for image, each in zip(data.images, counts)]


def best_and_worst(rows: list[ImageRow], limit: int = LISTED) -> tuple[list[str], list[str]]:
    """Return the ids of the images with the highest and with the lowest F1.

    Of equal F1, images with more objects come first. An image without objects and detections has no F1 and is in
    neither list; none is in both. Images without an error are not among the worst, and those without a match not among
    the best.

    Args:
        rows: Counts per image.
        limit: Largest number of images per list.

    Example:
        >>> rows = [ImageRow("P1", Counts(2, 0, 2, 2, 0)), ImageRow("P2", Counts(2, 0, 1, 1, 0))]
        >>> best_and_worst(rows)
        (['P1'], ['P2'])
    """
    scored = [row for row in rows if row.counts.f1 is not None]
    ranked = sorted(scored, key=lambda row: (-(row.counts.f1 or 0.0), -row.counts.objects))
    best = [row.image for row in ranked[: min(limit, (len(ranked) + 1) // 2)] if row.counts.tp]
    rest = [row for row in scored if row.image not in best and row.counts.f1 != 1.0]
    worst = sorted(rest, key=lambda row: (row.counts.f1 or 0.0, -row.counts.objects))
    return best, [row.image for row in worst[:limit]]
