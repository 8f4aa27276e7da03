"""Place the captions of boxes and the class legend so that they hide neither boxes nor each other.

A caption that is not directly at its box has a leader: a line to the box.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.visualization.text_boxes import Annotation, Leader, TextBox, ascii_text, text_wh

_MAX_BOXES_WITH_LEADERS = 200  # with more boxes, captions with leaders would hide the image
_DISTANCES_PX = (10, 24, 44)  # distances of a far caption from its box, tried in this order
# The 16 directions from a box to a far caption start with up and go around clockwise.
_DIRECTIONS = tuple((math.cos(k * math.pi / 8), math.sin(k * math.pi / 8)) for k in range(-4, 12))
_LARGE_AREA = 10_000  # px^2; captions of other boxes can be inside boxes that are at least this large
_LEGEND_X = 3  # distance of the legend from the left border of the image, pixels


def place_captions(
    annotations: Sequence[Annotation], image_hw: tuple[int, int], scale: float, reserved: Sequence[TextBox]
) -> list[TextBox]:
    """Place the captions that fit, in descending order of score.

    A box has one or several alternative captions. They are tried from the longest to the shortest, directly above and
    below the box, and the first one that fits is placed. If none fits there, the longest caption is placed farther
    away, with a leader. Neither the caption nor the leader covers a small box, the outline of a large box or other
    text.

    Args:
        annotations: Boxes in ascending order of score.
        image_hw: Height and width of the image.
        scale: OpenCV's font scale.
        reserved: Text boxes that captions must not overlap, such as the legend.

    Returns:
        At most one caption per box, in descending order of score.

    Example:
        >>> square = np.array([[20.0, 40], [60, 40], [60, 60], [20, 60]])
        >>> annotations = [Annotation(square, (255, 0, 0), "ship", 0.9)]
        >>> [text_box.text for text_box in place_captions(annotations, (100, 200), 0.36, [])]
        ['ship 0.90']
    """
    occupied = _box_mask(annotations, image_hw)
    for text_box in reserved:
        occupied[text_box.rows, text_box.columns] = 1
    placed_captions = []
    for annotation in reversed(annotations):
        positions: Iterable[TextBox] = _near_positions(annotation, image_hw, scale)
        if len(annotations) <= _MAX_BOXES_WITH_LEADERS:
            positions = chain(positions, _far_positions(annotation, image_hw, scale))
        for text_box in positions:
            if _is_free(text_box, occupied):
                occupied[text_box.rows, text_box.columns] = 1
                if text_box.leader is not None:
                    cv2.line(occupied, *text_box.leader, color=1, thickness=3)
                placed_captions.append(text_box)
                break
    return placed_captions


def place_legend(annotations: Sequence[Annotation], image_height: int, scale: float) -> list[TextBox]:
    """Place the legend in the lower left corner: one line per class with its number of boxes.

    Example:
        >>> annotations = [Annotation(np.zeros((4, 2)), (255, 0, 0), "ship", None)] * 2
        >>> [text_box.text for text_box in place_legend(annotations, image_height=100, scale=0.36)]
        ['ship 2']
    """
    counts = Counter((each.name, each.color, each.dashed) for each in annotations if each.name is not None)
    line_height = text_wh("", scale)[1] + 2
    lines = []
    for index, ((name, color, dashed), count) in enumerate(sorted(counts.items())):
        text = f"{ascii_text(name)} {count}{' (dashed)' if dashed else ''}"
        y = max(0, image_height - line_height * (len(counts) - index))
        width = text_wh(text, scale)[0]
        lines.append(TextBox(text, slice(y, y + line_height), slice(_LEGEND_X, _LEGEND_X + width), color))
    return lines


def _box_mask(annotations: Sequence[Annotation], image_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a mask (H, W) that is 1 in small boxes and on the outlines of large boxes."""
    mask = np.zeros(image_hw, np.uint8)
    # Each polygon is filled by its own call, because one call of fillPoly leaves overlaps of several polygons empty.
    for annotation in annotations:
        corners = np.floor(annotation.polygon).astype(np.int32)
        if cv2.contourArea(corners) < _LARGE_AREA:
            cv2.fillPoly(mask, [corners], 1)
        else:
            cv2.polylines(mask, [corners], True, 1)
    return mask


def _near_positions(annotation: Annotation, image_hw: tuple[int, int], scale: float) -> list[TextBox]:
    """Return each caption of a box above and then below the box, longest caption first, moved into the image."""
    polygon, positions = annotation.polygon, []
    for text in annotation.captions:
        width, height = text_wh(text, scale)
        x = int(np.clip(polygon[:, 0].mean() - width / 2, 0, max(0, image_hw[1] - width)))
        top_above_box = int(np.floor(polygon[:, 1].min())) - height - 1
        top_below_box = int(np.ceil(polygon[:, 1].max())) + 2
        for top in (top_above_box, top_below_box):
            y = int(np.clip(top, 0, max(0, image_hw[0] - height)))
            positions.append(TextBox(text, slice(y, y + height), slice(x, x + width), annotation.color))
    return positions


def _far_positions(annotation: Annotation, image_hw: tuple[int, int], scale: float) -> Iterator[TextBox]:
    """Yield the longest caption of a box, with a leader, at positions around the box. Near positions come first.

    Positions are inside the image. There are none if the center of the box is outside the image.
    """
    center = annotation.polygon.mean(0)
    radius = float(np.ptp(annotation.polygon, axis=0).max()) / 2  # half the longer side of the circumscribed box
    if not annotation.captions or not ((center > 0) & (center < image_hw[::-1])).all():
        return
    width, height = text_wh(annotation.captions[0], scale)
    for distance in _DISTANCES_PX:
        for x_direction, y_direction in _DIRECTIONS:
            x = round(center[0] + x_direction * (radius + distance + width / 2) - width / 2)
            y = round(center[1] + y_direction * (radius + distance + height / 2) - height / 2)
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
    """Return the shortest line from a text to a polygon.

    The line ends at a corner of the polygon or in the middle of an edge.

    Returns:
        The start at the text and the end at the polygon; None if all corners and middles are outside the image.
    """
    corners_and_middles = np.concatenate((polygon, (polygon + np.roll(polygon, 1, 0)) / 2))
    in_image = ((corners_and_middles >= 0) & (corners_and_middles < image_hw[::-1])).all(1)
    ends = corners_and_middles[in_image]
    if not len(ends):
        return None
    # For each end, the line would start at the point of the text that is nearest to this end.
    starts = np.clip(ends, text_xyxy[:2], np.array(text_xyxy[2:]) - 1)
    nearest = int(np.square(ends - starts).sum(1).argmin())
    (x1, y1), (x2, y2) = np.floor([starts[nearest], ends[nearest]]).astype(int).tolist()
    return (x1, y1), (x2, y2)


def _is_free(text_box: TextBox, occupied: NDArray[np.uint8]) -> bool:
    """Return whether all pixels of a caption and its leader are free. The end of the leader is not checked."""
    if occupied[text_box.rows, text_box.columns].any():
        return False
    if text_box.leader is None:
        return True
    start, end = np.array(text_box.leader)
    length = int(np.abs(end - start).max())
    # One point per pixel of the leader is checked, except the last three pixels, which lie on the outline of the box.
    fractions = np.arange(max(0, length - 2))[:, None] / max(1, length)
    points = np.rint(start + fractions * (end - start)).astype(int)
    return not occupied[points[:, 1], points[:, 0]].any()
