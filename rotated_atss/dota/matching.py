"""Match the detections of one class to its ground truth, as DOTA_devkit does.

A detection is matched to the ground-truth object of highest IoU in its image if this IoU exceeds the threshold.
Detections matched to an ignored object are neither true nor false positives. If several detections are matched to one
of the other objects, only the detection of highest score is a true positive. All remaining detections are false
positives. Detections of equal score are ranked in the order of the file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rotated_atss.dota.detections import Detections
from rotated_atss.dota.labels import Labels
from rotated_atss.ops.polygon_iou import polygon_areas, polygon_hbbs, polygon_ious
from rotated_atss.ops.polygon_pairs import iou_upper_bounds, iter_overlapping_pairs_between


@dataclass(frozen=True)
class GroundTruth:
    """Ground-truth objects of one class over all images.

    Attributes:
        polygons: (G, 8) float64, corners in pixels.
        image_index: (G,) int64, image of each object, an index into the list of images with labels.
        difficult: (G,) bool, whether the difficult flag is 1 or 2.
    """

    polygons: np.ndarray
    image_index: np.ndarray
    difficult: np.ndarray


@dataclass(frozen=True)
class RankedDetections:
    """The ground-truth object of highest IoU for each detection of one class, in order of descending score.

    Attributes:
        max_ious: (N,) float64, highest IoU with an object; 0 if no IoU can exceed the lowest IoU threshold.
        gt_index: (N,) int64, index of the object of highest IoU; -1 if no IoU can exceed the lowest IoU threshold.
    """

    max_ious: np.ndarray
    gt_index: np.ndarray


def collect_ground_truth(labels_by_image: Mapping[str, Labels], classes: Sequence[str]) -> dict[str, GroundTruth]:
    """Collect the ground-truth objects of each class over all images.

    Example:
        >>> labels = Labels(np.zeros((2, 8)), ("ship", "plane"), np.array([0, 1]), np.array([1, 2]))
        >>> collect_ground_truth({"P0001": labels}, ["plane"])["plane"].difficult.tolist()
        [True]
    """
    labels = list(labels_by_image.values())
    polygons = np.concatenate([image_labels.polygons for image_labels in labels])
    names = np.array([name for image_labels in labels for name in image_labels.names], dtype=np.str_)
    difficult = np.concatenate([image_labels.difficult for image_labels in labels]) > 0
    image_index = np.repeat(np.arange(len(labels)), list(map(len, labels)))
    rows_by_class = {name: np.flatnonzero(names == name) for name in classes}
    return {
        name: GroundTruth(polygons[rows], image_index[rows], difficult[rows]) for name, rows in rows_by_class.items()
    }


def rank_detections(
    detections: Detections, image_index: np.ndarray, ground_truth: GroundTruth, min_iou: float
) -> RankedDetections:
    """Sort detections by descending score and find the object of highest IoU for each.

    Args:
        detections: N detections of one class.
        image_index: (N,) int64, image of each detection, numbered as in ``ground_truth``; detections with image -1 are
            dropped.
        ground_truth: Objects of the same class.
        min_iou: Lowest IoU threshold. IoUs that cannot exceed it are not computed.

    Example:
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> detections = Detections.from_ids(["P1", "P1"], np.array([0.8, 0.9]), np.vstack([square, square + 50]))
        >>> ground_truth = GroundTruth(square, np.array([0]), np.array([False]))
        >>> rank_detections(detections, np.array([0, 0]), ground_truth, min_iou=0.5).gt_index.tolist()
        [-1, 0]
    """
    order = np.argsort(-detections.scores, kind="stable")
    order = order[image_index[order] >= 0]
    pairs = overlapping_pairs(detections.polygons[order], image_index[order], ground_truth, min_iou)
    return find_best_objects(*pairs, len(order))


def find_best_objects(det_index: np.ndarray, gt_index: np.ndarray, ious: np.ndarray, num_dets: int) -> RankedDetections:
    """Find the object of highest IoU for each detection; among equal IoUs, the object with the lowest index.

    Args:
        det_index: (P,) int64, index of the detection of each candidate pair. Detections are numbered by descending
            score.
        gt_index: (P,) int64, index of the object of each candidate pair.
        ious: (P,) float64, IoU of each candidate pair.
        num_dets: Number N of detections.

    Example:
        >>> pairs = np.array([1, 1]), np.array([0, 3]), np.array([0.6, 0.7])
        >>> find_best_objects(*pairs, num_dets=2).gt_index.tolist()
        [-1, 3]
    """
    order = np.lexsort((gt_index, -ious, det_index))
    # The first pair of each detection in this order is its best pair.
    best = order[np.flatnonzero(np.diff(det_index[order], prepend=-1))]
    max_ious = np.zeros(num_dets)
    max_ious[det_index[best]] = ious[best]
    best_gt_index = np.full(num_dets, -1, dtype=np.int64)
    best_gt_index[det_index[best]] = gt_index[best]
    return RankedDetections(max_ious, best_gt_index)


def classify_detections(
    ranked: RankedDetections, ignored: np.ndarray, iou_threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Classify ranked detections as true positives, false positives or neither.

    Args:
        ranked: N detections by descending score.
        ignored: (G,) bool, ignored ground-truth objects. Detections matched to them are neither true nor false
            positives.
        iou_threshold: A match needs an IoU above this value.

    Returns:
        true_positives, false_positives: (N,) bool each.

    Example:
        >>> ranked = RankedDetections(np.array([0.9, 0.8, 0.7, 0.0]), np.array([0, 0, 1, -1]))
        >>> true_positives, false_positives = classify_detections(ranked, np.array([False, True]), 0.5)
        >>> true_positives.tolist(), false_positives.tolist()
        ([True, False, False, False], [False, True, False, True])
    """
    matched = ranked.max_ious > iou_threshold
    is_ignored = np.zeros(len(matched), dtype=bool)
    is_ignored[matched] = ignored[ranked.gt_index[matched]]
    eligible = np.flatnonzero(matched & ~is_ignored)
    # Detections are ranked by score, so the first detection of each object has the highest score.
    _, first = np.unique(ranked.gt_index[eligible], return_index=True)
    true_positives = np.zeros(len(matched), dtype=bool)
    true_positives[eligible[first]] = True
    return true_positives, ~true_positives & ~is_ignored


