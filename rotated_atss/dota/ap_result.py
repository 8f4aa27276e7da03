"""Results of the evaluation of detections, as a table and as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rotated_atss.errors import count_of, printable
from rotated_atss.io.json_values import replace_nonfinite
from rotated_atss.io.text_table import align_columns

# These dicts map the names of values in the table and in the JSON to attributes of ClassResult. The attributes in
# _AP_FIELDS also exist in EvaluationResult.
_AP_FIELDS = {"AP50": "ap50", "AP75": "ap75", "AP50_95": "ap50_95"}
_COUNT_FIELDS = {"objects": "npos", "detections": "ndet"}
_CLASS_FIELDS = {**_COUNT_FIELDS, "recall": "max_recall", **_AP_FIELDS}


@dataclass(frozen=True)
class ClassResult:
    """Evaluation result of one class; AP and recall are NaN where ``npos`` is 0.

    Attributes:
        npos: Number of ground-truth objects, without ignored ones.
        nignored: Number of ignored ground-truth objects.
        ndet: Number of detections.
        ap_by_iou: Average precision by IoU threshold.
        max_recall: Recall at the lowest IoU threshold, without a score threshold.
    """

    npos: int
    nignored: int
    ndet: int
    ap_by_iou: dict[float, float]
    max_recall: float

    @property
    def ap50(self) -> float:
        """AP at IoU 0.5; NaN if that threshold was not evaluated."""
        return self.ap_by_iou.get(0.5, float("nan"))

    @property
    def ap75(self) -> float:
        """AP at IoU 0.75; NaN if that threshold was not evaluated."""
        return self.ap_by_iou.get(0.75, float("nan"))

    @property
    def ap50_95(self) -> float:
        """Mean AP over the evaluated IoU thresholds, by default 0.5, 0.55, ..., 0.95."""
        return float(np.mean(list(self.ap_by_iou.values())))


@dataclass(frozen=True)
class EvaluationResult:
    """Evaluation result of all classes.

    Attributes:
        per_class: Results by class name.
        images: Number of evaluated images.
        metric: ``voc07``, ``area`` or ``coco``.
        difficult: ``ignore`` or ``count``.
        dataset: Name of the dataset whose evaluation rule was used, such as ``v1.0`` for DOTA.
        iou_thresholds: Evaluated IoU thresholds.
        by_size: With the metric ``coco``, the mean AP over IoU thresholds and classes, by name of the size range. The
            first size range, such as "all" for COCO, gives the AP that the dataset reports. All other values of this
            result belong to this range, too.
    """

    per_class: dict[str, ClassResult]
    images: int
    metric: str
    difficult: str
    dataset: str
    iou_thresholds: tuple[float, ...]
    by_size: Mapping[str, float] = field(default_factory=dict)

    @property
    def ap50(self) -> float:
        """Mean AP at IoU 0.5 over the classes with ground truth."""
        return self._mean("ap50")

    @property
    def ap75(self) -> float:
        """Mean AP at IoU 0.75 over the classes with ground truth."""
        return self._mean("ap75")

    @property
    def ap50_95(self) -> float:
        """Mean AP over IoU thresholds and classes with ground truth."""
        return self._mean("ap50_95")

    @property
    def scored(self) -> list[str]:
        """Names of the classes with ground truth."""
        return [name for name, result in self.per_class.items() if result.npos]

    def values(self) -> dict[str, float]:
        """Return the mean APs over the classes with ground truth, by name: ``AP50``, ``AP75``, ``AP50_95``."""
        return _field_values(self, _AP_FIELDS)

    def _mean(self, attribute: str) -> float:
        values = [getattr(self.per_class[name], attribute) for name in self.scored]
        return float(np.mean(values)) if values else float("nan")


def result_to_json(result: EvaluationResult) -> dict[str, Any]:
    """Convert a result to values for ``json.dump``. None replaces NaN, for example for a class without ground truth.

    Example:
        >>> plane = ClassResult(npos=2, nignored=0, ndet=3, ap_by_iou={0.5: 0.75}, max_recall=1.0)
        >>> result = EvaluationResult({"plane": plane}, 1, "voc07", "ignore", "v1.0", (0.5,))
        >>> result_to_json(result)["per_class"]["plane"]
        {'objects': 2, 'detections': 3, 'recall': 1.0, 'AP50': 0.75, 'AP75': None, 'AP50_95': 0.75}
    """
    content = {
        **result.values(),
        **({"by_size": result.by_size} if result.by_size else {}),
        "per_class": {
            name: _field_values(class_result, _CLASS_FIELDS) for name, class_result in result.per_class.items()
        },
        "metric": result.metric,
        "difficult": result.difficult,
        "dataset": result.dataset,
        "iou_thresholds": list(result.iou_thresholds),
        "images": result.images,
    }
    return replace_nonfinite(content)


def format_table(result: EvaluationResult) -> str:
    """Format a result as an aligned table with one row per class, followed by the evaluation settings.

    Example:
        >>> plane = ClassResult(npos=2, nignored=0, ndet=3, ap_by_iou={0.5: 0.75}, max_recall=1.0)
        >>> result = EvaluationResult({"plane": plane}, 1, "voc07", "ignore", "v1.0", (0.5,))
        >>> print(format_table(result).splitlines()[2])
        plane        2           3  1.0000  0.7500     -   0.7500
    """
    rows = [("class", *_CLASS_FIELDS)]
    for name, class_result in result.per_class.items():
        values = _field_values(class_result, _CLASS_FIELDS).values()
        rows.append((printable(name), *map(_format_value, values)))
    class_results = result.per_class.values()
    totals = [
        sum(getattr(class_result, attribute) for class_result in class_results) for attribute in _COUNT_FIELDS.values()
    ]
    mean_recall = ""  # a mean of the recalls is not reported
    means = result.values()
    rows.append(("mean", *map(str, totals), mean_recall, *map(_format_value, means.values())))
    lines = align_columns(rows)
    separator = "-" * len(lines[0])
    return "\n".join([lines[0], separator, *lines[1:-1], separator, lines[-1], *_format_settings(result)])


def _format_settings(result: EvaluationResult) -> list[str]:
    metrics = {"voc07": "VOC07, 11 points", "area": "area under the curve", "coco": "COCO, 101 points"}
    metric = metrics[result.metric]
    ignored = sum(class_result.nignored for class_result in result.per_class.values())
    rule = (
        f"{count_of(ignored, 'difficult object')} ignored"
        if result.difficult == "ignore"
        else "difficult objects counted"
    )
    scope = f"{count_of(len(result.scored), 'class')} on {count_of(result.images, 'image')}"
    lines = [f"mAP at IoU 0.5: {_format_value(result.ap50)} over {scope} ({metric}; {rule})"]
    if result.by_size:
        values = ", ".join(f"{name} {_format_value(value)}" for name, value in result.by_size.items())
        lines.append(f"AP50:95 by size: {values}; the table is for {next(iter(result.by_size))} objects")
    excluded = [name for name, class_result in result.per_class.items() if not class_result.npos]
    if excluded:
        lines.append(f"classes without ground truth, excluded from the mean: {', '.join(excluded)}")
    return lines


def _format_value(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "-" if np.isnan(value) else f"{value:.4f}"


def _field_values(result: ClassResult | EvaluationResult, fields: dict[str, str]) -> dict[str, Any]:
    return {name: getattr(result, attribute) for name, attribute in fields.items()}
