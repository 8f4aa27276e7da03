"""Draw the input of a network: boxes, ignored boxes and the border of the padding on the image, with a caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.io.png import Image
from rotated_atss.ops.box_polygons import box_polygons, hbb_polygons
from rotated_atss.visualization._checks import copy_as_bgr
from rotated_atss.visualization.drawing import draw_boxes
from rotated_atss.visualization.fixed_point import SHIFT, to_fixed_point
from rotated_atss.visualization.outlines import draw_outline
from rotated_atss.visualization.palettes import Color, class_color
from rotated_atss.visualization.text_boxes import ascii_text

_CAPTION_BACKGROUND = (24, 24, 24)  # BGR
_CAPTION_COLOR = (230, 230, 230)  # BGR
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE = 0.42
_LINE_HEIGHT_PX = 16
_BORDER_COLOR: Color = (255, 255, 255)
_MIN_LEGEND_PX = 800  # images of a smaller height have no legend, because it would hide objects


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
    """Draw the ground-truth boxes with which a network is trained on its input image.

    Outlines of boxes are solid. Outlines of ignored boxes, on which no loss is computed, are dashed. Oriented boxes
    have a line from the center along the width. The border of the padding is a dashed white line. Images with a height
    of at least 800 px get a legend.

    Args:
        image_bgr: (H, W, 3), uint8, BGR, with padding on the right and at the bottom.
        boxes: (N, 5) ``cx, cy, w, h, angle`` or (N, 4) ``x1, y1, x2, y2``, pixels and radians.
        labels: Class name of each box.
        ignored_boxes: Ignored boxes, (I, 5) or (I, 4).
        ignored_labels: Class name of each ignored box.
        image_wh: Width and height of the image without padding; None draws no border.
        colors: RGB by class name.

    Returns:
        A new image, (H, W, 3), uint8, BGR.

    Raises:
        UserError: The same errors as :func:`rotated_atss.visualization.drawing.draw_boxes`.

    Example:
        >>> image, box = np.zeros((60, 80, 3), np.uint8), [40.0, 30, 20, 10, 0]
        >>> drawn = draw_network_input(image, [box], ["ship"])
        >>> drawn.shape
        (60, 80, 3)
        >>> drawn[35, 40].any().item()  # on the lower edge of the box
        True
    """
    polygons = box_polygons(boxes)
    picture = draw_boxes(image_bgr, polygons, labels, colors=colors, legend=len(image_bgr) >= _MIN_LEGEND_PX)
    for box, name in zip(np.asarray(boxes, np.float64), labels):
        if len(box) == 5:
            _draw_direction(picture, box, _bgr(name, colors))
    for polygon, name in zip(box_polygons(ignored_boxes), ignored_labels):
        draw_outline(picture, polygon.reshape(4, 2), _bgr(name, colors), dashed=True)
    if image_wh is not None and image_wh != (picture.shape[1], picture.shape[0]):
        width, height = image_wh
        border = hbb_polygons(np.array([[0.0, 0, width, height]])).reshape(4, 2)
        draw_outline(picture, border, _BORDER_COLOR, dashed=True)
    return picture


def add_caption(image_bgr: Image, parts: Sequence[str]) -> Image:
    """Return an image with a strip of text above it.

    Args:
        image_bgr: (H, W, 3), uint8, BGR.
        parts: Parts of the text, joined by " | ". Lines break between parts, or between the words of a part that is
            longer than a line.

    Example:
        >>> add_caption(np.zeros((60, 400, 3), np.uint8), ["P0001.png", "flip none"]).shape
        (80, 400, 3)
    """
    image = copy_as_bgr(image_bgr)
    lines = _wrap([ascii_text(part) for part in parts], image.shape[1] - 8)
    strip = np.full((len(lines) * _LINE_HEIGHT_PX + 4, image.shape[1], 3), _CAPTION_BACKGROUND, np.uint8)
    for index, line in enumerate(lines):
        baseline_start = (4, index * _LINE_HEIGHT_PX + 14)
        cv2.putText(strip, line, baseline_start, _FONT, _FONT_SCALE, _CAPTION_COLOR, 1, cv2.LINE_AA)
    return np.concatenate([strip, image])


def _wrap(parts: Sequence[str], width: int) -> list[str]:
    """Join parts into lines of at most ``width`` pixels. A word that is wider than this has a line of its own."""
    lines = [""]
    for part in parts:
        separator = " | "
        pieces = [part] if _text_width(part) <= width else part.split(" ")
        for piece in pieces:
            extended_line = f"{lines[-1]}{separator}{piece}" if lines[-1] else piece
            if lines[-1] and _text_width(extended_line) > width:
                lines.append(piece)
            else:
                lines[-1] = extended_line
            separator = " "  # all pieces of a part after the first one are words, so a space separates them
    return lines


def _text_width(text: str) -> int:
    return int(cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)[0][0])


def _draw_direction(canvas: Image, box: NDArray[np.float64], color_bgr: Color) -> None:
    """Draw a line from the center of an oriented box along its width to the edge of the box."""
    cx, cy, width, _, angle = box.tolist()
    edge_middle = (cx + width / 2 * np.cos(angle), cy + width / 2 * np.sin(angle))
    start, end = to_fixed_point(np.array([(cx, cy), edge_middle])).tolist()
    cv2.line(canvas, start, end, color_bgr, 1, cv2.LINE_AA, SHIFT)


def _bgr(name: str, colors: Mapping[str, Color] | None) -> Color:
    red, green, blue = (colors or {}).get(name) or class_color(name)
    return blue, green, red
