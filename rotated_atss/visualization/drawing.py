"""Draw boxes with captions on images, to inspect labels and detections at full size."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotated_atss.dota.classes import PALETTE as DOTA_COLORS
from rotated_atss.errors import UserError
from rotated_atss.io.png import Image
from rotated_atss.ops.box_polygons import obb_polygons
from rotated_atss.visualization._checks import check_count, copy_as_bgr
from rotated_atss.visualization.captions import place_captions, place_legend
from rotated_atss.visualization.outlines import draw_outline
from rotated_atss.visualization.palettes import Color, class_color
from rotated_atss.visualization.text_boxes import Annotation, draw_leader, write_text


def draw_boxes(
    image_bgr: Image,
    polygons: Any,
    labels: Sequence[str] | None = None,
    scores: NDArray[Any] | Sequence[float] | None = None,
    colors: Mapping[str, Color] | Sequence[Color] | None = None,
    *,
    dashed: Collection[str] = (),
    thickness: int = 1,
    box_only: bool = False,
    score_threshold: float = 0.0,
    mark_front: bool = False,
    legend: bool = False,
    text_scale: float = 0.36,
) -> Image:
    """Draw the outlines of polygons or oriented boxes, with class and score, on a copy of an image.

    No caption hides a small box, the outline of a large box or another caption. A caption that has no space next to its
    box is shortened to the score. If there is no space for the score either, the whole caption is moved to a free place
    and connected to the box by a line. If there is no free place, the box has no caption.

    Args:
        image_bgr: (H, W, 3), uint8, BGR, or gray (H, W).
        polygons: Array or tensor of corners (N, 8) or (N, 4, 2), or of oriented boxes (N, 5) ``cx, cy, w, h, angle``,
            in pixels. The upper-left corner of the first pixel is (0, 0).
        labels: Class name per polygon.
        scores: Score per polygon. Polygons with higher scores are drawn on top.
        colors: RGB by class name, or one RGB per polygon. Classes that are not listed have the color that
            :func:`rotated_atss.visualization.palettes.class_color` returns.
        dashed: Classes whose outlines are dashed.
        thickness: Line width of the outlines, pixels.
        box_only: Draw outlines without captions.
        score_threshold: Polygons with a lower score are not drawn.
        mark_front: Draw the edge from the first to the second corner white with a black rim. In DOTA's corner order,
            this edge is the front of the object.
        legend: Write the classes with their counts into the lower left corner.
        text_scale: OpenCV's font scale; 0.36 is about 8 pixels high.

    Returns:
        A new image, (H, W, 3), uint8, BGR.

    Raises:
        UserError: The image is unsupported, the polygons have another shape or are not finite, or the number of labels,
            scores or colors is not the number of polygons.

    Example:
        >>> import numpy as np
        >>> image = np.zeros((60, 80, 3), np.uint8)
        >>> corners = np.array([[10, 10, 40, 10, 40, 30, 10, 30]])
        >>> drawn = draw_boxes(image, corners, ["ship"], [0.9])
        >>> drawn.shape
        (60, 80, 3)
        >>> oriented_boxes = np.array([[25.0, 20, 30, 20, 0]])  # the same rectangle
        >>> np.array_equal(draw_boxes(image, oriented_boxes, ["ship"], [0.9]), drawn)
        True
        >>> image.any().item()  # the given image is unchanged
        False
    """
    canvas = copy_as_bgr(image_bgr)
    annotations = _annotations(polygons, labels, scores, colors, dashed, score_threshold)
    # Higher scores are drawn last and are therefore on top. Without scores, all keys are equal, and the sort, which is
    # stable, keeps the order of the polygons.
    annotations.sort(key=lambda annotation: -1.0 if annotation.score is None else annotation.score)
    for annotation in annotations:
        draw_outline(
            canvas, annotation.polygon, annotation.color, thickness, dashed=annotation.dashed, mark_front=mark_front
        )
    legend_lines = place_legend(annotations, canvas.shape[0], text_scale) if legend else []
    captions = [] if box_only else place_captions(annotations, canvas.shape[:2], text_scale, legend_lines)
    for text_box in captions:
        draw_leader(canvas, text_box)
    for text_box in captions + legend_lines:
        write_text(canvas, text_box, text_scale)
    return canvas


def _annotations(
    polygons: Any,
    labels: Sequence[str] | None,
    scores: NDArray[Any] | Sequence[float] | None,
    colors: Mapping[str, Color] | Sequence[Color] | None,
    dashed: Collection[str],
    score_threshold: float,
) -> list[Annotation]:
    corners = _to_corners(polygons)
    check_count("labels", labels, len(corners))
    check_count("scores", scores, len(corners))
    names = [None] * len(corners) if labels is None else [str(name) for name in labels]
    score_list = [None] * len(corners) if scores is None else [float(score) for score in scores]
    return [
        Annotation(polygon, (blue, green, red), name, score, dashed=name in dashed)
        for polygon, (red, green, blue), name, score in zip(corners, _colors(names, colors), names, score_list)
        if score is None or score >= score_threshold
    ]


def _to_corners(polygons: Any) -> NDArray[np.float64]:
    """Convert polygons, (N, 8) or (N, 4, 2), or oriented boxes, (N, 5), to corners, (N, 4, 2)."""
    values = np.asarray(polygons, np.float64)
    if not values.size:
        return np.empty((0, 4, 2))
    if values.shape[1:] not in ((8,), (4, 2), (5,)):
        raise UserError(f"polygons must have shape (N, 8), (N, 4, 2) or (N, 5), got {values.shape}")
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0, 0])
        raise UserError(f"polygons must be finite, got {values[row].tolist()} in row {row}")
    if values.shape[1:] == (5,):
        values = obb_polygons(values)
    return values.reshape(-1, 4, 2)


def _colors(names: Sequence[str | None], colors: Mapping[str, Color] | Sequence[Color] | None) -> list[Color]:
    """Return the RGB color of each polygon. ``colors`` is the argument of :func:`draw_boxes`."""
    if colors is not None and not isinstance(colors, Mapping):
        check_count("colors", colors, len(names))
        return [(int(red), int(green), int(blue)) for red, green, blue in colors]
    color_by_name = colors or {}

    def color_of(name: str | None) -> Color:
        if name is None:
            return DOTA_COLORS[0]
        return color_by_name.get(name) or class_color(name)

    return [color_of(name) for name in names]
