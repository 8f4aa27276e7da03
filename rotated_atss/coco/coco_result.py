"""Result of COCO's box evaluation, formatted as a table or as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields

from rotated_atss.errors import count_of

UNDEFINED = -1.0
"""COCO's value for a metric without ground truth."""

_ROW_FORMAT = "{key:<9}{iou:>10} {area:>7} {max_dets:>8} {value:>7}"  # without MetricRow.kind, which the key contains


@dataclass(frozen=True)
class MetricRow:
    """One of COCO's metrics and its settings.

    Attributes:
        key: Name of the metric, such as ``AP50``.
        kind: ``AP`` or ``AR``.
        iou: IoU threshold or range.
        area: ``all``, ``small``, ``medium`` or ``large``.
        max_dets: Maximum number of detections per image and class.
        value: The metric, or :data:`UNDEFINED` without ground truth.
    """

    key: str
    kind: str
    iou: str
    area: str
    max_dets: int
    value: float


@dataclass(frozen=True)
class CocoResult:
    """COCO's twelve metrics, and AP by class.

    Attributes:
        rows: The metrics in COCO's order.
        per_class: By class name, AP at IoU 0.50:0.95 and AP at IoU 0.50.
        images: Number of evaluated images.
        detections: Number of detections.
        ap75_per_class: By class name, AP at IoU 0.75.
    """

    rows: list[MetricRow]
    per_class: dict[str, tuple[float, float]] = field(default_factory=dict)
    images: int = 0
    detections: int = 0
    ap75_per_class: dict[str, float] = field(default_factory=dict)

    def values(self) -> dict[str, float]:
        """Return the metrics by key: ``AP``, ``AP50``, ``AP75``, ``AP_small``, ..., ``AR_1``, ..., ``AR_large``."""
        return {row.key: row.value for row in self.rows}


def format_table(result: CocoResult, per_class: bool = False) -> str:
    """Format the twelve metrics with their settings as a table.

    Args:
        result: Result to format.
        per_class: Append a table of AP by class.

    Example:
        >>> print(format_table(CocoResult([MetricRow("AP50", "AP", "0.50", "all", 100, 0.25)])).splitlines()[1])
        AP50           0.50     all      100   0.250
    """
    rows = [asdict(row) | {"value": _format_value(row.value)} for row in result.rows]
    header = {column.name: column.name for column in fields(MetricRow)}
    lines = [_ROW_FORMAT.format_map(row) for row in [header, *rows]]
    counts = f"{count_of(result.detections, 'detection')} on {count_of(result.images, 'image')}"
    lines.append(f"{counts}; '-': no such object in the ground truth")
    if not result.detections:
        lines.append("warning: there are no detections")
    if per_class:
        lines += _format_class_lines(result)
    return "\n".join(lines)


def result_to_json(result: CocoResult) -> dict:
    """Convert a result to plain values for ``json.dump``; undefined metrics become None.

    Example:
        >>> result_to_json(CocoResult([], {"ship": (0.5, -1.0)}))["per_class"]
        {'ship': {'AP': 0.5, 'AP50': None}}
    """
    rows = [asdict(row) | {"value": _none_if_undefined(row.value)} for row in result.rows]
    per_class = {
        name: {"AP": _none_if_undefined(ap), "AP50": _none_if_undefined(ap50)}
        for name, (ap, ap50) in result.per_class.items()
    }
    return {"rows": rows, "per_class": per_class, "images": result.images, "detections": result.detections}


def _format_class_lines(result: CocoResult) -> list[str]:
    width = max(map(len, result.per_class), default=0) + 2
    ap_row = result.rows[0]  # AP by class is computed with the same max_dets as AP
    settings = f"(IoU 0.50:0.95 and 0.50, area all, max_dets {ap_row.max_dets})"
    lines = ["", f"{'class':<{width}}{'AP':>7}{'AP50':>8}   {settings}"]
    for name, (ap, ap50) in result.per_class.items():
        lines.append(f"{name:<{width}}{_format_value(ap):>7}{_format_value(ap50):>8}")
    return lines


def _format_value(value: float) -> str:
    return "-" if value == UNDEFINED else f"{value:.3f}"


def _none_if_undefined(value: float) -> float | None:
    return None if value == UNDEFINED else value
