"""Section with precision-recall and F1-confidence curves of the classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rotated_atss.analysis.evaluation.report import ALL_CLASSES
from rotated_atss.errors import count_of
from rotated_atss.report.charts import Axis, curve_chart
from rotated_atss.report.html import Html, element, json_script
from rotated_atss.report.numbers import format_ratio
from rotated_atss.report.sections.context import Context, section
from rotated_atss.report.tables import placeholder

# Fields of a curve in report.json that report.js reads.
FIELDS = ("score", "precision", "recall", "f1")


def curves_section(context: Context) -> Html:
    """Return precision-recall and F1-confidence curves, with buttons that highlight classes."""
    curves = {name: curve for name, curve in context.report["curves"].items() if curve["score"]}
    if not curves:
        reason = "No detections." if context.report["summary"]["objects"] else "No objects."
        return section(context, "curves", "Curves", placeholder(reason), table="curves")
    iou = context.iou_limit(context.report["settings"]["iou_threshold"])
    note = f"At {iou}. Each thin line is the curve of a class. The thick line is the curve of all classes together."
    # report.js reads the values of the curves from this list. The attribute data-series of a line is an index into it.
    data = json_script([{"name": name, **_rounded(curve)} for name, curve in curves.items()], id="curve-data")
    figures = element("div", _figures(context, curves), class_="pair")
    buttons = _class_buttons(context, curves)
    return section(context, "curves", "Curves", element("p", note), buttons, figures, data, table="curves")


def _figures(context: Context, curves: dict[str, Any]) -> Iterator[Html]:
    baseline = None if context.baseline is None else context.baseline["curves"]
    threshold = context.report["settings"]["score_threshold"]
    num_classes = sum(name != ALL_CLASSES for name in curves)
    of_classes = f"of {count_of(num_classes, 'class')}"
    pr_chart = curve_chart(curves, Axis("recall"), Axis("precision"), f"Precision-recall curves {of_classes}", baseline)
    yield _figure("Precision and recall", pr_chart)
    score_axis = Axis("score", "score threshold", threshold=threshold)
    f1_chart = curve_chart(curves, score_axis, Axis("f1", "F1"), f"F1-confidence curves {of_classes}", baseline)
    yield _figure("F1 by score threshold", f1_chart)


def _figure(title: str, chart: Html) -> Html:
    return element("figure", element("figcaption", title), chart, element("p", class_="readout", role="status"))


def _class_buttons(context: Context, curves: dict[str, Any]) -> Html:
    """Return a button per class, which highlights the curves of the class, and a button that removes the highlight.

    The buttons are hidden until ``report.js`` shows them.
    """
    ap50 = {row["name"]: row["AP50"] for row in context.report["classes"]}
    buttons = [
        element(
            "button", element("span", class_="swatch"), element("span", name),
            element("small", format_ratio(ap50.get(name), 2)), type="button", aria_pressed="false", data_series=index,
        )
        for index, name in enumerate(curves) if name != ALL_CLASSES
    ]  # fmt: skip
    reset = element("button", "None", type="button", class_="reset", disabled=True)
    note = "with AP50; the baseline is dashed" if context.baseline else "with AP50"
    legend = element("legend", "Highlight classes ", element("small", note))
    return element("fieldset", legend, buttons, reset, class_="chooser", hidden=True)


def _rounded(curve: dict[str, Any]) -> dict[str, list[float]]:
    return {field: [round(value, 4) for value in curve[field]] for field in FIELDS}
