"""Average precision of ranked detections: the two PASCAL VOC metrics as in DOTA_devkit, and the COCO metric."""

import numpy as np

# DOTA_devkit computes its recall levels in this way, too. They are not exact tenths: the levels for 3/10 and 6/10 are
# slightly larger.
_RECALL_LEVELS = np.arange(0.0, 1.1, 0.1)
_COCO_RECALL_LEVELS = np.linspace(0.0, 1.0, 101)


def average_precision(
    true_positives: np.ndarray, false_positives: np.ndarray, num_gt: int, metric: str
) -> tuple[float, float]:
    """Compute average precision and maximum recall of ranked detections.

    Detections that are neither true nor false positives are ignored.

    Args:
        true_positives: (N,) bool, in order of descending score.
        false_positives: (N,) bool, in the same order.
        num_gt: Number of ground-truth objects, without ignored ones. With 0, both results are NaN.
        metric: ``voc07`` (mean of the highest precision at 11 recall levels), ``area`` (area under the precision
            envelope) or ``coco`` (mean of the highest precision at 101 recall levels).

    Returns:
        The average precision, and the recall that all detections together reach; both are in [0, 1].

    Example:
        >>> import numpy as np
        >>> true_positives = np.array([True, False, True])
        >>> average_precision(true_positives, ~true_positives, num_gt=4, metric="area")  # 1/4 * 1 + 1/4 * 2/3
        (0.41666666666666663, 0.5)
    """
    if num_gt == 0:
        return float("nan"), float("nan")
    if not true_positives.any():
        return 0.0, 0.0
    num_tp, num_fp = np.cumsum(true_positives), np.cumsum(false_positives)
    recall = num_tp / num_gt
    # Both counts are 0 until the first detection that is not ignored. The maximum with eps prevents a division by 0.
    precision = num_tp / np.maximum(num_tp + num_fp, np.finfo(np.float64).eps)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]  # highest precision at this or a higher recall
    measure = {"voc07": _eleven_point_mean, "area": _area_under_curve, "coco": _hundred_one_point_mean}[metric]
    return measure(recall, envelope), float(recall[-1])


def _eleven_point_mean(recall: np.ndarray, envelope: np.ndarray) -> float:
    first = np.searchsorted(recall, _RECALL_LEVELS, side="left")  # first detection that reaches each level
    mean = sum(envelope[row] / 11.0 for row in first if row < len(recall))
    return min(1.0, float(mean))  # rounding errors can make the mean slightly larger than 1


def _area_under_curve(recall: np.ndarray, envelope: np.ndarray) -> float:
    steps = np.diff(recall, prepend=0.0)
    return min(1.0, float((steps * envelope).sum()))  # rounding errors can make the sum slightly larger than 1


def _hundred_one_point_mean(recall: np.ndarray, envelope: np.ndarray) -> float:
    first = np.searchsorted(recall, _COCO_RECALL_LEVELS, side="left")  # first detection that reaches each level
    return float(envelope[first[first < len(recall)]].sum() / len(_COCO_RECALL_LEVELS))
