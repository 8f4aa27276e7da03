"""Slow reference of COCO's average precision on quadrilaterals: one image, threshold, range and detection at a time.

The IoU is shapely's. Inputs are rectangles, so that their polygon area is that of their minimum-area rectangle.
"""

from __future__ import annotations

import math

import numpy as np
import shapely

INF = math.inf


def slow_coco_ap(
    dets: list[tuple[str, float, list[float]]],
    objects: list[tuple[str, list[float], bool]],
    thresholds: list[float],
    area_range: tuple[float, float],
    max_dets: float = INF,
    best_object_only: bool = False,
) -> list[float]:
    """Return the AP of one class at each threshold.

    Args:
        dets: Image, score and corners of each detection; all scores differ.
        objects: Image, corners and whether it is ignored, of each object.
        thresholds: IoU thresholds.
        area_range: Smallest and largest area of objects that count.
        max_dets: Largest number of detections per image.
        best_object_only: Compare a detection with the object of highest IoU only.
    """
    images = {image for image, *_ in [*dets, *objects]}
    kept = []
    for image in images:
        ranked = sorted((det for det in dets if det[0] == image), key=lambda det: -det[1])
        kept += ranked[: int(min(max_dets, len(ranked)))]
    return [
        _ap_at(sorted(kept, key=lambda det: -det[1]), objects, each, area_range, best_object_only)
        for each in thresholds
    ]


def _ap_at(dets, objects, threshold, area_range, best_object_only):
    low, high = area_range
    shapes = [_polygon(corners) for _, corners, _ in objects]
    ignored = [flag or not low <= shape.area <= high for shape, (_, _, flag) in zip(shapes, objects)]
    num_gt = ignored.count(False)
    if num_gt == 0:
        return math.nan
    taken = [False] * len(objects)
    hits: list[bool] = []  # of the detections that count
    for image, _, corners in dets:
        det = _polygon(corners)
        found = _choose(det, image, objects, shapes, ignored, taken, threshold, best_object_only)
        if found is None:
            if low <= det.area <= high:
                hits.append(False)
            continue
        taken[found] = True
        if not ignored[found]:
            hits.append(True)
    return _interpolate(hits, num_gt)


def _choose(det, image, objects, shapes, ignored, taken, threshold, best_object_only):
    """Return the object that a detection takes, or None."""
    ious = {number: _iou(det, shapes[number]) for number, (where, _, _) in enumerate(objects) if where == image}
    if best_object_only:
        best = max(ious, key=lambda number: (ious[number], not ignored[number], -number), default=None)
        return best if best is not None and ious[best] >= threshold and not taken[best] else None
    for wanted in (False, True):  # ignored objects come last
        free = [n for n in ious if ignored[n] == wanted and not taken[n] and ious[n] >= threshold]
        if free:
            return max(free, key=lambda number: (ious[number], number))
    return None


def _interpolate(hits, num_gt):
    points = []
    for count in range(1, len(hits) + 1):
        positives = sum(hits[:count])
        points.append((positives / num_gt, positives / count))
    total = 0.0
    for level in np.linspace(0, 1, 101):  # floats as in pycocotools, not exact hundredths
        total += max((precision for recall, precision in points if recall >= level), default=0.0)
    return total / 101


def _polygon(corners):
    return shapely.Polygon([corners[index : index + 2] for index in range(0, 8, 2)])


def _iou(first, second):
    return first.intersection(second).area / first.union(second).area
