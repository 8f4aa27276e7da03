"""The content of a viewer page: an image, its ground-truth objects and its detections."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rotated_atss.errors import UserError, quote
from rotated_atss.ops.min_area_rect import min_area_boxes
from rotated_atss.report.html import script_text

ObjectState = Literal["matched", "missed", "ignored"]
DetectionState = Literal["tp", "fp", "ignored"]

OBJECT_STATES: tuple[str, ...] = get_args(ObjectState)
DETECTION_STATES: tuple[str, ...] = get_args(DetectionState)

# Decimals of coordinates and sizes (pixels) and of angles (degrees).
_BOX_DECIMALS = 2
# Decimals of scores and IoUs.
_SCORE_DECIMALS = 4


@dataclass(frozen=True)
class ViewerObject:
    """A ground-truth object.

    Attributes:
        polygon: x1 y1 ... x4 y4, pixels; the first edge is the front of the object.
        class_name: Class of the object.
        state: ``matched`` if a detection is a true positive of the object, ``missed`` if none is, ``ignored`` if the
            metric does not count the object.
    """

    polygon: Sequence[float]
    class_name: str
    state: ObjectState


@dataclass(frozen=True)
class ViewerDetection:
    """A detection.

    Attributes:
        polygon: x1 y1 ... x4 y4, pixels.
        class_name: Predicted class.
        score: Confidence, 0 to 1.
        iou: IoU, 0 to 1, with the matched object or, for an error, with the object to which the error is attributed.
            If there is no such object, it is the highest IoU with any object.
        state: ``tp`` for a true positive, ``fp`` for a false positive, ``ignored`` if the metric counts it as neither.
        error: For a false positive, the kind of error (:mod:`rotated_atss.analysis.evaluation.error_kinds`). Empty for
            other detections.
    """

    polygon: Sequence[float]
    class_name: str
    score: float
    iou: float
    state: DetectionState
    error: str = ""


@dataclass(frozen=True)
class ViewerImage:
    """An image with the boxes that its page shows.

    Attributes:
        image_id: Image id, any string.
        path: The image file.
        objects: Ground-truth objects. The link ``#o3`` opens the object with index 3.
        detections: Detections. The link ``#d12`` opens the detection with index 12.
    """

    image_id: str
    path: Path
    objects: Sequence[ViewerObject] = field(default_factory=list)
    detections: Sequence[ViewerDetection] = field(default_factory=list)


def image_columns(image: ViewerImage, classes: Sequence[str]) -> dict[str, Any]:
    """Convert the boxes of an image to columns (one list per property) for the script of the viewer page.

    Args:
        image: The image.
        classes: Class names. The columns contain indices into this list.

    Returns:
        Dictionary of ``image``, ``classes``, ``errors`` (the kinds of errors that occur), ``objects`` and
        ``detections``. The last two are dictionaries of lists with one item per box:

        - ``polygon`` (8 numbers), ``class`` (index) and ``state``;
        - ``length`` and ``width`` (pixels) and ``angle`` (degrees, angle version le90) of the minimum-area rectangle
          around the polygon;
        - only detections: ``score`` and ``iou`` (None if not finite), ``error`` (index into ``errors``, -1 for none).

    Raises:
        UserError: A polygon does not have eight finite numbers, or a class or a state is unknown.

    Example:
        >>> box = ViewerObject([0, 0, 0, 4, 8, 4, 8, 0], "ship", "missed")
        >>> image = ViewerImage("P1", Path("P1.png"), objects=[box])
        >>> objects = image_columns(image, classes=["plane", "ship"])["objects"]
        >>> objects["class"], objects["state"], objects["length"], objects["width"], objects["angle"]
        ([1], ['missed'], [8.0], [4.0], [0.0])
    """
    index_of = {name: index for index, name in enumerate(classes)}
    errors = sorted({detection.error for detection in image.detections} - {""})
    objects = _shared_columns(image.image_id, "object", image.objects, index_of, OBJECT_STATES)
    detections = _shared_columns(image.image_id, "detection", image.detections, index_of, DETECTION_STATES)
    detections["score"] = [_rounded(detection.score, _SCORE_DECIMALS) for detection in image.detections]
    detections["iou"] = [_rounded(detection.iou, _SCORE_DECIMALS) for detection in image.detections]
    detections["error"] = [errors.index(box.error) if box.error else -1 for box in image.detections]
    return {
        "image": image.image_id,
        "classes": list(classes),
        "errors": errors,
        "objects": objects,
        "detections": detections,
    }


def as_script(name: str, value: Any) -> bytes:
    r"""Encode a value as a script that assigns the value to a global variable.

    A page that is opened from disk cannot fetch data files, but it can load scripts. The characters ``<``, ``>`` and
    ``&`` are escaped, so that the script can also be part of an HTML page.

    Args:
        name: Name of the variable.
        value: Dictionaries, lists, strings, finite numbers, booleans and None.

    Example:
        >>> as_script("image", {"image": "</script>"})
        b'window.image = {"image":"\\u003c/script\\u003e"};\n'
    """
    return f"window.{name} = {script_text(value)};\n".encode()


def _shared_columns(
    image_id: str,
    kind: str,
    boxes: Sequence[ViewerObject | ViewerDetection],
    index_of: Mapping[str, int],
    states: Sequence[str],
) -> dict[str, list[Any]]:
    """Return the columns that objects and detections share.

    Args:
        image_id: Image id to name in errors.
        kind: Word for a box in errors, "object" or "detection".
        boxes: The boxes.
        index_of: Index of each class name.
        states: The states that a box can have.
    """
    _check_boxes(image_id, kind, boxes, index_of, states)
    polygons = np.array([box.polygon for box in boxes], np.float64).reshape(-1, 8)
    shapes = _shapes(polygons)
    return {
        "polygon": polygons.round(_BOX_DECIMALS).tolist(),
        "class": [index_of[box.class_name] for box in boxes],
        "state": [box.state for box in boxes],
        "length": shapes[:, 0].tolist(),
        "width": shapes[:, 1].tolist(),
        "angle": shapes[:, 2].tolist(),
    }


def _check_boxes(
    image_id: str,
    kind: str,
    boxes: Sequence[ViewerObject | ViewerDetection],
    index_of: Mapping[str, int],
    states: Sequence[str],
) -> None:
    for index, box in enumerate(boxes):
        where = f"image {quote(image_id)}, {kind} {index}"
        if len(box.polygon) != 8 or not all(math.isfinite(value) for value in box.polygon):
            raise UserError(f"a polygon must have eight finite numbers, got {quote(list(box.polygon))}", where=where)
        if box.class_name not in index_of:
            raise UserError(f"the class must be one of the report's classes, got {quote(box.class_name)}", where=where)
        if box.state not in states:
            raise UserError(f"the state must be one of {', '.join(states)}, got {quote(box.state)}", where=where)


def _shapes(polygons: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shapes of the minimum-area rectangles around polygons.

    Args:
        polygons: (N, 8), pixels.

    Returns:
        (N, 3): length and width in pixels, and le90 angle in degrees.
    """
    boxes = min_area_boxes(polygons)
    shapes = np.column_stack((boxes[:, 2:4], np.degrees(boxes[:, 4])))
    return shapes.round(_BOX_DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0


def _rounded(value: float, decimals: int) -> float | None:
    return round(float(value), decimals) if math.isfinite(value) else None
