"""Group-wise greedy non-maximum suppression of oriented boxes, with NumPy only.

:func:`rotated_atss.ops.nms.rotated_nms` does the same for torch tensors on the CPU and on CUDA.
"""

from __future__ import annotations

import numpy as np

from rotated_atss.ops.box_arrays import obbs_to_hbbs
from rotated_atss.ops.box_ious import box_ious
from rotated_atss.ops.polygon_nms import Shapes, nms_of_shapes


def box_nms(
    boxes: np.ndarray, scores: np.ndarray, iou_threshold: float, groups: np.ndarray | None = None
) -> np.ndarray:
    """Perform non-maximum suppression (NMS) on oriented boxes by their rotated IoU, computed in float64.

    A box is removed if its IoU with a higher-scoring kept box of the same group exceeds ``iou_threshold``.

    Args:
        boxes: (N, 5) ``cx, cy, w, h, angle`` in pixels and radians. Zero-area boxes and boxes with non-finite values
            overlap nothing, so they are kept and suppress nothing.
        scores: (N,). Equal scores rank in input order, NaN ranks last.
        iou_threshold: In [0, 1].
        groups: (N,) int. Boxes of different groups (images, classes) never suppress each other. With None, all
            boxes form one group.

    Returns:
        (K,) int64 indices of the kept boxes in descending order of score.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.ops.box_nms import box_nms
        >>> boxes = np.array([[50.0, 40, 30, 10, 0.3], [51, 40, 30, 10, 0.3], [50, 40, 10, 30, 0.3]])
        >>> box_nms(boxes, np.array([0.8, 0.9, 0.7]), 0.5)
        array([1, 2])
    """
    boxes = np.asarray(boxes, dtype=np.float64)
    finite = np.isfinite(boxes).all(axis=1)
    if not finite.all():
        boxes = np.where(finite[:, None], boxes, 0.0)  # zero area, so that they overlap nothing
    areas = boxes[:, 2] * boxes[:, 3]
    shapes = Shapes(obbs_to_hbbs(boxes), areas, lambda first, second: box_ious(boxes[first], boxes[second]))
    return nms_of_shapes(shapes, scores, iou_threshold, groups)
