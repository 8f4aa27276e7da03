"""Average precision of detections on full images, counted as DOTA_devkit's evaluator counts it.

A detection belongs to the object of its image and class with which its IoU is highest. Above the threshold it is true
if no detection of a higher score took that object before, and false otherwise; if the object is difficult and those
are ignored, it counts as neither. Equal scores rank in file order.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rotated_atss.dota.average_precision import average_precision
from rotated_atss.dota.detections import EMPTY_DETECTIONS, Detections
from rotated_atss.dota.labels import Labels
from rotated_atss.dota.tiles import is_tile_name
from rotated_atss.errors import UserError
from rotated_atss.io.threads import map_in_threads
from rotated_atss.ops.polygon_iou import polygon_areas, polygon_hbbs, polygon_ious
from rotated_atss.ops.polygon_pairs import iou_upper_bounds, iter_overlapping_pairs_between

METRICS = ("voc07", "area")
DIFFICULT_RULES = ("ignore", "count")
IOU_THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClassResult:
    """One class. Precisions and recall are NaN where there is no object to be found."""

    npos: int  # objects to be found, ignored ones not among them
    nignored: int
    ndet: int
    precisions: dict[float, float]  # average precision by IoU threshold
    max_recall: float  # at the lowest threshold

    @property
    def ap50(self) -> float:
        return self.precisions.get(0.5, float("nan"))

    @property
    def ap75(self) -> float:
        return self.precisions.get(0.75, float("nan"))

    @property
    def ap50_95(self) -> float:
        """Mean over the thresholds."""
        return float(np.mean(list(self.precisions.values())))


@dataclass(frozen=True)
class EvaluationResult:
    """All classes, and how they were counted."""

    per_class: dict[str, ClassResult]
    images: int
    metric: str  # voc07 or area
    difficult: str  # ignore or count
    version: str
    iou_thresholds: tuple[float, ...]

    @property
    def ap50(self) -> float:
        """Mean over the classes that have objects, as the other two."""
        return self._mean("ap50")

    @property
    def ap75(self) -> float:
        return self._mean("ap75")

    @property
    def ap50_95(self) -> float:
        return self._mean("ap50_95")

    @property
    def scored(self) -> list[str]:
        """The classes with objects."""
        return [name for name, result in self.per_class.items() if result.npos]

    def _mean(self, field: str) -> float:
        values = [getattr(self.per_class[name], field) for name in self.scored]
        return float(np.mean(values)) if values else float("nan")


def difficult_rule(version: str) -> str:
    """What DOTA's server does with difficult objects: v1.0 ignores them, later versions count them."""
    return "ignore" if version in ("v1.0", "1.0") else "count"


def evaluate_detections(
    detections_by_class: Mapping[str, Detections],
    labels_by_image: Mapping[str, Labels],
    *,
    metric: str = "voc07",
    version: str = "v1.0",
    difficult: str | None = None,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    classes: Sequence[str] | None = None,
    ignore_unlabelled: bool = False,
    workers: int = 1,
    on_done: Callable[[str], object] | None = None,
) -> EvaluationResult:
    """Evaluate every class on the images of ``labels_by_image``, those without any detection included.

    Args:
        detections_by_class: On full images; a class without an entry has none.
        labels_by_image: By image id. An image without objects has empty labels.
        metric: ``voc07`` or ``area``.
        version: DOTA version, which decides about difficult objects where ``difficult`` is None.
        difficult: ``ignore`` or ``count``; any flag but 0 is difficult.
        iou_thresholds: AP50 and AP75 want 0.5 and 0.75 among them; AP50:95 is the mean over all.
        classes: Those to evaluate, by default the keys of ``detections_by_class``.
        ignore_unlabelled: Leave out detections on images without labels instead of refusing them.
        workers: Threads, a class each; the result does not depend on them.
        on_done: Called with the name of each class that is through.

    Raises:
        UserError: Nothing to evaluate on, an unknown metric or rule, a detection on an image without labels.
    """
    classes = tuple(detections_by_class) if classes is None else tuple(classes)
    difficult = difficult_rule(version) if difficult is None else difficult
    _check_choice("metric", metric, METRICS)
    _check_choice("rule for difficult objects", difficult, DIFFICULT_RULES)
    if not labels_by_image:
        raise UserError("no labels to evaluate on", hint="give the label files of the images that were detected on")
    truths = _collect_truths(labels_by_image, classes)
    _warn_of_flat_objects(truths)
    image_numbers = {image: number for number, image in enumerate(labels_by_image)}
    found = {name: detections_by_class.get(name, EMPTY_DETECTIONS) for name in classes}
    images = {name: _number_images(found[name], image_numbers, name, ignore_unlabelled) for name in classes}

    def evaluate(name: str) -> ClassResult:
        ranking = _rank(found[name], images[name], truths[name], min(iou_thresholds))
        return _evaluate_class(ranking, truths[name], iou_thresholds, metric, difficult == "ignore")

    largest_first = sorted(classes, key=lambda name: -len(found[name]))
    results = dict(zip(largest_first, map_in_threads(evaluate, largest_first, workers, on_done), strict=True))
    per_class = {name: results[name] for name in classes}
    return EvaluationResult(per_class, len(labels_by_image), metric, difficult, version, tuple(iou_thresholds))


