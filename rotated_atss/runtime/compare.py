"""Compare the outputs of two forms of a model, such as an exported graph and the PyTorch model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rotated_atss.checkpoints.graph_info import BOXES, SCORES
from rotated_atss.ops.box_polygons import obb_polygons

# above what rounding in float32 explains
MAX_SCORE_DIFFERENCE = 1e-3
MAX_CORNER_DIFFERENCE = 0.1  # pixels


@dataclass(frozen=True)
class Differences:
    """Differences between the outputs of two forms of a model, over the boxes with the highest scores.

    Attributes:
        score: Largest difference of scores.
        corner: Largest difference of the coordinates of corners, pixels. For a box whose largest coordinate or side m
            exceeds 1000 px, the difference is divided by m / 1000, because rounding errors grow with m.
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
        text = f"scores of {self.boxes} boxes differ by at most {self.score:.2g}, their corners by at most"
        return f"{text} {self.corner:.2g} px" + (f"; {self.share:.1%} by more than rounding" if self.share else "")


def compare_outputs(
    actual: Mapping[str, NDArray[np.float32]], expected: Mapping[str, NDArray[np.float32]], num_boxes: int = 1000
) -> Differences:
    """Compare the outputs of two forms of a model for the same input.

    The corners of the boxes are compared, not their sides and angles: four combinations of sides and angle describe the
    same rectangle, and if the angle is at the limit of the angle version, rounding decides between two of them. Each of
    the four corners is tried as the first one, and the smallest difference counts.

    Args:
        actual: Outputs by name, for B images, A priors and C classes: ``scores`` (B, A, C), ``boxes`` (B, A, 5) and,
            for heads with centerness, ``class_scores`` (B, A, C).
        expected: Reference outputs by name.
        num_boxes: Number of boxes per image to compare: those with the highest expected scores (maximum over classes).

    Returns:
        The differences, infinite for all boxes if an output is missing or has another shape.

    Example:
        >>> scores = np.array([[[0.9], [0.2]]], np.float32)
        >>> boxes = np.array([[[8, 9, 4, 2, 0], [5, 5, 3, 3, 0]]], np.float32)
        >>> same_boxes = boxes[..., [0, 1, 3, 2, 4]] + np.array([0, 0, 0, 0, np.pi / 2], np.float32)
        >>> compare_outputs({"scores": scores, "boxes": same_boxes}, {"scores": scores, "boxes": boxes}).share
        0.0
    """
    if any(name not in actual or actual[name].shape != expected[name].shape for name in expected):
        return Differences(np.inf, np.inf, expected[BOXES].shape[0] * expected[BOXES].shape[1], 1.0)
    box_index = np.argsort(-expected[SCORES].max(-1), 1, kind="stable")[:, :num_boxes, None]  # (B, N, 1)

    def select_boxes(values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the values of the compared boxes, (B, N, C) or (B, N, 5)."""
        return np.take_along_axis(values, box_index, 1).astype(np.float64)

    score_differences = [  # one array (B, N) per output, the largest difference over the classes
        np.abs(select_boxes(actual[name]) - select_boxes(expected[name])).max(-1) for name in expected if name != BOXES
    ]
    score = np.max(score_differences, 0)  # (B, N)
    actual_boxes, expected_boxes = select_boxes(actual[BOXES]), select_boxes(expected[BOXES])  # (B, N, 5)
    actual_corners, expected_corners = (  # (B, N, 4, 2)
        obb_polygons(boxes.reshape(-1, 5)).reshape(*box_index.shape[:2], 4, 2)
        for boxes in (actual_boxes, expected_boxes)
    )
    corner_differences = [  # four arrays (B, N), one per corner of the actual box that is tried as the first
        np.abs(np.roll(actual_corners, steps, -2) - expected_corners).max((-2, -1)) for steps in range(4)
    ]
    size_factor = np.maximum(np.abs(expected_boxes).max(-1) / 1000, 1)  # see Differences.corner
    corner = np.min(corner_differences, 0) / size_factor  # (B, N)
    score, corner = (np.nan_to_num(values, nan=np.inf) for values in (score, corner))  # NaN counts as different
    differs = (score > MAX_SCORE_DIFFERENCE) | (corner > MAX_CORNER_DIFFERENCE)
    return Differences(float(score.max()), float(corner.max()), differs.size, float(differs.mean()))
