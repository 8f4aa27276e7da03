"""Pictures of network inputs: boxes, ignored boxes, the border of the padding, and a caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.io.png import Image
from rotated_atss.visualization._checks import copy_as_bgr
from rotated_atss.visualization.drawing import draw_boxes
from rotated_atss.visualization.palettes import Color, class_color
from rotated_atss.visualization.text_boxes import ascii_text

_DASH_PX, _GAP_PX = 6, 4
_SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates
_STRIP, _TEXT = (24, 24, 24), (230, 230, 230)
_FONT, _FONT_SCALE, _LINE_PX = cv2.FONT_HERSHEY_SIMPLEX, 0.42, 16
_BORDER: Color = (255, 255, 255)
_MIN_LEGEND_PX = 800  # height of an image; on smaller ones the legend would hide objects


def draw_network_input(
    image_bgr: Image,
    boxes: Any,
    labels: Sequence[str],
    ignored_boxes: Any = (),
    ignored_labels: Sequence[str] = (),
    *,
    image_wh: tuple[int, int] | None = None,
    colors: Mapping[str, Color] | None = None,
) -> Image:
    """Draw boxes as lines, ignored boxes as dashed lines, and the border of the padding as a dashed white line.

    Images of at least 800 px in height have a legend.

    Args:
        image_bgr: (H, W, 3), uint8, BGR, with padding on the right and at the bottom.
        boxes: (N, 5) ``cx, cy, w, h, angle``, with a line from the center along the width, or (N, 4)
            ``x1, y1, x2, y2``.
        labels: Class name of each box.
        ignored_boxes: (I, 5) or (I, 4).
        ignored_labels: Class name of each ignored box.
        image_wh: Width and height without padding; None draws no border.
        colors: RGB by class name.

    Returns:
        A new image, (H, W, 3), uint8, BGR.

    Raises:
        UserError: As :func:`rotated_atss.visualization.drawing.draw_boxes`.

    Example:
        >>> drawn = draw_network_input(np.zeros((60, 80, 3), np.uint8), [[40.0, 30, 20, 10, 0]], ["ship"])
        >>> drawn.shape, bool(drawn[35, 40].any())
        ((60, 80, 3), True)
    """
    polygons = to_polygons(boxes)
    picture = draw_boxes(image_bgr, polygons, labels, colors=colors, legend=len(image_bgr) >= _MIN_LEGEND_PX)
    for row, name in zip(np.asarray(boxes, np.float64), labels):
        if len(row) == 5:
            _draw_direction(picture, row, _bgr(name, colors))
    for polygon, name in zip(to_polygons(ignored_boxes), ignored_labels):
        draw_dashed(picture, polygon, _bgr(name, colors))
    if image_wh is not None and image_wh != (picture.shape[1], picture.shape[0]):
        width, height = image_wh
        draw_dashed(picture, np.array([0, 0, width, 0, width, height, 0, height], np.float64), _BORDER)
    return picture


def to_polygons(boxes: Any) -> NDArray[np.float64]:
    """Return the corners (N, 8) of oriented boxes (N, 5) or horizontal boxes (N, 4).

    Example:
        >>> to_polygons([[1, 2, 11, 8]]).tolist()
        [[1.0, 2.0, 11.0, 2.0, 11.0, 8.0, 1.0, 8.0]]
    """
    values = np.asarray(boxes, np.float64)
    if not values.size:
        return np.empty((0, 8))
    if values.shape[1] == 4:
        return values[:, [0, 1, 2, 1, 2, 3, 0, 3]]
    import torch

    from rotated_atss.ops.boxes import obb_to_poly

    return obb_to_poly(torch.from_numpy(values)).numpy()


def draw_dashed(canvas: Image, polygon: NDArray[np.float64], color_bgr: Color) -> None:
    """Draw the outline (8,) of a polygon as a dashed line, in place.

    Example:
        >>> canvas = np.zeros((20, 40, 3), np.uint8)
        >>> draw_dashed(canvas, np.array([2.0, 2, 38, 2, 38, 18, 2, 18]), (255, 255, 255))
        >>> columns = (canvas[:4] > 100).any(axis=(0, 2))
        >>> bool(columns.any()), bool(columns.all())
        (True, False)
    """
    corners = polygon.reshape(4, 2) - 0.5  # OpenCV's integer coordinates are pixel centers
    for start, stop in zip(corners, np.roll(corners, -1, axis=0)):
        length = float(np.linalg.norm(stop - start))
        for begin in np.arange(0.0, length, _DASH_PX + _GAP_PX):
            ends = np.minimum(np.array([begin, begin + _DASH_PX]) / max(length, 1e-9), 1.0)
            first, last = (start + at * (stop - start) for at in ends)
            _draw_line(canvas, first, last, color_bgr)


def add_caption(image_bgr: Image, parts: Sequence[str]) -> Image:
    """Return an image with a strip of text above it.

    Args:
        image_bgr: (H, W, 3), uint8, BGR.
        parts: Parts of the text, separated by " | ". Lines break between parts, and within those that are too long.

    Example:
        >>> add_caption(np.zeros((60, 400, 3), np.uint8), ["P0001.png", "flip none"]).shape
        (80, 400, 3)
    """
    image = copy_as_bgr(image_bgr)
    lines = _wrap([ascii_text(part) for part in parts], image.shape[1] - 8)
    strip = np.full((len(lines) * _LINE_PX + 4, image.shape[1], 3), _STRIP, np.uint8)
    for row, line in enumerate(lines):
        origin = (4, row * _LINE_PX + 14)
        cv2.putText(strip, line, origin, _FONT, _FONT_SCALE, _TEXT, 1, cv2.LINE_AA)
    return np.concatenate([strip, image])


def _wrap(parts: Sequence[str], width: int) -> list[str]:
    """Join parts into lines of at most ``width`` pixels."""
    lines = [""]
    for number, part in enumerate(parts):
        separator = " | " if number else ""
        for word in [part] if _text_width(part) <= width else part.split(" "):
            joined = f"{lines[-1]}{separator}{word}" if lines[-1] else word
            if lines[-1] and _text_width(joined) > width:
                lines.append(word)
            else:
                lines[-1] = joined
            separator = " "
    return lines


def _text_width(text: str) -> int:
    return int(cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)[0][0])


def _draw_direction(canvas: Image, box: NDArray[np.float64], color_bgr: Color) -> None:
    """Draw a line from the center along the width, to the middle of the side that it reaches."""
    center = box[:2] - 0.5
    end = center + box[2] / 2 * np.array([np.cos(box[4]), np.sin(box[4])])
    _draw_line(canvas, center, end, color_bgr)


def _draw_line(canvas: Image, start: NDArray[np.float64], stop: NDArray[np.float64], color_bgr: Color) -> None:
    first, last = (np.round(point * (1 << _SHIFT)).astype(np.int32).tolist() for point in (start, stop))
    cv2.line(canvas, first, last, color_bgr, 1, cv2.LINE_AA, _SHIFT)


def _bgr(name: str, colors: Mapping[str, Color] | None) -> Color:
    red, green, blue = (colors or {}).get(name) or class_color(name)
    return blue, green, red
