"""AP and recall by size, aspect ratio, angle and density.

As in COCO's evaluation by area, objects outside a group are ignored, and so are detections that match none and are
outside it: their own size, aspect ratio or angle, or the density of their image, is in another group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rotated_atss.analysis.evaluation.data import COCO, EvaluationData
from rotated_atss.analysis.evaluation.matching import Matcher, Matches, average_precisions
from rotated_atss.analysis.group_edges import ANGLE_EDGES_DEG, ASPECT_EDGES, SIZE_EDGES_PX
from rotated_atss.analysis.shapes import fit_shapes

DENSITY_EDGES = (1, 5, 20, 50, 100, 500, math.inf)
UNITS = {
    "size": "px, square root of the area of the minimum-area rectangle",
    "aspect_ratio": "long side over short side of the minimum-area rectangle",
    "angle_deg": "degrees, direction of the long side, clockwise from the x axis on the image",
    "density": "objects per image, of all classes, including ignored ones",
}


@dataclass(frozen=True)
class Group:
    """Figures of the objects in a group.

    Attributes:
        low: Start of the interval ``low <= value < high``.
        high: End of the interval; infinity for the last one.
        objects: Number of objects that count.
        ap: Mean AP over the classes with objects in the group; NaN without any.
        recall: True positives at the score threshold per object; NaN without objects.
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
        matcher: Their matcher.
        matches: Matches over all groups, which give the recall and the IoU threshold.
        score_threshold: Lowest score of a detection that counts in the recall.

    Returns:
        Groups by property, the keys of :data:`UNITS`; horizontal boxes have no angle.

    Example:
        >>> from rotated_atss.analysis.evaluation.from_task1 import from_task1
        >>> from rotated_atss.analysis.evaluation.overlaps import find_overlaps
        >>> from rotated_atss.dota.detections import Detections
        >>> from rotated_atss.dota.labels import Labels
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> labels = {"P1": Labels(np.vstack([square, square * 3]), ("ship",) * 2, np.zeros(2, int), np.array([1, 2]))}
        >>> data = from_task1({"ship": Detections.from_ids(["P1"], np.array([0.9]), square)}, labels, ["ship"])
        >>> matcher = Matcher(data, find_overlaps(data))
        >>> [(group.low, group.ap) for group in build_groups(data, matcher, matcher.match(), 0.5)["size"]]
        [(8, 1.0), (16, 0.0)]
    """
    found = matches.detected_objects(data.detections.scores >= score_threshold, len(data.objects))
    groups: dict[str, list[Group]] = {name: [] for name in UNITS}
    for name, (of_detections, of_objects, edges) in _values(data).items():
        for low, high in pairwise(edges):
            members = ~data.objects.ignored & (of_objects >= low) & (of_objects < high)
            if not members.any():
                continue
            inside = data.detections.inside & (of_detections >= low) & (of_detections < high)
            ap = _mean_ap(data, matcher, matches.iou_threshold, members, inside)
            recall = float(found[members].mean())
            groups[name].append(Group(low, high, int(members.sum()), ap, recall))
    return groups


def _values(data: EvaluationData) -> dict[str, tuple[np.ndarray, np.ndarray, Sequence[float]]]:
    """Return the value of each detection, that of each object, and the edges of the groups, per property."""
    found, objects = fit_shapes(data.detections.polygons), fit_shapes(data.objects.polygons)
    density = np.bincount(data.objects.images, minlength=len(data.images))
    values: dict[str, tuple[np.ndarray, np.ndarray, Sequence[float]]] = {
        "size": (found.size, objects.size, SIZE_EDGES_PX),
        "aspect_ratio": (found.aspect_ratio, objects.aspect_ratio, ASPECT_EDGES),
        "angle_deg": (found.angle_deg, objects.angle_deg, ANGLE_EDGES_DEG),
        "density": (density[data.detections.images], density[data.objects.images], DENSITY_EDGES),
    }
    if data.kind == COCO:
        del values["angle_deg"]
    return values


def _mean_ap(
    data: EvaluationData, matcher: Matcher, iou_threshold: float, members: np.ndarray, inside: np.ndarray
) -> float:
    num_objects = np.bincount(data.objects.labels[members], minlength=len(data.classes))
    matches = matcher.match(iou_threshold, ignored=~members, inside=inside)
    return float(np.nanmean(average_precisions(data, matches, num_objects)))
