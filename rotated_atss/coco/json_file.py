"""Read COCO's JSON files and check their values; errors name the file and the entry."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from rotated_atss.errors import UserError, printable
from rotated_atss.io.files import read_bytes

_MAX_INTEGER = 2**63 - 1  # the largest int64; larger integers do not fit in NumPy and torch arrays


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: The file is missing or not valid JSON.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.json").write_text('{"images": []}')
        ...     read_json(Path(folder, "a.json"))
        {'images': []}
    """
    try:
        return json.loads(read_bytes(path))
    except json.JSONDecodeError as error:
        message = f"not valid JSON: {error.msg} at column {error.colno}"
        raise UserError(message, where=f"{path}:{error.lineno}", hint="check that the file is complete") from error
    # The file is not UTF-8, is nested too deeply, or contains an integer with too many digits.
    except (ValueError, RecursionError, OverflowError) as error:
        raise UserError(f"not valid JSON: {error}", where=path) from error


def get_integer(entry: Any, key: str, label: str, path: str | Path) -> int:
    """Return the integer ``entry[key]``; a float such as 7.0 is converted.

    Args:
        entry: An entry of the file.
        key: Key of the value.
        label: Name of the entry for error messages, such as ``images[0]``.
        path: Path of the file for error messages.

    Raises:
        UserError: The entry is not an object or has no such key, or the value is not an integer that fits in int64.

    Example:
        >>> get_integer({"id": 7.0}, "id", "images[0]", "instances.json")
        7
    """
    if not isinstance(entry, dict):
        raise UserError(f"{label} must be an object, got {entry!r:.40}", where=path)
    if key not in entry:
        raise UserError(f"{label} has no {key}", where=path)
    value = entry[key]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _MAX_INTEGER:
        raise UserError(f"{label}: {key} must be an integer, got {value!r:.40}", where=path)
    return value


def get_bbox(entry: dict, label: str, path: str | Path) -> list[float]:
    """Return the box ``x, y, width, height`` of an entry as four floats.

    Raises:
        UserError: The entry has no box, or the box does not have four finite numbers.

    Example:
        >>> get_bbox({"bbox": [0, 0, 5, 5]}, "annotations[0]", "instances.json")
        [0.0, 0.0, 5.0, 5.0]
    """
    bbox = entry.get("bbox")
    if not isinstance(bbox, (list, tuple)) or len(bbox) != 4 or not all(map(is_finite_number, bbox)):
        raise UserError(
            f"{label}: bbox must be four numbers x, y, width, height, got {printable(repr(bbox), 80)}", where=path
        )
    return [float(value) for value in bbox]


def is_finite_number(value: Any) -> bool:
    """Return whether a JSON value is a finite number. Integers that do not fit in int64 are rejected, too.

    Example:
        >>> is_finite_number(0.5), is_finite_number("0.5"), is_finite_number(float("nan")), is_finite_number(True)
        (True, False, False, False)
    """
    if isinstance(value, bool):  # a subclass of int
        return False
    if isinstance(value, int):
        return abs(value) <= _MAX_INTEGER
    return isinstance(value, float) and math.isfinite(value)
