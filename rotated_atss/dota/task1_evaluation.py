"""Compute average precision of detections on full images, by the rules of DOTA_devkit (PASCAL VOC) or COCO."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from rotated_atss.dota.ap_result import ClassResult, EvaluationResult
from rotated_atss.dota.average_precision import average_precision
from rotated_atss.dota.coco_evaluation import evaluate_class_by_size, mean_by_size
from rotated_atss.dota.datasets import COCO_SIZES, get_rule
from rotated_atss.dota.detections import EMPTY_DETECTIONS, Detections
from rotated_atss.dota.labels import Labels
from rotated_atss.dota.matching import (
    GroundTruth,
    RankedDetections,
    classify_detections,
    collect_ground_truth,
    rank_detections,
)
from rotated_atss.dota.tiles import is_tile_name
from rotated_atss.errors import UserError, count_of
from rotated_atss.io.threads import map_in_threads
from rotated_atss.ops.polygon_iou import polygon_areas

METRICS = ("voc07", "area", "coco")
DIFFICULT_RULES = ("ignore", "count")
IOU_THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))  # 0.5, 0.55, ..., 0.95

logger = logging.getLogger(__name__)


def evaluate_detections(
    detections_by_class: Mapping[str, Detections],
    labels_by_image: Mapping[str, Labels],
    *,
    metric: str | None = None,
    dataset: str = "v1.0",
    difficult: str | None = None,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    classes: Sequence[str] | None = None,
    ignore_unlabeled: bool = False,
    workers: int = 1,
    on_done: Callable[[str], object] | None = None,
) -> EvaluationResult:
    """Compute average precision per class over all labeled images.

    Args:
        detections_by_class: Detections on full images. A class without an entry has no detections.
        labels_by_image: Labels by image id. An image without objects has empty labels.
        metric: ``voc07`` (11 recall levels), ``area`` (area under the precision envelope) or ``coco``
            (:mod:`rotated_atss.dota.coco_evaluation`). None selects the metric of ``dataset``.
        dataset: DOTA version or another key of :data:`rotated_atss.dota.datasets.DATASETS`, whose evaluation rule is
            used.
        difficult: What to do with objects whose difficult flag is 1 or 2: ``ignore`` or ``count``. None follows the
            rule of ``dataset``.
        iou_thresholds: IoU thresholds at which AP is computed. If 0.5 is not one of them, AP50 is NaN; if 0.75 is not
            one of them, AP75 is NaN. AP50_95 is the mean over all thresholds.
        classes: Classes to evaluate. None selects all classes of ``detections_by_class`` and of the labels, so that the
            AP of a class without detections is 0.
        ignore_unlabeled: If True, detections on images without labels are dropped. If False, they raise an error.
        workers: Number of threads. The result does not depend on it.
        on_done: Called with the name of each class that has been evaluated.

    Raises:
        UserError: There are no labels, ``metric`` or ``difficult`` is unknown, or a detection lies on an image without
            labels.

    Example:
        >>> import numpy as np
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> labels = Labels(np.vstack([square, square + 50]), ("ship", "ship"), np.zeros(2, int), np.array([1, 2]))
        >>> detections = Detections.from_ids(["P0001"], np.array([0.9]), square)
        >>> evaluate_detections({"ship": detections}, {"P0001": labels}, metric="area").ap50
        0.5
    """
    if classes is None:
        labeled_classes = sorted({name for labels in labels_by_image.values() for name in labels.names})
        classes = tuple(dict.fromkeys([*detections_by_class, *labeled_classes]))
    classes = tuple(classes)
    rule = get_rule(dataset)
    # metric="coco" needs size ranges, but the rules of datasets with other metrics have none.
    rule = replace(rule, metric=metric or rule.metric, sizes=rule.sizes or COCO_SIZES)
    metric = rule.metric
    difficult = rule.difficult if difficult is None else difficult
    _check_choice("metric", metric, METRICS)
    _check_choice("rule for difficult objects", difficult, DIFFICULT_RULES)
    if not labels_by_image:
        raise UserError("no labels to evaluate on", hint="give the label files of the test images")
    ground_truths = collect_ground_truth(labels_by_image, classes)
    _warn_about_zero_areas(ground_truths)
    ignore_difficult = difficult == "ignore"
    index_by_image = {image: index for index, image in enumerate(labels_by_image)}
    detections = {name: detections_by_class.get(name, EMPTY_DETECTIONS) for name in classes}
    image_indices = {name: _index_images(detections[name], index_by_image, name, ignore_unlabeled) for name in classes}

    size_aps_by_class: dict[str, dict[str, float]] = {}  # AP by class and size range; evaluate() fills it for "coco"

    def evaluate(name: str) -> ClassResult:
        if metric == "coco":
            result, size_aps_by_class[name] = evaluate_class_by_size(
                detections[name], image_indices[name], ground_truths[name], rule, iou_thresholds,
                ignore_difficult=ignore_difficult,
            )  # fmt: skip
            return result
        ranked = rank_detections(detections[name], image_indices[name], ground_truths[name], min(iou_thresholds))
        return _evaluate_class(ranked, ground_truths[name], iou_thresholds, metric, ignore_difficult)

    # The largest class comes first, so that no thread starts a large class when the other threads have finished.
    largest_first = sorted(classes, key=lambda name: -len(detections[name]))
    results = dict(zip(largest_first, map_in_threads(evaluate, largest_first, workers, on_done), strict=True))
    per_class = {name: results[name] for name in classes}
    return EvaluationResult(
        per_class=per_class,
        images=len(labels_by_image),
        metric=metric,
        difficult=difficult,
        dataset=dataset,
        iou_thresholds=tuple(iou_thresholds),
        by_size=mean_by_size(size_aps_by_class, rule.sizes) if size_aps_by_class else {},
    )


def _evaluate_class(
    ranked: RankedDetections,
    ground_truth: GroundTruth,
    iou_thresholds: Sequence[float],
    metric: str,
    ignore_difficult: bool,
) -> ClassResult:
    """Evaluate one class at each IoU threshold by the metric ``voc07`` or ``area``."""
    ignored = ground_truth.difficult if ignore_difficult else np.zeros_like(ground_truth.difficult)
    num_gt = int((~ignored).sum())
    ap_by_iou, recall_by_iou = {}, {}
    for threshold in iou_thresholds:
        true_positives, false_positives = classify_detections(ranked, ignored, threshold)
        ap_by_iou[threshold], recall_by_iou[threshold] = average_precision(
            true_positives, false_positives, num_gt, metric
        )
    return ClassResult(
        npos=num_gt,
        nignored=int(ignored.sum()),
        ndet=len(ranked.max_ious),
        ap_by_iou=ap_by_iou,
        max_recall=recall_by_iou[min(iou_thresholds)],
    )


def _index_images(
    detections: Detections, index_by_image: Mapping[str, int], class_name: str, ignore_unlabeled: bool
) -> np.ndarray:
    """Return the image index (N,) of each detection. The index of an image without labels is -1.

    Raises:
        UserError: A detection lies on an image without labels. If ``ignore_unlabeled`` is True, this is an error only
            if all detections lie on such images and seem not to be merged.
    """
    # For each image of the detections, its index among the images with labels, or -1 if it has no labels.
    labeled_index = np.array([index_by_image.get(image, -1) for image in detections.images], dtype=np.int64)
    image_index = labeled_index[detections.image_index] if len(detections) else np.empty(0, dtype=np.int64)
    unlabeled = np.flatnonzero(image_index < 0)
    if not len(unlabeled):
        return image_index
    first_image = detections.images[detections.image_index[unlabeled[0]]]
    # If no detection lies on an image with labels and the first image has the name of a tile, the detections were not
    # merged. If all of them were dropped, the AP would be 0 without an explanation.
    seem_unmerged = len(unlabeled) == len(detections) and is_tile_name(first_image)
    if not ignore_unlabeled or seem_unmerged:
        num_images = len(np.unique(detections.image_index[unlabeled]))
        what = f"{count_of(len(unlabeled), 'detection')} on {count_of(num_images, 'image')} without labels"
        raise UserError(
            f"class {class_name}: {what}, the first on '{first_image}'",
            hint=_hint_for_unlabeled(first_image),
        )
    dropped = count_of(len(unlabeled), "detection")
    logger.warning("class %s: dropped %s on images without labels", class_name, dropped)
    return image_index


def _hint_for_unlabeled(image: str) -> str:
    if is_tile_name(image):
        return "merge tiles into full images first, with rotated-atss merge"
    return "give the label files of all images, or drop such detections with --ignore-unlabeled"


def _check_choice(kind: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise UserError(f"unknown {kind} '{value}'", hint=f"choose from {', '.join(choices)}")


def _warn_about_zero_areas(ground_truths: Mapping[str, GroundTruth]) -> None:
    count = sum(int((polygon_areas(objects.polygons) == 0).sum()) for objects in ground_truths.values())
    if count:
        consequence = "They are counted, as on DOTA's server, but no detection matches them."
        logger.warning("%d labeled objects have no area. %s", count, consequence)
