"""Compute the calibration of scores: do 80% of the detections with a score of 0.8 match an object?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NUM_BINS = 10  # the bins divide the scores from 0 to 1 into intervals of equal width


@dataclass(frozen=True)
class Calibration:
    """Mean score and precision of the detections in B score bins of equal width between 0 and 1.

    Attributes:
        edges: (B + 1,) float64. A bin contains the scores above its lower edge, up to and including its upper edge. The
            first bin also contains scores of 0 and below, and the last bin also contains scores above 1.
        counts: (B,) int64, number of detections per bin.
        mean_scores: (B,) float64, NaN for an empty bin.
        precisions: (B,) float64, share of true positives among the detections; NaN for an empty bin.
    """

    edges: np.ndarray
    counts: np.ndarray
    mean_scores: np.ndarray
    precisions: np.ndarray

    @property
    def expected_error(self) -> float:
        """Expected calibration error (Guo et al. 2017, arXiv 1706.04599, equation 3); NaN if there is no detection."""
        filled = self.counts > 0
        if not filled.any():
            return float("nan")
        errors = np.abs(self.precisions[filled] - self.mean_scores[filled])
        return float((self.counts[filled] * errors).sum() / self.counts.sum())


def build_calibration(
    scores: np.ndarray, true_positives: np.ndarray, false_positives: np.ndarray, num_bins: int = NUM_BINS
) -> Calibration:
    """Compute the mean score and the precision of the detections in each score bin.

    Args:
        scores: (N,) scores.
        true_positives: (N,) bool.
        false_positives: (N,) bool; detections that are neither true nor false positives are ignored.
        num_bins: Number B of bins.

    Example:
        >>> is_true = np.array([True, False])
        >>> calibration = build_calibration(np.array([0.75, 0.25]), is_true, ~is_true, num_bins=2)
        >>> calibration.precisions.tolist(), calibration.expected_error
        ([0.0, 1.0], 0.25)
    """
    is_counted = true_positives | false_positives
    counted_scores, is_true = scores[is_counted], true_positives[is_counted]
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    # Without the outer edges, scores below 0 fall into the first bin and scores above 1 into the last bin. A score
    # equal to an edge falls into the bin below the edge.
    bin_index = np.searchsorted(edges[1:-1], counted_scores, side="left")
    counts = np.bincount(bin_index, minlength=num_bins)

    def mean_per_bin(values: np.ndarray) -> np.ndarray:
        sums = np.bincount(bin_index, values, minlength=num_bins)
        return np.divide(sums, counts, out=np.full(num_bins, np.nan), where=counts > 0)

    return Calibration(edges, counts, mean_scores=mean_per_bin(counted_scores), precisions=mean_per_bin(is_true))
