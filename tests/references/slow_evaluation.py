"""Slow references of the figures of an evaluation report: one detection, object and threshold at a time.

The IoU is shapely's. Detections and objects are named tuples; the matches are lists of indices.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import shapely
from shapely import affinity


class Box(NamedTuple):
    """A detection (with a score) or an object (with ``ignored`` and ``crowd``)."""

    image: str
    name: str
    corners: tuple[float, ...]
    score: float = 1.0
    ignored: bool = False
    crowd: bool = False

    @property
    def shape(self) -> shapely.Polygon:
        return shapely.Polygon([self.corners[i : i + 2] for i in range(0, 8, 2)])


def iou(det: Box, obj: Box) -> float:
    """Return the IoU; for a crowd the share of the detection."""
    if det.image != obj.image:
        return 0.0
    shared = det.shape.intersection(obj.shape).area
    whole = det.shape.area if obj.crowd else det.shape.union(obj.shape).area
    return shared / whole if whole else 0.0


def slow_match(dets: list[Box], objects: list[Box], threshold: float, rule: str) -> tuple[list[str], list[int]]:
    """Return the state of each detection, ``tp``, ``fp`` or ``ignored``, and its object or -1.

    Args:
        dets: Detections; all scores differ.
        objects: Objects.
        threshold: IoU threshold.
        rule: ``dota`` or ``coco``.
    """
    states, matched, taken = [""] * len(dets), [-1] * len(dets), set()
    for row in sorted(range(len(dets)), key=lambda row: -dets[row].score):
        found = _choose(dets[row], objects, threshold, rule, taken)
        if found is None:
            states[row] = "fp"
        elif objects[found].ignored:
            states[row], matched[row] = "ignored", found
            if not objects[found].crowd:
                taken.add(found)
        elif found in taken:
            states[row] = "fp"
        else:
            states[row], matched[row] = "tp", found
            taken.add(found)
    return states, matched


def _choose(det: Box, objects: list[Box], threshold: float, rule: str, taken: set[int]) -> int | None:
    own = [index for index, obj in enumerate(objects) if obj.name == det.name]
    if rule == "dota":  # the object of highest IoU, taken or not
        best = max(own, key=lambda index: iou(det, objects[index]), default=None)
        return best if best is not None and iou(det, objects[best]) > threshold else None
    free = [index for index in own if index not in taken and iou(det, objects[index]) >= threshold]
    counted = [index for index in free if not objects[index].ignored]
    return max(counted or free, key=lambda index: iou(det, objects[index]), default=None)


def slow_error_kinds(
    dets: list[Box], objects: list[Box], states: list[str], threshold: float
) -> tuple[list[str], list[int]]:
    """Return the kind of error of each false positive, empty for other detections, and the object of the error."""
    kinds, targets = [], []
    for det, state in zip(dets, states):
        kind, target = ("", -1) if state != "fp" else _kind_of(det, objects, threshold)
        kinds.append(kind)
        targets.append(target)
    return kinds, targets


def _kind_of(det: Box, objects: list[Box], threshold: float) -> tuple[str, int]:
    counted = [index for index, obj in enumerate(objects) if not obj.ignored]
    own = max((i for i in counted if objects[i].name == det.name), key=lambda i: iou(det, objects[i]), default=None)
    other = max((i for i in counted if objects[i].name != det.name), key=lambda i: iou(det, objects[i]), default=None)
    own_iou = 0.0 if own is None else iou(det, objects[own])
    if own is not None and own_iou > threshold:
        return "duplicate", own
    if other is not None and iou(det, objects[other]) > threshold:
        return "classification", other
    if own is not None and own_iou >= 0.1:
        turned = det._replace(corners=_turned(det, objects[own]))
        return ("angle" if iou(turned, objects[own]) > threshold else "localization"), own
    return "background", -1


def _turned(det: Box, obj: Box) -> tuple[float, ...]:
    """Turn a rectangle around its center so that its long side has the direction of the object's."""
    shape = affinity.rotate(det.shape, _direction(obj) - _direction(det), origin="centroid")
    return tuple(value for corner in list(shape.exterior.coords)[:4] for value in corner)


def _direction(box: Box) -> float:
    x1, y1, x2, y2, x3, y3, *_ = box.corners
    first, second = (x2 - x1, y2 - y1), (x3 - x2, y3 - y2)
    dx, dy = max(first, second, key=lambda side: math.hypot(*side))
    return math.degrees(math.atan2(dy, dx))
