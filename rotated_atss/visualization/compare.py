"""Draw pictures for the log of a training run: ground truth next to detections, or points such as prior centers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.errors import UserError
from rotated_atss.io.png import Image
from rotated_atss.visualization._checks import copy_as_bgr
from rotated_atss.visualization.contact_sheet import contact_sheet
from rotated_atss.visualization.drawing import draw_boxes
from rotated_atss.visualization.fixed_point import SHIFT, to_fixed_point
from rotated_atss.visualization.palettes import ClassStyle, Color, class_styles

MAX_SIDE = 640  # pixels; larger images are reduced to this size


def draw_truth_and_detections(
    image_bgr: Image,
    truth: tuple[Any, Sequence[str]],
    detections: tuple[Any, Sequence[str], Any],
    styles: Mapping[str, ClassStyle] | None = None,
    *,
    score_threshold: float = 0.3,
    max_side: int = MAX_SIDE,
) -> Image:
    """Draw ground truth and detections on two copies of an image, side by side.

    Args:
        image_bgr: (H, W, 3), uint8, BGR.
        truth: Corners (G, 8) and class names of the ground-truth objects.
        detections: Corners (N, 8), class names and scores (N,) of the detections.
        styles: Styles by class name; None uses :func:`rotated_atss.visualization.palettes.class_styles`.
        score_threshold: Detections with a lower score are not drawn.
        max_side: Largest longer side in pixels. Larger images are reduced to this size before they are drawn on.

    Example:
        >>> square = np.array([[10.0, 10, 40, 10, 40, 30, 10, 30]])
        >>> image = np.zeros((60, 80, 3), np.uint8)
        >>> drawn = draw_truth_and_detections(image, (square, ["ship"]), (square, ["ship"], [0.9]))
        >>> drawn.shape  # two images side by side, with titles and margins
        (90, 178, 3)
    """
    image, scale = _shrink(image_bgr, max_side)
    truth_polygons, truth_names = _corners(truth[0]), truth[1]
    det_polygons, det_names, scores = _corners(detections[0]), detections[1], np.asarray(detections[2], np.float64)
    styles = class_styles([*truth_names, *det_names]) if styles is None else styles
    colors = {name: style.color for name, style in styles.items()}
    dashed = [name for name, style in styles.items() if style.dashed]
    left = draw_boxes(image, truth_polygons * scale, truth_names, colors=colors, dashed=dashed)
    right = draw_boxes(
        image, det_polygons * scale, det_names, scores, colors, dashed=dashed, score_threshold=score_threshold
    )
    titles = [
        f"ground truth: {len(truth_polygons)}",
        f"detections: {int((scores >= score_threshold).sum())}, score >= {score_threshold}",
    ]
    return contact_sheet([left, right], titles, columns=2, cell_wh=(image.shape[1], image.shape[0]))


def draw_points(
    image_bgr: Image,
    points: NDArray[np.floating],
    colors: Sequence[Color],
    radius: float = 2.0,
    max_side: int = MAX_SIDE,
) -> Image:
    """Draw filled points on a copy of an image.

    Args:
        image_bgr: (H, W, 3), uint8, BGR.
        points: (P, 2) x and y in pixels; the upper-left corner of the first pixel is (0, 0).
        colors: RGB per point.
        radius: Radius in pixels of the returned image, which may be smaller than ``image_bgr``.
        max_side: Largest longer side in pixels. Larger images are reduced to this size before they are drawn on.

    Raises:
        UserError: The number of colors is not the number of points.

    Example:
        >>> drawn = draw_points(np.zeros((20, 20, 3), np.uint8), np.array([[10.5, 5.5]]), [(255, 0, 0)])
        >>> drawn[5, 10].tolist()  # BGR
        [0, 0, 255]
    """
    if len(colors) != len(points):
        raise UserError(f"there must be one color per point, got {len(colors)} for {len(points)}")
    canvas, scale = _shrink(image_bgr, max_side)
    centers = to_fixed_point(np.asarray(points, np.float64).reshape(-1, 2) * scale)
    fixed_point_radius = round(radius * (1 << SHIFT))  # OpenCV reads radius and center with SHIFT fractional bits
    for center, (red, green, blue) in zip(centers.tolist(), colors):
        cv2.circle(canvas, center, fixed_point_radius, (blue, green, red), cv2.FILLED, cv2.LINE_AA, SHIFT)
    return canvas


def _shrink(image_bgr: Image, max_side: int) -> tuple[Image, float]:
    """Return a copy of an image, resized so that its longer side is at most ``max_side``, and the resize factor."""
    image = copy_as_bgr(image_bgr)
    scale = min(1.0, max_side / max(image.shape[:2]))
    if scale == 1.0:
        return image, scale
    width, height = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8), scale


def _corners(polygons: Any) -> NDArray[np.float64]:
    return np.asarray(polygons, np.float64).reshape(-1, 8)
