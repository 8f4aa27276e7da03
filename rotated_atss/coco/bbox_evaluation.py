"""COCO's box evaluation: the twelve numbers, each with its IoU, area and most detections an image stated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rotated_atss.coco.instances import Instances, check_bbox
from rotated_atss.coco.json_file import number_of, read_json
from rotated_atss.errors import UserError

MAX_DETS = (1, 10, 100)
AREAS = ("all", "small", "medium", "large")  # in square pixels: below 32^2, up to 96^2, above
NOTHING = -1.0  # COCO's own value where no object falls into a row


@dataclass(frozen=True)
class Row:
    """One number and how it was counted; ``value`` is -1 where the ground truth has no such object."""

    key: str
    kind: str  # AP or AR
    iou: str
    area: str
    max_dets: int
    value: float


@dataclass(frozen=True)
class CocoResult:
    """The twelve rows, and AP at IoU 0.50:0.95 and 0.50 of each class by name."""

    rows: list[Row]
    per_class: dict[str, tuple[float, float]] = field(default_factory=dict)
    images: int = 0
    detections: int = 0

    def values(self) -> dict[str, float]:
        """Key to value: ``AP``, ``AP50``, ``AP75``, ``AP_small``, ..., ``AR_1``, ..., ``AR_large``."""
        return {row.key: row.value for row in self.rows}


def evaluate_boxes(
    instances: Instances,
    detections: Sequence[dict],
    *,
    image_ids: Sequence[int] | None = None,
    categories: Sequence[int] | None = None,
    max_dets: Sequence[int] = MAX_DETS,
) -> CocoResult:
    """Average precision and recall of detections, counted by faster-coco-eval as COCO's own evaluation does.

    Args:
        instances: The ground truth.
        detections: Rows ``image_id, category_id, bbox (x, y, w, h), score``.
        image_ids: Images that count; all by default.
        categories: Ids of the categories that count; all by default.
        max_dets: Three numbers of best-scored detections an image and class; AP takes the last.

    Raises:
        UserError: The ground truth has no annotations.
    """
    if instances.annotations is None:
        raise UserError("has no annotations to evaluate against", where=instances.path)
    from faster_coco_eval import COCO, COCOeval_faster

    truth = COCO(_content(instances))
    evaluation = COCOeval_faster(truth, truth.loadRes([dict(each) for each in detections]), iouType="bbox")
    evaluation.params.imgIds = sorted(instances_ids(instances) if image_ids is None else image_ids)
    evaluation.params.catIds = sorted(instances.categories if categories is None else categories)
    evaluation.params.maxDets = list(check_max_dets(max_dets))
    evaluation.evaluate()
    evaluation.accumulate()
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    return CocoResult(
        _rows(precision, recall, evaluation.params.maxDets),
        {
            instances.categories[number]: (_mean(precision[:, :, index, 0, -1]), _mean(precision[:1, :, index, 0, -1]))
            for index, number in enumerate(evaluation.params.catIds)
        },
        images=len(evaluation.params.imgIds),
        detections=len(detections),
    )


def instances_ids(instances: Instances) -> list[int]:
    """Ids of all images."""
    return [image.id for image in instances.images]


def _content(instances: Instances) -> dict:
    """What faster-coco-eval reads; it writes into it, so it gets its own."""
    return {
        "images": [{"id": image.id, "width": image.width, "height": image.height} for image in instances.images],
        # numbered anew: COCO's counting takes a match with an annotation 0 for none
        "annotations": [{**entry, "id": number} for number, entry in enumerate(instances.annotations or (), 1)],
        "categories": [{"id": number, "name": name} for number, name in instances.categories.items()],
    }


def check_max_dets(max_dets: Sequence[int]) -> tuple[int, ...]:
    """Three rising counts, or UserError."""
    counts = tuple(max_dets)
    if (
        len(counts) != 3
        or any(not isinstance(each, int) or each < 1 for each in counts)
        or sorted(counts) != list(counts)
    ):
        raise UserError(f"max_dets takes three rising numbers of detections, not {list(counts)}")
    return counts


def _rows(precision: np.ndarray, recall: np.ndarray, max_dets: Sequence[int]) -> list[Row]:
    """COCO's twelve from precision (IoU, recall, class, area, maxDets) and recall (IoU, class, area, maxDets)."""
    every, last = "0.50:0.95", max_dets[-1]
    rows = [
        Row("AP", "AP", every, "all", last, _mean(precision[:, :, :, 0, -1])),
        Row("AP50", "AP", "0.50", "all", last, _mean(precision[0, :, :, 0, -1])),
        Row("AP75", "AP", "0.75", "all", last, _mean(precision[5, :, :, 0, -1])),
    ]
    rows += [
        Row(f"AP_{area}", "AP", every, area, last, _mean(precision[:, :, :, index, -1]))
        for index, area in enumerate(AREAS)
        if index
    ]
    rows += [
        Row(f"AR_{count}", "AR", every, "all", count, _mean(recall[:, :, 0, index]))
        for index, count in enumerate(max_dets)
    ]
    return rows + [
        Row(f"AR_{area}", "AR", every, area, last, _mean(recall[:, :, index, -1]))
        for index, area in enumerate(AREAS)
        if index
    ]


