"""Average precision of one ranking: the two ways PASCAL VOC has counted it, as DOTA's evaluator does."""

import numpy as np

_RECALLS = np.arange(0.0, 1.1, 0.1)  # these floats, not tenths: at 0.3 and 0.6 the reference asks for a little more


def average_precision(true: np.ndarray, false: np.ndarray, positives: int, metric: str) -> tuple[float, float]:
    """Average precision and the recall reached in the end.

    Args:
        true, false: (N,) bool by falling score; a detection that counts as neither is ignored.
        positives: Objects to be found; 0 makes both results NaN.
        metric: ``voc07`` (mean of the best precision at 11 recalls) or ``area`` (under the precision envelope).
    """
    if positives == 0:
        return float("nan"), float("nan")
    if not true.any():
        return 0.0, 0.0
    found, wrong = np.cumsum(true), np.cumsum(false)
    recall = found / positives
    precision = found / np.maximum(found + wrong, np.finfo(np.float64).eps)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]  # the best precision from here on
    measure = {"voc07": _eleven_points, "area": _area}[metric]
    return measure(recall, envelope), float(recall[-1])


def _eleven_points(recall: np.ndarray, envelope: np.ndarray) -> float:
    first = np.searchsorted(recall, _RECALLS, side="left")  # where each recall is reached
    return float(sum(envelope[row] / 11.0 for row in first if row < len(recall)))


def _area(recall: np.ndarray, envelope: np.ndarray) -> float:
    steps = np.diff(recall, prepend=0.0)
    return float((steps * envelope).sum())
