"""Section on the settings, inputs and files of the report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rotated_atss.report.html import Content, Html, element, render
from rotated_atss.report.sections.context import Context, section
from rotated_atss.report.tables import description_list

# Texts that the page shows for the values of three fields of report.json: metric, difficult and kind.
METRICS = {
    "voc07": "VOC07: 11-point interpolated AP",
    "area": "area under the precision envelope",
    "coco": "COCO: 101-point interpolated AP",
}
DIFFICULT = {"ignore": "ignored", "count": "counted like other objects"}
KINDS = {"oriented": "oriented boxes", "coco": "horizontal boxes, COCO"}


def settings_section(context: Context) -> Html:
    """Return the settings and inputs of the evaluation, the command that repeats it, and links to the data files."""
    report = context.report
    command = report["inputs"].get("command")
    command_html = []
    if command:
        command_html = [element("h3", "Command"), element("pre", element("code", command), tabindex="0")]
    file_links = [element("a", "report.json", href="report.json")]
    file_links += [element("a", name, href=f"tables/{name}") for name in sorted(context.tables)]
    return section(
        context, "settings", "Settings and data", description_list(_settings(report), "settings"),
        element("h3", "Inputs"), description_list(_inputs(report["inputs"]), "settings"), *command_html,
        element("h3", "Files"), element("ul", [element("li", link) for link in file_links], class_="files"),
    )  # fmt: skip


def _settings(report: dict[str, Any]) -> Iterator[tuple[str, Content]]:
    settings = report["settings"]
    yield "Boxes", KINDS.get(report["kind"], report["kind"])
    if settings.get("dataset") is not None:
        yield "Dataset", _format_value(settings["dataset"])
    if settings.get("metric") is not None:
        yield "Metric", METRICS.get(settings["metric"], _format_value(settings["metric"]))
    if settings.get("difficult") is not None:
        label = "Difficult objects" if report["kind"] == "oriented" else "Crowd objects"
        yield label, DIFFICULT.get(settings["difficult"], _format_value(settings["difficult"]))
    if settings.get("iou_thresholds") is not None:
        yield "IoU thresholds of AP", _format_value(settings["iou_thresholds"])
    yield "IoU threshold of counts", _format_value(settings["iou_threshold"])
    score_threshold = _format_value(settings["score_threshold"])
    rule = settings.get("score_threshold_rule")
    yield "Score threshold of counts", f"{score_threshold} ({rule})" if rule else score_threshold
    yield "Created by", report["created_by"]


def _inputs(inputs: dict[str, Any]) -> Iterator[tuple[str, Content]]:
    for name, value in inputs.items():
        if name != "command" and value is not None:
            values = value if isinstance(value, list) else [value]
            yield name.replace("_", " ").capitalize(), [_input_line(item, index) for index, item in enumerate(values)]


def _input_line(value: Any, index: int) -> Html:
    """Return one value of an input, preceded by a line break unless it is the first value (``index`` 0)."""
    return render(element("br") if index else None, element("code", _format_value(value)))


def _format_value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_format_value, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
