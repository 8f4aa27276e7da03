"""Read the JSON file that ``assignment-stats`` writes, to include it in an evaluation report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rotated_atss.coco.json_file import is_finite_number
from rotated_atss.errors import UserError, quote
from rotated_atss.io.files import read_bytes

# The file has one summary per assigner, such as ATSS. These are the keys of a summary.
# ``without`` is the number of objects without positives.
_COUNTS = ("positives", "without")
_NUMBERS_OR_NULL = ("positives_per_object", "expected_per_object", "above_threshold_per_object", "deviation")
# ``by_angle`` is optional because horizontal boxes have no angles
_IS_GROUPING_REQUIRED = {"by_size": True, "by_aspect": True, "by_angle": False}
_HINT = "write it with rotated-atss assignment-stats --json"


def read_assignment_report(path: str | Path) -> dict[str, Any]:
    """Read and validate a file that ``assignment-stats --json`` has written.

    Args:
        path: The JSON file.

    Returns:
        The content of the file: ``objects`` and ``assigners``, as
        :func:`rotated_atss.analysis.positive_counts.summarize` returns them, ``config`` (name of the config) and
        ``images`` (number of images).

    Raises:
        UserError: The file is missing or not JSON, or one of its keys is missing or has a wrong value.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "stats.json")
        ...     _ = path.write_text('{"config": "a", "images": 1, "objects": 0, "assigners": {}}')
        ...     read_assignment_report(path)
        Traceback (most recent call last):
        rotated_atss.errors.UserError: ...stats.json: 'assigners' must not be empty, got {} (write it with ...)
    """
    try:
        content = json.loads(read_bytes(path), parse_constant=_reject_nonfinite)
    except (ValueError, RecursionError) as error:
        raise UserError(f"not a JSON file: {error}", where=path, hint=_HINT) from error
    if not isinstance(content, dict) or not {"config", "images", "objects", "assigners"} <= content.keys():
        raise UserError("not a file of assignment statistics", where=path, hint=_HINT)
    _check(isinstance(content["config"], str), "config", "must be a string", content["config"], path)
    for key in ("images", "objects"):
        _check_count(content[key], key, path)
    _check(isinstance(content["assigners"], dict), "assigners", "must be an object", content["assigners"], path)
    _check(len(content["assigners"]) > 0, "assigners", "must not be empty", content["assigners"], path)
    for name, summary in content["assigners"].items():
        _check(isinstance(summary, dict), f"assigners.{name}", "must be an object", summary, path)
        _check_summary(summary, f"assigners.{name}", path)
    return content


def _reject_nonfinite(token: str) -> None:
    # Python's parser accepts NaN, Infinity and -Infinity, which JSON does not have
    raise ValueError(f"{token} is not a JSON number")


def _check_summary(summary: dict[str, Any], parent: str, path: str | Path) -> None:
    # ``parent`` is the dotted key of the summary in the file, for the messages
    for key in _COUNTS:
        _check_count(summary.get(key), f"{parent}.{key}", path)
    for key in _NUMBERS_OR_NULL:
        value = summary.get(key)
        _check(value is None or _is_number(value), f"{parent}.{key}", "must be a number or null", value, path)
    count_per_stride, histogram = summary.get("by_level"), summary.get("objects_by_positives")
    _check(isinstance(count_per_stride, dict), f"{parent}.by_level", "must be an object", count_per_stride, path)
    for stride, count in summary["by_level"].items():
        _check_count(count, f"{parent}.by_level.{stride}", path)
    _check(isinstance(histogram, list), f"{parent}.objects_by_positives", "must be a list", histogram, path)
    for index, count in enumerate(summary["objects_by_positives"]):
        _check_count(count, f"{parent}.objects_by_positives.{index}", path)
    for key, is_required in _IS_GROUPING_REQUIRED.items():
        if is_required or key in summary:
            _check(isinstance(summary.get(key), list), f"{parent}.{key}", "must be a list", summary.get(key), path)
            _check_groups(summary[key], f"{parent}.{key}", path)


def _check_groups(groups: Sequence[Any], parent: str, path: str | Path) -> None:
    # A group holds the objects with a size, aspect ratio or angle between its ``from`` and ``to``.
    # ``to`` is null if the group has no upper bound.
    for index, group in enumerate(groups):
        group_key = f"{parent}.{index}"
        _check(isinstance(group, dict), group_key, "must be an object", group, path)
        _check(_is_number(group.get("from")), f"{group_key}.from", "must be a number", group.get("from"), path)
        upper, mean = group.get("to"), group.get("positives_per_object")
        _check(upper is None or _is_number(upper), f"{group_key}.to", "must be a number or null", upper, path)
        _check(_is_number(mean), f"{group_key}.positives_per_object", "must be a number", mean, path)
        for key in ("objects", "without"):
            _check_count(group.get(key), f"{group_key}.{key}", path)


def _check_count(value: Any, key: str, path: str | Path) -> None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    _check(is_count, key, "must be an integer of at least 0", value, path)


def _is_number(value: Any) -> bool:
    return is_finite_number(value) and not isinstance(value, bool)


def _check(is_valid: bool, key: str, rule: str, value: Any, path: str | Path) -> None:
    if not is_valid:
        raise UserError(f"{quote(key)} {rule}, got {json.dumps(value)[:80]}", where=path, hint=_HINT)
