"""Compute AP and recall of groups of objects, by size, aspect ratio, angle and density.

A group contains the objects for which one of these properties is in an interval. Its AP is computed like COCO's AP of
small, medium and large objects: objects outside the interval are ignored. A detection outside the interval that
matches no object is ignored, too. The density of an object or detection is the number of objects in its image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from rotated_atss.analysis.evaluation.data import COCO, EvaluationData
from rotated_atss.analysis.evaluation.matching import Matcher, Matches, average_precisions
from rotated_atss.analysis.group_edges import ANGLE_EDGES_DEG, ASPECT_EDGES, SIZE_EDGES_PX
from rotated_atss.analysis.shapes import fit_shapes

DENSITY_EDGES = (1, 5, 20, 50, 100, 500, math.inf)  # objects per image
UNITS = {
    "size": "px, square root of the area of the minimum-area rectangle",
    "aspect_ratio": "long side over short side of the minimum-area rectangle",
    "angle_deg": "degrees, direction of the long side, clockwise from the x axis on the image",
    "density": "objects per image, of all classes, including ignored ones",
}


@dataclass(frozen=True)
class Group:
    """AP and recall of the objects in a group.

    Attributes:
        low: Start of the interval ``low <= value < high``.
        high: End of the interval; infinity for the last interval of most properties.
        objects: Number of objects that the metric does not ignore; at least 1.
        ap: Mean AP over the classes with objects in the group.
        recall: Share of the objects that have a true positive at the score threshold.
    """

    low: float
    high: float
    objects: int
    ap: float
    recall: float


def build_groups(
    data: EvaluationData, matcher: Matcher, matches: Matches, score_threshold: float
) -> dict[str, list[Group]]:
    """Compute AP and recall for the groups of each property; groups without objects are left out.

    Args:
        data: Detections and objects.
        matcher: Matcher of these detections and objects.
        matches: Matches of all detections. Recall is computed from them, and AP at the same IoU threshold.
        score_threshold: Lowest score of the detections from which recall is computed.

    Returns:
        Groups, keyed by property (a key of :data:`UNITS`). The list of ``angle_deg`` is empty for horizontal boxes.

    Example:
        >>> from rotated_atss.analysis.evaluation.from_task1 import from_task1
        >>> from rotated_atss.analysis.evaluation.overlaps import find_overlaps
        >>> from rotated_atss.dota.detections import Detections
        >>> from rotated_atss.dota.labels import Labels
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> ships = Labels(
        ...     polygons=np.vstack([square, square * 3]), names=("ship", "ship"), difficult=np.zeros(2, int),
        ...     line_numbers=np.array([1, 2]),
        ... )
        >>> detections = {"ship": Detections.from_ids(["P1"], np.array([0.9]), square)}
        >>> data = from_task1(detections, {"P1": ships}, ["ship"])
        >>> matcher = Matcher(data, find_overlaps(data))
        >>> groups = build_groups(data, matcher, matcher.match(), score_threshold=0.5)
        >>> [(group.low, group.ap) for group in groups["size"]]
        [(8, 1.0), (16, 0.0)]
    """
    detected = matches.detected_objects(data.detections.scores >= score_threshold, len(data.objects))
    groups: dict[str, list[Group]] = {name: [] for name in UNITS}
    for name, values in _values_by_property(data).items():
        for low, high in pairwise(values.edges):
            members = ~data.objects.ignored & (values.of_objects >= low) & (values.of_objects < high)
            if not members.any():
                continue
            # A detection without an object is a false positive if this is true, and is ignored if it is false.
            counts_if_unmatched = (
                data.detections.in_size_range & (values.of_detections >= low) & (values.of_detections < high)
            )
            ap = _mean_ap(data, matcher, matches.iou_threshold, members, counts_if_unmatched)
            recall = float(detected[members].mean())
            groups[name].append(Group(low, high, int(members.sum()), ap, recall))
    return groups


class _PropertyValues(NamedTuple):
    """Values of one property for N detections and G objects, and the edges of the intervals in ascending order."""

    of_detections: np.ndarray
    of_objects: np.ndarray
    edges: Sequence[float]


def _values_by_property(data: EvaluationData) -> dict[str, _PropertyValues]:
    det_shapes, gt_shapes = fit_shapes(data.detections.polygons), fit_shapes(data.objects.polygons)
    density = np.bincount(data.objects.image_index, minlength=len(data.images))  # objects per image
    values = {
        "size": _PropertyValues(det_shapes.size, gt_shapes.size, SIZE_EDGES_PX),
        "aspect_ratio": _PropertyValues(det_shapes.aspect_ratio, gt_shapes.aspect_ratio, ASPECT_EDGES),
        "angle_deg": _PropertyValues(det_shapes.angle_deg, gt_shapes.angle_deg, ANGLE_EDGES_DEG),
        "density": _PropertyValues(
            density[data.detections.image_index], density[data.objects.image_index], DENSITY_EDGES
        ),
    }
    if data.kind == COCO:  # horizontal boxes have no angle
        del values["angle_deg"]
    return values


def _mean_ap(
    data: EvaluationData,
    matcher: Matcher,
    iou_threshold: float,
    members: np.ndarray,
    counts_if_unmatched: np.ndarray,
) -> float:
    """Compute the mean AP over the classes from the objects in ``members``, (G,) bool. Other objects are ignored."""
    num_objects = np.bincount(data.objects.labels[members], minlength=len(data.classes))
    matches = matcher.match(iou_threshold, ignored=~members, counts_if_unmatched=counts_if_unmatched)
    return float(np.nanmean(average_precisions(data, matches, num_objects)))
