"""Convert the AP of the DOTA evaluation and of COCO's box evaluation to one form.

Undefined values are NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rotated_atss.coco.coco_result import UNDEFINED, CocoResult
from rotated_atss.dota.ap_result import EvaluationResult


@dataclass(frozen=True)
class ApValues:
    """AP of an evaluation; the keys are ``AP50``, ``AP75`` and ``AP50_95``.

    Attributes:
        mean: Mean over the classes that have objects, for each key.
        per_class: AP of each class, indexed by class name and then by key.
    """

    mean: Mapping[str, float]
    per_class: Mapping[str, Mapping[str, float]]


def from_task1_result(result: EvaluationResult) -> ApValues:
    """Convert the result of an evaluation of Task1 detections.

    Example:
        >>> from rotated_atss.dota.ap_result import ClassResult
        >>> ship = ClassResult(npos=2, nignored=0, ndet=3, ap_by_iou={0.5: 0.75}, max_recall=1.0)
        >>> result = EvaluationResult(
        ...     {"ship": ship}, images=1, metric="area", difficult="count", dataset="v1.5", iou_thresholds=(0.5,)
        ... )
        >>> ap_values = from_task1_result(result)
        >>> ap_values.mean["AP50"], ap_values.per_class["ship"]["AP50_95"]
        (0.75, 0.75)
    """
    per_class = {
        name: {"AP50": class_result.ap50, "AP75": class_result.ap75, "AP50_95": class_result.ap50_95}
        for name, class_result in result.per_class.items()
    }
    return ApValues(mean=result.values(), per_class=per_class)


def from_coco_result(result: CocoResult) -> ApValues:
    """Convert the result of COCO's box evaluation.

    Example:
        >>> ap_and_ap50 = (0.5, -1.0)  # COCO's AP is AP50_95 here; COCO's -1 stands for an undefined value
        >>> ap_values = from_coco_result(CocoResult([], {"ship": ap_and_ap50}, ap75_per_class={"ship": 0.25}))
        >>> ap_values.per_class["ship"]
        {'AP50': nan, 'AP75': 0.25, 'AP50_95': 0.5}
    """
    means = result.values()
    mean = _name_values(means.get("AP50", UNDEFINED), means.get("AP75", UNDEFINED), means.get("AP", UNDEFINED))
    per_class = {
        name: _name_values(ap50, result.ap75_per_class.get(name, UNDEFINED), ap)
        for name, (ap, ap50) in result.per_class.items()
    }
    return ApValues(mean, per_class)


def _name_values(ap50: float, ap75: float, ap: float) -> dict[str, float]:
    """Return three values of COCO's evaluation, keyed by their names. Undefined values, -1 in COCO, become NaN."""
    values = {"AP50": ap50, "AP75": ap75, "AP50_95": ap}
    return {name: float("nan") if value == UNDEFINED else value for name, value in values.items()}
