"""Boxes drawn on images, to inspect labels and detections at full size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.dota.classes import CLASSES, PALETTE
from rotated_atss.errors import UserError
from rotated_atss.io.png import Image
from rotated_atss.visualization._checks import check_count, copy_as_bgr
from rotated_atss.visualization.captions import Annotation, Color, place_captions, place_legend, write_text

_SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates
_FRONT = (255, 255, 255)


def draw_boxes(
    image_bgr: Image,
    polygons: Any,
    labels: Sequence[str] | None = None,
    scores: NDArray[Any] | Sequence[float] | None = None,
    colors: Mapping[str, Color] | Sequence[Color] | None = None,
    *,
    thickness: int = 1,
    box_only: bool = False,
    score_threshold: float = 0.0,
    mark_front: bool = False,
    legend: bool = False,
    text_scale: float = 0.36,
) -> Image:
    """Draw the outlines of polygons or oriented boxes, with class and score, on a copy of an image.

    A caption that would hide a small box, the outline of a large box or another caption is shortened to the score,
    and left out where that does not fit either.

    Args:
        image_bgr: (H, W, 3), uint8, BGR, or gray (H, W).
        polygons: Array or tensor, in pixels; the upper-left corner of the first pixel is (0, 0). (N, 8) or (N, 4, 2)
            corners, or (N, 5) oriented boxes ``cx, cy, w, h, angle``.
        labels: Class name per polygon.
        scores: Score per polygon. Higher scores are drawn on top.
        colors: RGB per class name, or RGB per polygon. By default a class has its color of ``PALETTE``.
        thickness: Line width of the outlines, pixels.
        box_only: Draw outlines without captions.
        score_threshold: Polygons with a lower score are not drawn.
        mark_front: Draw the first edge, which is the front of the object in DOTA's corner order, in white.
        legend: Write the classes with their counts into the lower left corner.
        text_scale: OpenCV's font scale; 0.36 is about 8 pixels high.

    Returns:
        A new image, (H, W, 3), uint8, BGR.

    Raises:
        UserError: The image is unsupported, the polygons have another shape or are not finite, or there is not one
            label, score or color per polygon.

    Example:
        >>> import numpy as np
        >>> image = np.zeros((60, 80, 3), np.uint8)
        >>> drawn = draw_boxes(image, np.array([[10, 10, 40, 10, 40, 30, 10, 30]]), ["ship"], [0.9])
        >>> drawn.shape, bool(drawn.any()), bool(image.any())
        ((60, 80, 3), True, False)
        >>> bool((draw_boxes(image, np.array([[25.0, 20, 30, 20, 0]]), ["ship"], [0.9]) == drawn).all())
        True
    """
    canvas = copy_as_bgr(image_bgr)
    annotations = _annotations(polygons, labels, scores, colors, score_threshold)
    annotations.sort(key=lambda annotation: -1.0 if annotation.score is None else annotation.score)
    for annotation in annotations:
        _draw_outline(canvas, annotation, thickness, mark_front)
    lines = place_legend(annotations, canvas.shape[0], text_scale) if legend else []
    captions = [] if box_only else place_captions(annotations, canvas.shape[:2], text_scale, lines)
    for text_box in captions + lines:
        write_text(canvas, text_box, text_scale)
    return canvas


def class_color(name: str) -> Color:
    """Return the RGB color of a class: its entry of ``PALETTE``, or one derived from the name.

    Example:
        >>> class_color("plane") == class_color("plane")
        True
    """
    known = CLASSES["v2.0"]
    index = known.index(name) if name in known else sum(ord(letter) * 31**i for i, letter in enumerate(name))
    return PALETTE[index % len(PALETTE)]


def class_colors(names: Iterable[str]) -> dict[str, Color]:
    """Return an RGB color for each class: that of :func:`class_color`, or the next that no class before it has.

    Classes of DOTA have their color of ``PALETTE``; the colors of other classes differ from each other, as far as
    ``PALETTE`` has enough. The order of the names has no influence.

    Example:
        >>> colors = class_colors(["truck", "tree", "pier"])
        >>> len(set(colors.values()))
        3
    """
    colors, used = {}, set[Color]()
    for name in sorted(set(names)):
        color = class_color(name)
        if name not in CLASSES["v2.0"]:
            start = PALETTE.index(color)
            free = [other for other in PALETTE[start:] + PALETTE[:start] if other not in used]
            color = free[0] if free else color
            used.add(color)
        colors[name] = color
    return colors


def _annotations(
    polygons: Any,
    labels: Sequence[str] | None,
    scores: NDArray[Any] | Sequence[float] | None,
    colors: Mapping[str, Color] | Sequence[Color] | None,
    score_threshold: float,
) -> list[Annotation]:
    quads = _quads(polygons)
    check_count("labels", labels, len(quads))
    check_count("scores", scores, len(quads))
    names = [None] * len(quads) if labels is None else [str(name) for name in labels]
    numbers = [None] * len(quads) if scores is None else [float(score) for score in scores]
    return [
        Annotation(quad, rgb[::-1], name, score)
        for quad, rgb, name, score in zip(quads, _colors(names, colors), names, numbers)
        if score is None or score >= score_threshold
    ]


def _quads(polygons: Any) -> NDArray[np.float64]:
    """Convert (N, 8), (N, 4, 2) or (N, 5) boxes to (N, 4, 2) corners."""
    values = np.asarray(polygons, np.float64)
    if not values.size:
        return np.empty((0, 4, 2))
    if values.shape[1:] not in ((8,), (4, 2), (5,)):
        raise UserError(f"polygons must have shape (N, 8), (N, 4, 2) or (N, 5), got {values.shape}")
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0, 0])
        raise UserError(f"polygons must be finite, got {values[row].tolist()} in row {row}")
    if values.shape[1:] == (5,):
        import torch  # not needed to draw polygons

        from rotated_atss.ops.boxes import obb_to_corners

        return obb_to_corners(torch.from_numpy(values)).numpy()
    return values.reshape(-1, 4, 2)


def _colors(names: Sequence[str | None], colors: Mapping[str, Color] | Sequence[Color] | None) -> list[Color]:
    if colors is not None and not isinstance(colors, Mapping):
        check_count("colors", colors, len(names))
        return [(int(red), int(green), int(blue)) for red, green, blue in colors]
    chosen = colors or {}
    return [chosen.get(name) or class_color(name) if name is not None else PALETTE[0] for name in names]


def _draw_outline(canvas: Image, annotation: Annotation, thickness: int, mark_front: bool) -> None:
    # OpenCV's integer coordinates are pixel centers; coordinates of polygons are pixel corners.
    corners = np.round((annotation.polygon - 0.5) * (1 << _SHIFT)).astype(np.int32)
    cv2.polylines(canvas, [corners], True, annotation.color, thickness, cv2.LINE_AA, _SHIFT)
    if mark_front:
        cv2.line(canvas, corners[0].tolist(), corners[1].tolist(), _FRONT, thickness, cv2.LINE_AA, _SHIFT)
