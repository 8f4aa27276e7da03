"""Average precision of one class by the rules of COCO, extended to oriented boxes, for several ranges of object sizes.

IoUs are computed between the minimum-area rectangles of objects and detections. The detections of an image are matched
in order of descending score. Each detection is matched to the object of highest IoU among the objects that are not
matched yet, provided that this IoU reaches the threshold. Objects outside the size range are ignored. A detection is
matched to an ignored object only if no other object reaches the threshold. Two kinds of detections are neither true nor
false positives: detections matched to an ignored object, and unmatched detections outside the size range.

SODA-A's evaluation differs in one step: a detection is compared only with its object of highest IoU, even if that
object is already matched (``best_object_only``).
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rotated_atss.dota.ap_result import ClassResult
from rotated_atss.dota.average_precision import average_precision
from rotated_atss.dota.datasets import EvaluationRule, SizeRange
from rotated_atss.dota.detections import Detections
from rotated_atss.dota.matching import GroundTruth, overlapping_pairs

_NOT_MATCHED = -1  # marks a detection without an object, or an object without a detection, in arrays of indices


@dataclass(frozen=True)
class Candidates:
    """Pairs of a detection and a ground-truth object that may match, sorted by detection.

    The pairs are selected by an upper bound of the IoU, so the IoU of some pairs is below the lowest threshold.

    Attributes:
        det_index: (P,) int64, index of the detection, ascending. Detections are numbered by descending score.
        gt_index: (P,) int64, index of the object.
        ious: (P,) float64.
    """

    det_index: np.ndarray
    gt_index: np.ndarray
    ious: np.ndarray


def evaluate_class_by_size(
    detections: Detections,
    image_index: np.ndarray,
    ground_truth: GroundTruth,
    rule: EvaluationRule,
    iou_thresholds: Sequence[float],
    *,
    ignore_difficult: bool = False,
) -> tuple[ClassResult, dict[str, float]]:
    """Compute the AP of one class for each size range of a rule.

    Args:
        detections: N detections.
        image_index: (N,) int64, image of each detection, numbered as in ``ground_truth``; detections with image -1 are
            dropped.
        ground_truth: Objects of the same class.
        rule: Evaluation rule, with at least one size range.
        iou_thresholds: Minimum IoU of a match (inclusive); AP is computed for each of these values.
        ignore_difficult: Whether difficult objects are ignored.

    Returns:
        The result for the first size range, for which a dataset reports its AP (:class:`EvaluationRule`), and a dict
        from the name of each size range to the mean AP over ``iou_thresholds``. The mean AP of a range without objects
        is NaN.

    Example:
        >>> from rotated_atss.dota.datasets import get_rule
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> objects = GroundTruth(np.vstack([square, square * 3]), np.array([0, 0]), np.array([False, False]))
        >>> ships = Detections.from_ids(["P1"], np.array([0.9]), square)
        >>> result, by_size = evaluate_class_by_size(ships, np.array([0]), objects, get_rule("soda-a"), (0.5, 0.75))
        >>> round(result.ap50, 3), by_size["extremely small"], by_size["generally small"]
        (0.505, 1.0, 0.0)
    """
    order = rank_per_image(detections.scores, image_index, rule.max_dets)
    det_rectangles, det_areas = min_area_rectangles(detections.polygons[order])
    gt_rectangles, gt_areas = min_area_rectangles(ground_truth.polygons)
    gt_as_rectangles = GroundTruth(gt_rectangles, ground_truth.image_index, ground_truth.difficult)
    candidates = _find_candidates(det_rectangles, image_index[order], gt_as_rectangles, min(iou_thresholds))
    results = {}
    for size in rule.sizes:
        ignored = outside_range(gt_areas, size)
        if ignore_difficult:
            ignored |= ground_truth.difficult
        num_gt = int((~ignored).sum())
        ordered = order_candidates(candidates, ignored, best_object_only=rule.best_object_only)
        inside = ~outside_range(det_areas, size)
        ap_by_iou, recall = {}, {}
        for threshold in iou_thresholds:
            match = match_detections(ordered, len(order), threshold, best_object_only=rule.best_object_only)
            matched = match != _NOT_MATCHED
            # A detection that is not scored is neither a true nor a false positive.
            is_scored = inside.copy()
            is_scored[matched] = ~ignored[match[matched]]
            ap_by_iou[threshold], recall[threshold] = average_precision(
                matched & is_scored, ~matched & is_scored, num_gt, "coco"
            )
        results[size.name] = ClassResult(
            npos=num_gt,
            nignored=int(ignored.sum()),
            ndet=len(order),
            ap_by_iou=ap_by_iou,
            max_recall=recall[min(iou_thresholds)],
        )
    by_size = {name: result.ap50_95 for name, result in results.items()}  # ap50_95 is the mean over iou_thresholds
    return results[rule.sizes[0].name], by_size


def mean_by_size(by_class: Mapping[str, Mapping[str, float]], sizes: Sequence[SizeRange]) -> dict[str, float]:
    """Average the AP of each size range over the classes that have objects of this size.

    Args:
        by_class: AP by class name, then by name of the size range; NaN for a class without objects of this size.
        sizes: The size ranges.

    Returns:
        Mean AP by name of the size range; NaN if no class has objects of this size.

    Example:
        >>> nan = float("nan")
        >>> mean_by_size({"ship": {"small": 0.5}, "plane": {"small": nan}}, [SizeRange("small", 0, 1024)])
        {'small': 0.5}
    """
    means = {}
    for size in sizes:
        values = [aps[size.name] for aps in by_class.values() if not np.isnan(aps[size.name])]
        means[size.name] = float(np.mean(values)) if values else float("nan")
    return means


def order_candidates(candidates: Candidates, ignored: np.ndarray, *, best_object_only: bool = False) -> Candidates:
    """Sort the candidate objects of each detection by descending IoU, with ignored objects after all others.

    Args:
        candidates: Pairs of detections and objects.
        ignored: (G,) bool, ignored objects. A detection is matched to an ignored object only if it cannot be matched to
            any other object.
        best_object_only: Keep only the object of highest IoU for each detection, even if this object is ignored.

    Example:
        >>> pairs = Candidates(np.array([0, 0]), np.array([0, 1]), np.array([0.8, 0.9]))
        >>> order_candidates(pairs, np.array([False, True])).gt_index.tolist()
        [0, 1]
        >>> order_candidates(pairs, np.array([False, True]), best_object_only=True).gt_index.tolist()
        [1]
    """
    det_index, gt_index, ious = candidates.det_index, candidates.gt_index, candidates.ious
    if best_object_only:
        # If IoUs are equal, objects that are not ignored come first, and then the object with the lowest index.
        order = np.lexsort((gt_index, ignored[gt_index], -ious, det_index))
        order = order[np.flatnonzero(np.diff(det_index[order], prepend=-1))]  # keep the first pair of each detection
    else:
        # If IoUs are equal, the object with the highest index comes first, as in pycocotools.
        order = np.lexsort((-gt_index, -ious, ignored[gt_index], det_index))
    return Candidates(det_index[order], gt_index[order], ious[order])


def match_detections(
    candidates: Candidates,
    num_dets: int,
    iou_threshold: float,
    *,
    best_object_only: bool = False,
    crowds: Container[int] = (),
) -> np.ndarray:
    """Match ranked detections to objects, each object at most once.

    Args:
        candidates: Pairs of detections and objects, as :func:`order_candidates` returns them.
        num_dets: Number N of detections.
        iou_threshold: Minimum IoU of a match (inclusive).
        best_object_only: As for :func:`order_candidates`.
        crowds: Indices of objects that any number of detections can match. Not used with ``best_object_only``.

    Returns:
        (N,) int64, index of the object matched to each detection, or -1.

    Example:
        >>> pairs = Candidates(np.array([0, 1, 1]), np.array([0, 0, 1]), np.array([0.9, 0.8, 0.6]))
        >>> match_detections(pairs, 2, 0.5).tolist()
        [0, 1]
        >>> best = order_candidates(pairs, np.array([False, False]), best_object_only=True)
        >>> match_detections(best, 2, 0.5, best_object_only=True).tolist()
        [0, -1]
    """
    reached = candidates.ious >= iou_threshold
    det_index, gt_index = candidates.det_index[reached], candidates.gt_index[reached]
    match = np.full(num_dets, _NOT_MATCHED, dtype=np.int64)
    if best_object_only:
        # best_det[i] is the highest-scoring detection of object i. The pairs are written in reversed order, so this
        # detection is written last and replaces the other detections of the object.
        best_det = np.full(int(gt_index.max(initial=-1)) + 1, _NOT_MATCHED, dtype=np.int64)
        best_det[gt_index[::-1]] = det_index[::-1]
        detected_gts = np.flatnonzero(best_det != _NOT_MATCHED)
        match[best_det[detected_gts]] = detected_gts
        return match
    matched_gts: set[int] = set()
    for det, gt in zip(det_index.tolist(), gt_index.tolist()):
        if match[det] == _NOT_MATCHED and gt not in matched_gts:
            match[det] = gt
            if gt not in crowds:
                matched_gts.add(gt)
    return match


def rank_per_image(scores: np.ndarray, image_index: np.ndarray, max_dets: int | None = None) -> np.ndarray:
    """Rank the detections of one class by descending score, with at most ``max_dets`` per image.

    Args:
        scores: (N,) scores; equal scores keep their order.
        image_index: (N,) int64, image of each detection; detections with image -1 are dropped.
        max_dets: Maximum number of detections per image; None sets no limit.

    Returns:
        (M,) int64, indices of the ranked detections.

    Example:
        >>> rank_per_image(np.array([0.5, 0.9, 0.7]), np.array([0, 0, 1]), max_dets=1).tolist()
        [1, 2]
    """
    order = np.argsort(-scores, kind="stable")
    order = order[image_index[order] >= 0]
    if max_dets is not None:
        by_image = np.argsort(image_index[order], kind="stable")
        images = image_index[order][by_image]
        rank = np.arange(len(order)) - np.searchsorted(images, images, side="left")  # within the image, from 0
        order = order[np.sort(by_image[rank < max_dets])]  # sorting restores the order of descending score
    return order


def min_area_rectangles(polygons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the minimum-area rectangles (N, 8) of quadrilaterals (N, 8) and their areas (N,) in square pixels.

    Example:
        >>> min_area_rectangles(np.array([[0.0, 0, 4, 0, 4, 3, 0, 3]]))[1].tolist()
        [12.0]
    """
    import torch  # imported only here, because it takes a second and the other metrics do not need it

    from rotated_atss.ops.boxes import obb_to_poly, poly_to_obb

    boxes = poly_to_obb(torch.from_numpy(np.ascontiguousarray(polygons, dtype=np.float64)))
    return obb_to_poly(boxes).numpy(), (boxes[:, 2] * boxes[:, 3]).numpy()


def outside_range(areas: np.ndarray, size: SizeRange) -> np.ndarray:
    """Return whether areas (N,) in square pixels are outside a size range: (N,) bool.

    Example:
        >>> outside_range(np.array([100.0, 2000.0]), SizeRange("small", 0, 1024)).tolist()
        [False, True]
    """
    return (areas < size.min_area) | (areas > size.max_area)


def _find_candidates(polygons: np.ndarray, image_index: np.ndarray, objects: GroundTruth, min_iou: float) -> Candidates:
    """Find the candidate objects of each detection; the arguments are the same as for :func:`overlapping_pairs`."""
    det_index, gt_index, ious = overlapping_pairs(polygons, image_index, objects, min_iou)
    order = np.argsort(det_index, kind="stable")
    return Candidates(det_index[order], gt_index[order], ious[order])
