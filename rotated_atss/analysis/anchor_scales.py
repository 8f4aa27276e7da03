"""Find the anchor scale at which the square priors of a detector fit the objects of a dataset best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

STRIDES_PX = (8, 16, 32, 64, 128)  # of the levels P3 to P7, in pixels of the network's input
SCALES = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0)  # anchor scales that are tried
MAX_OBJECTS = 20_000
"""Of a dataset with more objects, only every n-th object is used, so that the time is bounded."""


@dataclass(frozen=True)
class ScaleFit:
    """How well the square priors of an anchor scale fit the objects.

    Attributes:
        scale: Side of a prior divided by the stride of its level.
        median_iou: Median, over the objects, of the highest IoU of an object with a prior.
        mean_iou: Mean of the same IoUs.
        above_half: Share of objects whose highest IoU with a prior is at least 0.5.
    """

    scale: float
    median_iou: float
    mean_iou: float
    above_half: float

    def to_json(self) -> dict[str, Any]:
        """Return the attributes as a dictionary."""
        return asdict(self)


def fit_anchor_scales(
    boxes: NDArray[np.float64], scales: Sequence[float] = SCALES, strides: Sequence[int] = STRIDES_PX
) -> list[ScaleFit]:
    """Summarize the highest IoU of each object with a prior, for each anchor scale.

    Args:
        boxes: (N, 5) oriented boxes in pixels of the network's input. If there are more than ``MAX_OBJECTS``, only
            every n-th box is used.
        scales: Anchor scales.
        strides: Stride of each level in pixels.

    Returns:
        One fit per scale; an empty list if there are no boxes.

    Example:
        >>> fits = fit_anchor_scales(np.array([[64.0, 64, 32, 32, 0]]), scales=[2, 4])
        >>> [fit.median_iou for fit in fits]
        [1.0, 1.0]
    """
    if not len(boxes):
        return []
    step = math.ceil(len(boxes) / MAX_OBJECTS)
    sampled_boxes = boxes[::step]
    fits = []
    for scale in scales:
        ious = best_prior_ious(sampled_boxes, scale, strides)
        fits.append(ScaleFit(float(scale), float(np.median(ious)), float(ious.mean()), float((ious >= 0.5).mean())))
    return fits


def best_prior_ious(
    boxes: NDArray[np.float64], scale: float, strides: Sequence[int] = STRIDES_PX
) -> NDArray[np.float64]:
    """Compute the highest IoU of each object with a prior.

    On each level, only the four priors around the center of the object are tried. The result is slightly too low for
    some long, oblique objects, which overlap a prior farther away more. Prior centers lie at the multiples of the
    stride, as in :func:`rotated_atss.assign.square_priors`.

    Args:
        boxes: (N, 5) oriented boxes, pixels and radians.
        scale: Side of a prior divided by the stride of its level.
        strides: Stride of each level in pixels.

    Returns:
        (N,) in [0, 1].

    Example:
        >>> best_prior_ious(np.array([[8.0, 8, 16, 16, 0], [12, 8, 16, 16, 0]]), scale=2).round(2).tolist()
        [1.0, 0.6]
    """
    import torch  # the import takes seconds

    from rotated_atss.ops.iou import rotated_iou

    best_ious = np.zeros(len(boxes))
    gt_boxes = torch.from_numpy(boxes)
    for stride in strides:
        # the upper left of the four prior centers around the center of the object
        upper_left = np.floor(boxes[:, :2] / stride) * stride
        for shift in ((0, 0), (stride, 0), (0, stride), (stride, stride)):
            priors = np.zeros_like(boxes)
            priors[:, :2], priors[:, 2:4] = upper_left + shift, scale * stride
            # aligned: each object with the prior in the same row
            ious = rotated_iou(gt_boxes, torch.from_numpy(priors), aligned=True).numpy()
            best_ious = np.maximum(best_ious, ious)
    return best_ious


def best_scale(fits: Sequence[ScaleFit]) -> ScaleFit:
    """Return the fit with the highest median IoU; ties are broken by the mean IoU.

    Example:
        >>> best_scale([ScaleFit(4, 0.5, 0.4, 0.5), ScaleFit(8, 0.6, 0.4, 0.7)]).scale
        8
    """
    # rounded, so that floating-point errors do not break a tie
    return max(fits, key=lambda fit: (round(fit.median_iou, 6), fit.mean_iou))
