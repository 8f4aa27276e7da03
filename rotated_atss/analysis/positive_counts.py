"""Count the positives of assigners per level and per ground-truth box.

Boxes are grouped by size, aspect ratio and angle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rotated_atss.analysis.group_edges import ANGLE_EDGES_DEG, ASPECT_EDGES, SIZE_EDGES_PX
from rotated_atss.analysis.shapes import shapes_of_boxes

POSITIVE_FRACTION = 0.2
"""Share of the candidates of a box that the ATSS paper (arXiv 1912.02424, section 3.3) expects to be positive."""


@dataclass
class PositiveCounts:
    """Accumulate the positives of one assigner per ground-truth box and per level.

    Args:
        strides: Stride of each level in pixels.
        expected: Expected number of positives per ground-truth box. For ATSS, it is ``POSITIVE_FRACTION`` times the
            number of candidates of a box; for other assigners, it is None.

    Attributes:
        by_level: Number of positives on each level.

    Example:
        >>> import torch
        >>> from rotated_atss.analysis.positive_counts import PositiveCounts
        >>> counts = PositiveCounts(strides=[8, 16])
        >>> gt_index = torch.tensor([0, -1, 0, 0, -1, 1])  # 4 priors with stride 8, 2 priors with stride 16
        >>> counts.add(gt_index, level_sizes=[4, 2], num_gts=3)
        >>> counts.positives, counts.by_level
        (array([3, 1, 0]), array([3, 1]))
    """

    strides: Sequence[int]
    expected: float | None = None
    by_level: NDArray[np.int64] = field(init=False)
    _positives: list[NDArray] = field(default_factory=list)  # one (G,) array per image
    _above_threshold: list[NDArray] = field(default_factory=list)  # one (G,) array per image

    def __post_init__(self) -> None:
        self.by_level = np.zeros(len(self.strides), np.int64)

    def add(
        self, gt_index: Tensor, level_sizes: Sequence[int], num_gts: int, above_threshold: Tensor | None = None
    ) -> None:
        """Add an image.

        Args:
            gt_index: (A,) result of an assigner: index of the ground-truth box of each prior, or a negative value.
                Priors are sorted by level.
            level_sizes: Number of priors per level.
            num_gts: Number G of ground-truth boxes.
            above_threshold: (G,) number of candidates that reach the threshold of each box; only for ATSS.
        """
        gt_index = gt_index.cpu()
        self._positives.append(torch.bincount(gt_index[gt_index >= 0], minlength=num_gts).numpy())
        if above_threshold is not None:
            self._above_threshold.append(above_threshold.cpu().numpy())
        levels = gt_index.split(list(level_sizes))
        self.by_level += np.array([int((level_gt_index >= 0).sum()) for level_gt_index in levels])

    @property
    def positives(self) -> NDArray[np.int64]:
        """Number of positives of each ground-truth box, over the boxes of all images."""
        return np.concatenate([np.zeros(0, np.int64), *self._positives])

    @property
    def above_threshold(self) -> NDArray[np.int64]:
        """Number of candidates of each box that reach its threshold; empty for assigners other than ATSS."""
        return np.concatenate([np.zeros(0, np.int64), *self._above_threshold])


@dataclass
class BoxShapes:
    """Accumulate size, aspect ratio and angle of ground-truth boxes.

    ``size``, ``aspect`` and ``angle`` are lists with one (G,) array per image.

    Args:
        oriented: Whether boxes are (G, 5) instead of (G, 4).
        size: Square root of the area, in pixels of the network's input.
        aspect: Long side over short side.
        angle: Direction of the long side, degrees clockwise from the x axis, in [-90, 90); empty unless ``oriented``.

    Example:
        >>> import torch
        >>> from rotated_atss.analysis.positive_counts import BoxShapes
        >>> shapes = BoxShapes(oriented=False)
        >>> shapes.add(torch.tensor([[0.0, 0, 32, 8]]))
        >>> float(shapes.size[0][0]), float(shapes.aspect[0][0])
        (16.0, 4.0)
    """

    oriented: bool
    size: list[NDArray] = field(default_factory=list)
    aspect: list[NDArray] = field(default_factory=list)
    angle: list[NDArray] = field(default_factory=list)

    def add(self, gt_boxes: Tensor) -> None:
        """Add the (G, 5) or (G, 4) boxes of an image."""
        shapes = shapes_of_boxes(gt_boxes.cpu().double().numpy())
        self.size.append(shapes.size)
        self.aspect.append(shapes.aspect_ratio)
        if self.oriented:
            self.angle.append(shapes.angle_deg)

    def groupings(self) -> dict[str, tuple[NDArray, Sequence[float]]]:
        """Return, for each property (size, aspect, angle), its values for all boxes and the edges of its groups."""
        groupings: dict[str, tuple[NDArray, Sequence[float]]] = {
            "size": (_concatenate(self.size), SIZE_EDGES_PX),
            "aspect": (_concatenate(self.aspect), ASPECT_EDGES),
        }
        if self.oriented:
            groupings["angle"] = (_concatenate(self.angle), ANGLE_EDGES_DEG)
        return groupings


def summarize(shapes: BoxShapes, counts: dict[str, PositiveCounts]) -> dict[str, Any]:
    """Summarize counts as a report for JSON, text tables (``format_report``) and plots (``plot_report``).

    Args:
        shapes: Shapes of the ground-truth boxes.
        counts: Counts of each assigner for these boxes, keyed by the name of the assigner.

    Returns:
        ``objects`` is the number of boxes. ``assigners`` contains, for each name of ``counts``, the number of positives
        in total, per box, per level and per group of boxes.

    Example:
        >>> import torch
        >>> from rotated_atss.analysis.positive_counts import BoxShapes, PositiveCounts, summarize
        >>> shapes, counts = BoxShapes(oriented=False), PositiveCounts(strides=[8])
        >>> shapes.add(torch.tensor([[0.0, 0, 32, 8]]))
        >>> counts.add(torch.tensor([0, 0, -1]), level_sizes=[3], num_gts=1)
        >>> summarize(shapes, {"atss": counts})["assigners"]["atss"]["positives_per_object"]
        2.0
    """
    return {
        "objects": int(sum(map(len, shapes.size))),
        "assigners": {name: _summarize_assigner(assigner_counts, shapes) for name, assigner_counts in counts.items()},
    }


def _summarize_assigner(counts: PositiveCounts, shapes: BoxShapes) -> dict[str, Any]:
    positives = counts.positives
    groups_by_property = {
        f"by_{name}": _summarize_groups(positives, values, edges)
        for name, (values, edges) in shapes.groupings().items()
    }
    return {
        "positives": int(positives.sum()),
        "positives_per_object": _mean(positives),
        "expected_per_object": counts.expected,
        "above_threshold_per_object": _mean(counts.above_threshold),
        "deviation": float(positives.std()) if len(positives) else None,
        "without": int((positives == 0).sum()),
        "objects_by_positives": np.bincount(positives).tolist(),  # item n is the number of objects with n positives
        "by_level": {str(stride): int(count) for stride, count in zip(counts.strides, counts.by_level)},
        **groups_by_property,
    }


def _summarize_groups(positives: NDArray, values: NDArray, edges: Sequence[float]) -> list[dict[str, Any]]:
    """Return one entry for each interval ``from <= value < to`` that contains values of boxes."""
    groups = []
    for low, high in pairwise(edges):
        group_positives = positives[(values >= low) & (values < high)]
        if len(group_positives):
            groups.append({
                "from": low, "to": None if math.isinf(high) else high, "objects": len(group_positives),
                "positives_per_object": _mean(group_positives), "without": int((group_positives == 0).sum()),
            })  # fmt: skip
    return groups


def _mean(values: NDArray) -> float | None:
    return float(values.mean()) if len(values) else None


def _concatenate(parts: list[NDArray]) -> NDArray:
    return np.concatenate([np.zeros(0), *parts])
