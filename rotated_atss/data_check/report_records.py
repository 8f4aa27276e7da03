"""Conversion of file reports to and from JSON. Each shard of a check saves its reports in this form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rotated_atss.data_check.file_jobs import FileReport
from rotated_atss.data_check.image_files import ImageReport
from rotated_atss.data_check.label_files import LabelReport
from rotated_atss.data_check.problems import Problem
from rotated_atss.label_formats.records import ImageLabels


def reports_to_json(reports: Sequence[FileReport]) -> dict[str, Any]:
    """Return the reports of a job as a JSON object.

    Args:
        reports: Reports of images, or reports of label files.

    Example:
        >>> reports = [ImageReport(Path("P1.png"), (40, 30), ".png", "0a")]
        >>> reports_from_json(reports_to_json(reports)) == reports
        True
    """
    return {"reports": [_report_to_json(report) for report in reports]}


def reports_from_json(values: dict[str, Any]) -> list[FileReport]:
    """Rebuild the reports from the JSON object that :func:`reports_to_json` returned.

    Raises:
        LookupError: A key or an item is missing.
        TypeError: A value has the wrong type.
        ValueError: An array has the wrong shape.
    """
    return [_report_from_json(report) for report in values["reports"]]


def _report_to_json(report: FileReport) -> dict[str, Any]:
    common = {
        "path": str(report.path),
        "problems": [[problem.kind, problem.where, problem.message] for problem in report.problems],
    }
    if isinstance(report, LabelReport):
        records = [_record_to_json(record) for record in report.records]
        return {**common, "damaged": report.is_damaged, "records": records}
    return {
        **common,
        "size": report.size,
        "suffix": report.suffix,
        "bytes_hash": report.bytes_hash,
        "pixels_hash": report.pixels_hash,
        "uniform": report.is_uniform,
    }


def _report_from_json(values: dict[str, Any]) -> FileReport:
    path = Path(values["path"])
    problems = tuple(Problem(*problem) for problem in values["problems"])
    if "records" in values:
        return LabelReport(path, tuple(map(_record_from_json, values["records"])), problems, values["damaged"])
    size = None if values["size"] is None else (values["size"][0], values["size"][1])
    return ImageReport(
        path, size, values["suffix"], values["bytes_hash"], values["pixels_hash"], values["uniform"], problems
    )


def _record_to_json(record: ImageLabels) -> dict[str, Any]:
    """Convert the labels of an image. Scores and georeference are left out, because checked labels have neither."""
    return {
        "name": record.name,
        "source": str(record.source),
        "polygons": record.polygons.tolist(),
        "classes": record.classes,
        "difficult": record.difficult.tolist(),
        "size": record.size,
        "lines": record.lines.tolist(),
        "header": record.header,
    }


def _record_from_json(values: dict[str, Any]) -> ImageLabels:
    return ImageLabels(
        name=values["name"],
        source=Path(values["source"]),
        polygons=np.array(values["polygons"], dtype=np.float64).reshape(-1, 8),
        classes=tuple(values["classes"]),
        difficult=np.array(values["difficult"], dtype=np.int64),
        size=None if values["size"] is None else (values["size"][0], values["size"][1]),
        lines=np.array(values["lines"], dtype=np.int64),
        header=tuple(values["header"]),
    )