def overlapping_pairs(
    polygons: np.ndarray, image_index: np.ndarray, ground_truth: GroundTruth, min_iou: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the pairs of a polygon and an object, both in the same image, with an IoU that can exceed a threshold.

    Args:
        polygons: (N, 8), corners in pixels.
        image_index: (N,) int64, image of each polygon, numbered as in ``ground_truth``.
        ground_truth: Objects of one class.
        min_iou: Pairs are left out if an upper bound of their IoU does not exceed this value.

    Returns:
        Index of the polygon, index of the object and IoU of each pair, (P,) each, in no particular order.

    Example:
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> ground_truth = GroundTruth(np.vstack([square, square + 50]), np.array([0, 0]), np.array([False, False]))
        >>> [column.tolist() for column in overlapping_pairs(square, np.array([0]), ground_truth, 0.5)]
        [[0], [0], [1.0]]
    """
    hbbs, areas = polygon_hbbs(polygons), polygon_areas(polygons)
    gt_hbbs, gt_areas = polygon_hbbs(ground_truth.polygons), polygon_areas(ground_truth.polygons)
    row_chunks, gt_chunks, iou_chunks = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    for rows, gt_index in iter_overlapping_pairs_between(hbbs, image_index, gt_hbbs, ground_truth.image_index):
        bounds = iou_upper_bounds(hbbs[rows], areas[rows], gt_hbbs[gt_index], gt_areas[gt_index])
        possible = bounds > min_iou * (1 - 1e-9)  # the factor allows for rounding errors of the bounds
        rows, gt_index = rows[possible], gt_index[possible]
        row_chunks.append(rows)
        gt_chunks.append(gt_index)
        iou_chunks.append(polygon_ious(polygons[rows], ground_truth.polygons[gt_index]))
    return np.concatenate(row_chunks), np.concatenate(gt_chunks), np.concatenate(iou_chunks)
