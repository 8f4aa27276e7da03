"""Captions of boxes and the class legend, placed so that they hide neither boxes nor each other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.visualization.text_boxes import Annotation, Leader, TextBox, ascii_text, text_wh

_MAX_LEADERS = 200  # lines to the captions of more boxes hide the image
_REACHES_PX = (10, 24, 44)  # distance of a far caption from its box
# from above, clockwise
_DIRECTIONS = tuple((math.cos(k * math.pi / 8), math.sin(k * math.pi / 8)) for k in range(-4, 12))
_LARGE_AREA = 10_000  # px^2: captions can lie inside boxes above this area


def place_captions(
    annotations: Sequence[Annotation], image_hw: tuple[int, int], scale: float, reserved: Sequence[TextBox]
) -> list[TextBox]:
    """Choose the captions that fit, in descending order of score.

    Args:
        annotations: In ascending order of score.
        image_hw: Height and width of the image.
        scale: OpenCV's font scale.
        reserved: Text that captions must not overlap.

    Returns:
        At most one caption per annotation, at the first free position: beside the box, or farther away with a line to
        it, which crosses no small box and no other caption.

    Example:
        >>> square = np.array([[20.0, 40], [60, 40], [60, 60], [20, 60]])
        >>> annotations = [Annotation(square, (255, 0, 0), "ship", 0.9)]
        >>> [text_box.text for text_box in place_captions(annotations, (100, 200), 0.36, [])]
        ['ship 0.90']
    """
    occupied = _occupied(annotations, image_hw)
    for text_box in reserved:
        occupied[text_box.rows, text_box.columns] = 1
    placed = []
    far = _far_candidates if len(annotations) <= _MAX_LEADERS else (lambda *_: iter(()))
    for annotation in reversed(annotations):
        candidates = chain(_candidates(annotation, image_hw, scale), far(annotation, image_hw, scale))
        for text_box in candidates:
            if _is_free(text_box, occupied):
                occupied[text_box.rows, text_box.columns] = 1
                if text_box.leader is not None:
                    cv2.line(occupied, *text_box.leader, 1, 3)
                placed.append(text_box)
                break
    return placed


def place_legend(annotations: Sequence[Annotation], image_height: int, scale: float) -> list[TextBox]:
    """Stack the classes that occur, with their counts, in the lower left corner; dashed ones are marked.

    Example:
        >>> annotations = [Annotation(np.zeros((4, 2)), (255, 0, 0), "ship", None)] * 2
        >>> [text_box.text for text_box in place_legend(annotations, image_height=100, scale=0.36)]
        ['ship 2']
    """
    counts = Counter((each.name, each.color, each.dashed) for each in annotations if each.name is not None)
    step = text_wh("", scale)[1] + 2
    lines = []
    for index, ((name, color, dashed), count) in enumerate(sorted(counts.items())):
        text = f"{ascii_text(name)} {count}{' (dashed)' if dashed else ''}"
        y = max(0, image_height - step * (len(counts) - index))
        lines.append(TextBox(text, slice(y, y + step), slice(3, 3 + text_wh(text, scale)[0]), color))
    return lines


def _occupied(annotations: Sequence[Annotation], image_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a mask (H, W) of small boxes and of the outlines of large ones."""
    occupied = np.zeros(image_hw, np.uint8)
    for annotation in annotations:  # one call per polygon: fillPoly leaves overlaps of one call empty
        corners = np.floor(annotation.polygon).astype(np.int32)
        if cv2.contourArea(corners) < _LARGE_AREA:
            cv2.fillPoly(occupied, [corners], 1)
        else:
            cv2.polylines(occupied, [corners], True, 1)
    return occupied


def _candidates(annotation: Annotation, image_hw: tuple[int, int], scale: float) -> list[TextBox]:
    """Place every caption just above and just below the polygon, moved into the image."""
    polygon, candidates = annotation.polygon, []
    for text in annotation.captions:
        width, height = text_wh(text, scale)
        x = int(np.clip(polygon[:, 0].mean() - width / 2, 0, max(0, image_hw[1] - width)))
        tops = (int(np.floor(polygon[:, 1].min())) - height - 1, int(np.ceil(polygon[:, 1].max())) + 2)
        for y in (int(np.clip(top, 0, max(0, image_hw[0] - height))) for top in tops):
            candidates.append(TextBox(text, slice(y, y + height), slice(x, x + width), annotation.color))
    return candidates


def _far_candidates(annotation: Annotation, image_hw: tuple[int, int], scale: float) -> Iterator[TextBox]:
    """Place the longest caption around the polygon, inside the image, near places first, with a line to the polygon."""
    center, radius = annotation.polygon.mean(0), float(np.ptp(annotation.polygon, axis=0).max()) / 2
    if not annotation.captions or not ((center > 0) & (center < image_hw[::-1])).all():
        return
    width, height = text_wh(annotation.captions[0], scale)
    for reach in _REACHES_PX:
        for x_direction, y_direction in _DIRECTIONS:
            x = round(center[0] + x_direction * (radius + reach + width / 2) - width / 2)
            y = round(center[1] + y_direction * (radius + reach + height / 2) - height / 2)
            if x < 0 or y < 0 or x + width > image_hw[1] or y + height > image_hw[0]:
                continue
            leader = _leader((x, y, x + width, y + height), annotation.polygon, image_hw)
            if leader is None:
                continue
            rows, columns = slice(y, y + height), slice(x, x + width)
            yield TextBox(annotation.captions[0], rows, columns, annotation.color, leader)


def _leader(
    text_xyxy: tuple[int, int, int, int], polygon: NDArray[np.float64], image_hw: tuple[int, int]
) -> Leader | None:
    """Return the line from the rim of a text to the nearest corner or middle of an edge of a polygon in the image."""
    ends = np.concatenate((polygon, (polygon + np.roll(polygon, 1, 0)) / 2))
    ends = ends[((ends >= 0) & (ends < image_hw[::-1])).all(1)]
    if not len(ends):
        return None
    starts = np.clip(ends, text_xyxy[:2], np.array(text_xyxy[2:]) - 1)
    nearest = int(np.square(ends - starts).sum(1).argmin())
    (x1, y1), (x2, y2) = np.floor(starts[nearest]).astype(int).tolist(), np.floor(ends[nearest]).astype(int).tolist()
    return (x1, y1), (x2, y2)


def _is_free(text_box: TextBox, occupied: NDArray[np.uint8]) -> bool:
    """Return whether a caption and its line cover nothing; the line may end inside its own box."""
    if occupied[text_box.rows, text_box.columns].any():
        return False
    if text_box.leader is None:
        return True
    start, end = np.array(text_box.leader)
    length = int(np.abs(end - start).max())
    steps = np.arange(max(0, length - 2))[:, None] / max(1, length)  # without the end, which lies on the box itself
    points = np.rint(start + steps * (end - start)).astype(int)
    return not occupied[points[:, 1], points[:, 0]].any()
