"""Compare the outputs of two forms of a model, such as an exported graph and the PyTorch model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rotated_atss.checkpoints.graph_info import BOXES, SCORES
from rotated_atss.ops.box_polygons import obb_polygons

# Rounding in float32 causes smaller differences than these limits.
MAX_SCORE_DIFFERENCE = 1e-3
MAX_CORNER_DIFFERENCE = 0.1  # pixels


@dataclass(frozen=True)
class Differences:
    """Differences between the outputs of two forms of a model, over the boxes with the highest scores.

    Attributes:
        score: Largest difference of scores.
        corner: Largest difference of the coordinates of corners, pixels. Let m be the largest of the center coordinates
            and the sides of a box. If m exceeds 1000 px, the difference is divided by m / 1000, because rounding errors
            grow with m.
        boxes: Number of compared boxes.
        share: Fraction of the compared boxes that differ by more than ``MAX_SCORE_DIFFERENCE`` or
            ``MAX_CORNER_DIFFERENCE``.

    Example:
        >>> str(Differences(score=2e-6, corner=0.00312, boxes=2000, share=0.0))
        'scores of 2000 boxes differ by at most 2e-06, their corners by at most 0.0031 px'
    """

    score: float
    corner: float
    boxes: int
    share: float

    def __str__(self) -> str:
        text = f"scores of {self.boxes} boxes differ by at most {self.score:.2g}, "
        text += f"their corners by at most {self.corner:.2g} px"
        if self.share:
            text += f"; {self.share:.1%} of the boxes differ by more than rounding"
        return text


def compare_outputs(
    actual: Mapping[str, NDArray[np.float32]], expected: Mapping[str, NDArray[np.float32]], num_boxes: int = 1000
) -> Differences:
    """Compare the outputs of two forms of a model for the same input.

    The corners of the boxes are compared instead of the sides and angles, because the same rectangle can be described
    by four combinations of sides and angle. If the angle is at the limit of the angle version, rounding decides which
    combination a model returns. The order of the corners depends on the combination as well, so each of the four
    corners is tried as the first corner, and the smallest difference counts.

    Args:
        actual: Outputs by name, for B images, A priors and C classes: ``scores`` (B, A, C), ``boxes`` (B, A, 5) and,
            for heads with centerness, ``class_scores`` (B, A, C).
        expected: Reference outputs by name.
        num_boxes: Number of boxes per image to compare. The boxes with the highest expected scores are selected. The
            score of a box is its maximum over the classes.

    Returns:
        The differences. If an output is missing or has another shape, they are infinite and ``share`` is 1.

    Example:
        >>> scores = np.array([[[0.9], [0.2]]], np.float32)
        >>> boxes = np.array([[[8, 9, 4, 2, 0], [5, 5, 3, 3, 0]]], np.float32)
        >>> same_rectangles = np.array([[[8, 9, 2, 4, np.pi / 2], [5, 5, 3, 3, np.pi / 2]]], np.float32)
        >>> compare_outputs({"scores": scores, "boxes": same_rectangles}, {"scores": scores, "boxes": boxes}).share
        0.0
    """
    if any(name not in actual or actual[name].shape != expected[name].shape for name in expected):
        return Differences(np.inf, np.inf, expected[BOXES].shape[0] * expected[BOXES].shape[1], 1.0)
    box_index = np.argsort(-expected[SCORES].max(-1), 1, kind="stable")[:, :num_boxes, None]  # (B, N, 1)

    def select_boxes(values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the values of the compared boxes, (B, N, C) or (B, N, 5)."""
        return np.take_along_axis(values, box_index, 1).astype(np.float64)

    # For each output of scores, take the largest difference over the classes, (B, N).
    score_differences = [
        np.abs(select_boxes(actual[name]) - select_boxes(expected[name])).max(-1) for name in expected if name != BOXES
    ]
    score = np.max(score_differences, 0)  # (B, N)
    actual_boxes, expected_boxes = select_boxes(actual[BOXES]), select_boxes(expected[BOXES])  # (B, N, 5)
    actual_corners, expected_corners = (  # (B, N, 4, 2)
        obb_polygons(boxes.reshape(-1, 5)).reshape(*box_index.shape[:2], 4, 2)
        for boxes in (actual_boxes, expected_boxes)
    )
    # Try each corner of the actual box as the first one. Each array is (B, N).
    corner_differences = [
        np.abs(np.roll(actual_corners, steps, -2) - expected_corners).max((-2, -1)) for steps in range(4)
    ]
    size_factor = np.maximum(np.abs(expected_boxes).max(-1) / 1000, 1)  # see Differences.corner
    corner = np.min(corner_differences, 0) / size_factor  # (B, N)
    # A NaN in either output counts as an infinite difference.
    score, corner = (np.nan_to_num(values, nan=np.inf) for values in (score, corner))
    differs = (score > MAX_SCORE_DIFFERENCE) | (corner > MAX_CORNER_DIFFERENCE)
    return Differences(float(score.max()), float(corner.max()), differs.size, float(differs.mean()))
