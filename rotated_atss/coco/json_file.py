"""JSON files of other people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rotated_atss.errors import UserError
from rotated_atss.io.files import read_bytes


def read_json(path: str | Path) -> Any:
    """The content of a JSON file.

    Raises:
        UserError: No such file, or not JSON: the line where it breaks.
    """
    try:
        return json.loads(read_bytes(path))
    except json.JSONDecodeError as error:
        raise UserError(
            f"not valid JSON: {error.msg} at column {error.colno}", where=f"{path}:{error.lineno}", hint="cut short?"
        ) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"not valid JSON: {error}", where=path) from error


def number_of(entry: Any, name: str, where: str, path: str | Path) -> int:
    """The integer ``entry[name]`` of the entry called ``where``.

    Raises:
        UserError: Not an object, or no integer there.
    """
    if not isinstance(entry, dict):
        raise UserError(f"{where} is not an object but {entry!r:.40}", where=path)
    value = entry.get(name)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UserError(f"{where}: {name} is {value!r:.40} instead of an integer" if name in entry else
                        f"{where} has no {name}", where=path)  # fmt: skip
    return value
