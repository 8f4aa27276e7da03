"""Differences between the outputs of two forms of one graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rotated_atss.checkpoints.graph_info import BOXES, SCORES
from rotated_atss.ops.boxes import obb_to_corners

MAX_SCORE_DIFFERENCE = 1e-3  # float32 in another runtime
MAX_CORNER_DIFFERENCE = 0.1  # pixels


@dataclass(frozen=True)
class Differences:
    """Largest differences between two outputs.

    Attributes:
        score: Of the scores of all priors.
        corner: Of the coordinates of corners, pixels, of the boxes with the highest scores.
        boxes: Number of compared boxes.

    Example:
        >>> str(Differences(score=2e-6, corner=0.00312, boxes=2000))
        'scores differ by at most 2e-06, the corners of 2000 boxes by at most 0.0031 px'
    """

    score: float
    corner: float
    boxes: int

    def __str__(self) -> str:
        corners = f"the corners of {self.boxes} boxes by at most {self.corner:.2g} px"
        return f"scores differ by at most {self.score:.2g}, {corners}"

    @property
    def are_small(self) -> bool:
        """Whether float32 in another runtime explains them."""
        return self.score <= MAX_SCORE_DIFFERENCE and self.corner <= MAX_CORNER_DIFFERENCE


def compare_outputs(
    actual: Mapping[str, NDArray[np.float32]], expected: Mapping[str, NDArray[np.float32]], num_boxes: int = 1000
) -> Differences:
    """Compare the outputs of two runtimes for the same input.

    A rectangle has four descriptions by center, sides and angle, and rounding can exchange those of a box at the border
    of its angle version. So corners are compared, starting at any of them.

    Args:
        actual: Outputs by name: ``scores`` (B, A, C) and ``boxes`` (B, A, 5).
        expected: The same of the other runtime.
        num_boxes: Boxes per image that are compared, those with the highest expected scores.

    Returns:
        The differences; infinite if an output has another shape, or a value that is not finite.

    Example:
        >>> scores = np.array([[[0.9], [0.2]]], np.float32)
        >>> boxes = np.array([[[8, 9, 4, 2, 0], [5, 5, 3, 3, 0]]], np.float32)
        >>> turned = boxes[..., [0, 1, 3, 2, 4]] + np.array([0, 0, 0, 0, np.pi / 2], np.float32)
        >>> compare_outputs({"scores": scores, "boxes": turned}, {"scores": scores, "boxes": boxes}).are_small
        True
    """
    if any(name not in actual or actual[name].shape != expected[name].shape for name in expected):
        return Differences(np.inf, np.inf, 0)
    score = max(_largest(actual[name] - expected[name]) for name in expected if name != BOXES)
    best = expected[SCORES].max(-1)
    rows = np.argsort(-best, 1, kind="stable")[:, :num_boxes, None]
    first, second = (
        obb_to_corners(torch.from_numpy(np.take_along_axis(outputs[BOXES], rows, 1).astype(np.float64))).numpy()
        for outputs in (actual, expected)
    )
    turned = [np.abs(np.roll(first, steps, -2) - second).max((-2, -1)) for steps in range(4)]
    return Differences(score, _largest(np.min(turned, 0)), rows.shape[0] * rows.shape[1])


def _largest(values: NDArray[np.floating]) -> float:
    if not values.size:
        return 0.0
    return float(np.abs(values).max()) if np.isfinite(values).all() else np.inf
