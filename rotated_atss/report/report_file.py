"""Read the ``report.json`` of an evaluation report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rotated_atss.analysis.evaluation.report_json import FORMAT
from rotated_atss.coco.json_file import read_json
from rotated_atss.errors import UserError
from rotated_atss.report.schema import check_report

REPORT_JSON = "report.json"


def read_report(path: str | Path) -> dict[str, Any]:
    """Read and validate a ``report.json``.

    Args:
        path: The file, or the folder of a report.

    Raises:
        UserError: The file is missing, is not a report, or has infinite or NaN numbers.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "report.json").write_text("[]")
        ...     read_report(folder)
        Traceback (most recent call last):
        rotated_atss.errors.UserError: .../report.json: not a report of rotated-atss, got list (give a report.json)
    """
    path = Path(path)
    path = path / REPORT_JSON if path.is_dir() else path
    content = read_json(path)
    check_report(content, path)
    try:
        json.dumps(content, allow_nan=False)  # raises ValueError if there is a NaN or infinite number at any depth
    except ValueError as error:
        raise UserError("a number is not finite", where=path, hint="run the evaluation again") from error
    return content


def is_report(path: str | Path) -> bool:
    """Return whether a file is a ``report.json``, of any version.

    Example:
        >>> is_report("no_such_file.json")
        False
    """
    try:
        content = read_json(path)
    except UserError:
        return False
    # "format" holds the name of the format only. The version, in "format_version", is not checked.
    return isinstance(content, dict) and content.get("format") == FORMAT