def _mean(values: np.ndarray) -> float:
    """Mean over everything that has objects."""
    counted = values[values > NOTHING]
    return float(counted.mean()) if counted.size else NOTHING


def read_results(path: str | Path, instances: Instances) -> list[dict]:
    """Detections of a results JSON (https://cocodataset.org/#format-results) on the images of ``instances``.

    Raises:
        UserError: Not such a file, or a row on an image or of a category that the ground truth does not have.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise UserError("is not COCO's results format", where=path, hint="a list of detections is wanted")
    images = set(instances_ids(instances))
    return [_detection(entry, index, images, instances, Path(path)) for index, entry in enumerate(content)]


def _detection(entry: Any, index: int, images: set[int], instances: Instances, path: Path) -> dict:
    where = f"detection {index}"
    image, category = (number_of(entry, name, where, path) for name in ("image_id", "category_id"))
    if image not in images:
        raise UserError(f"{where}: no such image_id {image} in {instances.path}", where=path)
    if category not in instances.categories:
        raise UserError(f"{where}: no such category_id {category} in {instances.path}", where=path)
    if "score" not in entry:
        raise UserError(f"{where} has no score", where=path)
    score = entry["score"]
    if not isinstance(score, (int, float)) or not math.isfinite(score):
        raise UserError(f"{where}: score {score!r} is no number", where=path)
    return {"image_id": image, "category_id": category, "bbox": check_bbox(entry.get("bbox"), where, path),
            "score": float(score)}  # fmt: skip


def format_table(result: CocoResult, per_class: bool = False) -> str:
    """The twelve rows as text, each with what it counts; with AP of each class if asked for."""
    lines = [f"{'':<9}{'IoU':>10} {'area':>7} {'maxDets':>8} {'value':>7}"]
    lines += [f"{row.key:<9}{row.iou:>10} {row.area:>7} {row.max_dets:>8} {_text(row.value):>7}" for row in result.rows]
    lines.append(f"{result.detections} detections on {result.images} images; '-': no such object in the ground truth")
    if not result.detections:
        lines.append("warning: no detections were given, so nothing could be found")
    if per_class:
        width = max(map(len, result.per_class), default=0) + 2
        lines += ["", f"{'class':<{width}}{'AP':>7}{'AP50':>8}   (IoU 0.50:0.95 and 0.50, area all, "
                  f"maxDets {result.rows[0].max_dets})"]  # fmt: skip
        lines += [f"{name:<{width}}{_text(ap):>7}{_text(ap50):>8}" for name, (ap, ap50) in result.per_class.items()]
    return "\n".join(lines)


def _text(value: float) -> str:
    return "-" if value == NOTHING else f"{value:.3f}"


def result_to_json(result: CocoResult) -> dict:
    """For ``json.dump``; null where there is no such object."""
    return {
        "rows": [
            {"key": row.key, "kind": row.kind, "iou": row.iou, "area": row.area, "max_dets": row.max_dets,
             "value": _value(row.value)} for row in result.rows
        ],
        "per_class": {
            name: {"AP": _value(ap), "AP50": _value(ap50)} for name, (ap, ap50) in result.per_class.items()
        },
        "images": result.images,
        "detections": result.detections,
    }  # fmt: skip


def _value(value: float) -> float | None:
    return None if value == NOTHING else value
