"""AP of the evaluators in one form, undefined values as NaN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rotated_atss.coco.coco_result import UNDEFINED, CocoResult
from rotated_atss.dota.ap_result import EvaluationResult

NAMES = ("AP50", "AP75", "AP50_95")


@dataclass(frozen=True)
class ApFigures:
    """AP50, AP75 and AP50_95.

    Attributes:
        mean: Means over the classes with objects, by :data:`NAMES`.
        per_class: The same by class.
    """

    mean: Mapping[str, float]
    per_class: Mapping[str, Mapping[str, float]]


def from_task1_result(result: EvaluationResult) -> ApFigures:
    """Take the AP of an evaluation of Task1 detections.

    Example:
        >>> from rotated_atss.dota.ap_result import ClassResult
        >>> ship = ClassResult(npos=2, nignored=0, ndet=3, ap_by_iou={0.5: 0.75}, max_recall=1.0)
        >>> figures = from_task1_result(EvaluationResult({"ship": ship}, 1, "area", "count", "v1.5", (0.5,)))
        >>> figures.mean["AP50"], figures.per_class["ship"]["AP50_95"]
        (0.75, 0.75)
    """
    per_class = {
        name: dict(zip(NAMES, (each.ap50, each.ap75, each.ap50_95))) for name, each in result.per_class.items()
    }
    return ApFigures(result.values(), per_class)


def from_coco_result(result: CocoResult) -> ApFigures:
    """Take the AP of COCO's box evaluation.

    Example:
        >>> figures = from_coco_result(CocoResult([], {"ship": (0.5, -1.0)}, ap75_per_class={"ship": 0.25}))
        >>> figures.per_class["ship"]
        {'AP50': nan, 'AP75': 0.25, 'AP50_95': 0.5}
    """
    values = {UNDEFINED: float("nan")}
    per_class = {
        name: {
            key: values.get(value, value)
            for key, value in zip(NAMES, (ap50, result.ap75_per_class.get(name, UNDEFINED), ap))
        }
        for name, (ap, ap50) in result.per_class.items()
    }
    means = result.values()
    mean = {key: means.get(name, UNDEFINED) for key, name in zip(NAMES, ("AP50", "AP75", "AP"))}
    return ApFigures({key: values.get(value, value) for key, value in mean.items()}, per_class)