def result_to_json(result: EvaluationResult) -> dict[str, Any]:
    """``{"AP50": .., "AP75": .., "AP50_95": .., "per_class": {name: {"AP50": .., "npos": .., "ndet": ..}}}`` and how
    it was counted; what is not defined (a class without objects) is None.
    """
    per_class = {
        name: {**_aps(each), "npos": each.npos, "ndet": each.ndet, "max_recall": _or_none(each.max_recall)}
        for name, each in result.per_class.items()
    }
    return {
        **_aps(result),
        "per_class": per_class,
        "metric": result.metric,
        "difficult": result.difficult,
        "version": result.version,
        "iou_thresholds": list(result.iou_thresholds),
        "images": result.images,
    }


# -- matching ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Truths:
    """The objects of one class on all images."""

    polygons: np.ndarray  # (G, 8)
    images: np.ndarray  # (G,) int64
    difficult: np.ndarray  # (G,) bool


@dataclass(frozen=True)
class _Ranking:
    """The detections of one class by falling score, each with the object that it overlaps best."""

    ious: np.ndarray  # (N,) with that object; 0 where no IoU is above the lowest threshold
    objects: np.ndarray  # (N,) int64, -1 there


def _collect_truths(labels_by_image: Mapping[str, Labels], classes: Sequence[str]) -> dict[str, _Truths]:
    labels = list(labels_by_image.values())
    polygons = np.concatenate([each.polygons for each in labels])
    names = np.array([name for each in labels for name in each.names], dtype=np.str_)
    difficult = np.concatenate([each.difficult for each in labels]) > 0
    images = np.repeat(np.arange(len(labels)), [len(each) for each in labels])
    rows_of = {name: np.flatnonzero(names == name) for name in classes}
    return {name: _Truths(polygons[rows], images[rows], difficult[rows]) for name, rows in rows_of.items()}


def _number_images(
    found: Detections, image_numbers: Mapping[str, int], name: str, ignore_unlabelled: bool
) -> np.ndarray:
    """(N,) int64, the number of each detection's image, -1 where it has no labels."""
    numbers = np.array([image_numbers.get(image, -1) for image in found.images], dtype=np.int64)
    images = numbers[found.image_index] if len(found) else np.empty(0, dtype=np.int64)
    unlabelled = np.flatnonzero(images < 0)
    if not len(unlabelled):
        return images
    image = found.images[found.image_index[unlabelled[0]]]
    if not ignore_unlabelled or (len(unlabelled) == len(found) and is_tile_name(image)):
        count = int((np.bincount(found.image_index, minlength=len(numbers))[numbers < 0] > 0).sum())
        raise UserError(
            f"class {name}: {len(unlabelled)} detections lie on {count} images without labels, the first on '{image}'",
            hint=_hint_for_unlabelled(image),
        )
    logger.warning("class %s: left out %d detections on images without labels", name, len(unlabelled))
    return images


def _hint_for_unlabelled(image: str) -> str:
    if is_tile_name(image):
        return "that is a tile: merge into full images first, rotated-atss merge"
    return "give the label files of all images, or leave such detections out with --ignore-unlabelled"


def _rank(found: Detections, images: np.ndarray, truths: _Truths, lowest: float) -> _Ranking:
    order = np.argsort(-found.scores, kind="stable")
    order = order[images[order] >= 0]
    ious, objects = _best_objects(found.polygons[order], images[order], truths, lowest)
    return _Ranking(ious, objects)


