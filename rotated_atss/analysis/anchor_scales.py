"""Find the anchor scale at which the square priors of a detector fit the objects of a dataset best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# strides of the pyramid levels P3 to P7, in pixels of the network's input
STRIDES_PX = (8, 16, 32, 64, 128)
SCALES = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0)  # the anchor scales to compare
MAX_OBJECTS = 20_000
"""If a dataset has more objects than this, only every n-th object is used. This bounds the computing time."""


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
    """Measure for each anchor scale how well the priors fit the objects.

    The measure is the highest IoU of each object with any prior, summarized over the objects.

    Args:
        boxes: (N, 5) oriented boxes in pixels of the network's input. If there are more than ``MAX_OBJECTS``, only
            every n-th box is used.
        scales: Anchor scales.
        strides: Stride of each level in pixels.

    Returns:
        One fit per scale; an empty list if there are no boxes.

    Example:
        A prior with a side of 32 px has scale 2 on the level with stride 16, and scale 4 on the level with stride 8:

        >>> square_of_32_px = np.array([[64.0, 64, 32, 32, 0]])
        >>> fits = fit_anchor_scales(square_of_32_px, scales=[2, 4])
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

    On each level, only the four priors around the center of the object are tried. For some long, oblique objects, a
    prior farther away has a higher IoU, so the result is slightly too low. Prior centers lie at the multiples of the
    stride, as in :func:`rotated_atss.assign.square_priors`.

    Args:
        boxes: (N, 5) oriented boxes, pixels and radians.
        scale: Side of a prior divided by the stride of its level.
        strides: Stride of each level in pixels.

    Returns:
        (N,) in [0, 1].

    Example:
        >>> at_prior_center = [8.0, 8, 16, 16, 0]  # the prior of the level with stride 8 has the same size
        >>> between_prior_centers = [12.0, 8, 16, 16, 0]
        >>> best_prior_ious(np.array([at_prior_center, between_prior_centers]), scale=2).round(2).tolist()
        [1.0, 0.6]
    """
    import torch  # the import takes seconds

    from rotated_atss.ops.iou import rotated_iou

    best_ious = np.zeros(len(boxes))
    gt_boxes = torch.from_numpy(boxes)
    for stride in strides:
        # the four prior centers around the center of an object form a square, and this is its upper-left corner
        upper_left = np.floor(boxes[:, :2] / stride) * stride
        for shift in ((0, 0), (stride, 0), (0, stride), (stride, stride)):
            priors = np.zeros_like(boxes)
            priors[:, :2], priors[:, 2:4] = upper_left + shift, scale * stride
            # aligned=True compares each object with the prior in the same row only
            ious = rotated_iou(gt_boxes, torch.from_numpy(priors), aligned=True).numpy()
            best_ious = np.maximum(best_ious, ious)
    return best_ious


def best_scale(fits: Sequence[ScaleFit]) -> ScaleFit:
    """Return the fit with the highest median IoU; ties are broken by the mean IoU.

    Example:
        >>> best_scale([ScaleFit(4, 0.5, 0.4, 0.5), ScaleFit(8, 0.6, 0.4, 0.7)]).scale
        8
    """
    # medians that differ only by floating-point errors are a tie, which the mean IoU breaks
    return max(fits, key=lambda fit: (round(fit.median_iou, 6), fit.mean_iou))