def _best_objects(
    polygons: np.ndarray, images: np.ndarray, truths: _Truths, lowest: float
) -> tuple[np.ndarray, np.ndarray]:
    """The highest IoU of each polygon and the object it is reached with, the first one of several; (N,) each."""
    sides = [(side, polygon_hbbs(side), polygon_areas(side)) for side in (polygons, truths.polygons)]
    (_, hbbs, areas), (_, truth_hbbs, truth_areas) = sides
    rows, objects, ious = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    for row, item in iter_overlapping_pairs_between(hbbs, images, truth_hbbs, truths.images):
        near = iou_upper_bounds(hbbs[row], areas[row], truth_hbbs[item], truth_areas[item]) > lowest * (1 - 1e-9)
        row, item = row[near], item[near]
        rows.append(row)
        objects.append(item)
        ious.append(polygon_ious(polygons[row], truths.polygons[item]))
    row, item, iou = np.concatenate(rows), np.concatenate(objects), np.concatenate(ious)
    order = np.lexsort((item, -iou, row))
    order = order[np.flatnonzero(np.diff(row[order], prepend=-1))]  # the first of each row
    best_iou, best_object = np.zeros(len(polygons)), np.full(len(polygons), -1, dtype=np.int64)
    best_iou[row[order]], best_object[row[order]] = iou[order], item[order]
    return best_iou, best_object


def _evaluate_class(
    ranking: _Ranking, truths: _Truths, thresholds: Sequence[float], metric: str, ignore_difficult: bool
) -> ClassResult:
    ignored = truths.difficult & ignore_difficult
    positives = int((~ignored).sum())
    precisions, recalls = {}, {}
    for threshold in thresholds:
        true, false = _judge(ranking, ignored, threshold)
        precisions[threshold], recalls[threshold] = average_precision(true, false, positives, metric)
    return ClassResult(positives, int(ignored.sum()), len(ranking.ious), precisions, recalls[min(thresholds)])


def _judge(ranking: _Ranking, ignored: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """(N,) bool each: the true and the false detections; one on an ignored object is neither."""
    matched = ranking.ious > threshold
    neither = np.zeros(len(matched), dtype=bool)
    neither[matched] = ignored[ranking.objects[matched]]
    claims = np.flatnonzero(matched & ~neither)
    _, first = np.unique(ranking.objects[claims], return_index=True)  # the highest score on each object
    true = np.zeros(len(matched), dtype=bool)
    true[claims[first]] = True
    return true, ~true & ~neither


def _check_choice(what: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise UserError(f"unknown {what} '{value}'", hint=f"choose from {', '.join(choices)}")


def _warn_of_flat_objects(truths: Mapping[str, _Truths]) -> None:
    flat = sum(int((polygon_areas(each.polygons) == 0).sum()) for each in truths.values())
    if flat:
        logger.warning("%d labelled objects have no area: they count, as on the server, but cannot be found", flat)


# -- telling -----------------------------------------------------------------------------------------------------------


def format_table(result: EvaluationResult) -> str:
    """The classes as an aligned table, then the means and how they were counted."""
    rows: list[tuple[str, ...]] = [("class", "objects", "detections", "recall", "AP50", "AP75", "AP50:95")]
    for name, each in result.per_class.items():
        numbers = (each.max_recall, each.ap50, each.ap75, each.ap50_95)
        rows.append((name, str(each.npos), str(each.ndet), *map(_shown, numbers)))
    totals = [sum(getattr(each, field) for each in result.per_class.values()) for field in ("npos", "ndet")]
    rows.append(("mean", *map(str, totals), "", *map(_shown, (result.ap50, result.ap75, result.ap50_95))))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join((row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:]))) for row in rows]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], *_notes(result)])


def _notes(result: EvaluationResult) -> list[str]:
    way = {"voc07": "VOC07, 11 points", "area": "area under the curve"}[result.metric]
    ignored = sum(each.nignored for each in result.per_class.values())
    rule = f"{ignored} difficult objects ignored" if result.difficult == "ignore" else "difficult objects counted"
    scope = f"{len(result.scored)} classes on {result.images} images"
    notes = [f"mAP at IoU 0.5: {_shown(result.ap50)} over {scope} ({way}; {rule})"]
    empty = [name for name, each in result.per_class.items() if not each.npos]
    if empty:
        notes.append(f"without objects, so left out of the mean: {', '.join(empty)}")
    return notes


def _shown(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"


def _aps(result: ClassResult | EvaluationResult) -> dict[str, float | None]:
    return {"AP50": _or_none(result.ap50), "AP75": _or_none(result.ap75), "AP50_95": _or_none(result.ap50_95)}


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
