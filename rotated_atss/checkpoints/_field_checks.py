"""Check the fields of JSON objects, which are model metadata, graph metadata and entries of model registries.

Each ``check_*`` function returns the checked value, converted to the function's return type, or raises an error that
names the field.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from rotated_atss.errors import UserError, printable

T = TypeVar("T")

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # refused because a terminal would interpret such characters


def field_error(name: str, expected: str, value: object) -> UserError:
    """Create an error that reports the wrong value of a field.

    Example:
        >>> str(field_error("window.size", "an integer of at least 0", -1))
        'window.size must be an integer of at least 0, got -1'
    """
    return UserError(f"{name} must be {expected}, got {printable(repr(value), 80)}")


def set_field(instance: object, name: str, value: object) -> None:
    """Set a field of a frozen dataclass. Call this only in ``__post_init__`` of the dataclass.

    Example:
        >>> from rotated_atss.checkpoints.model_info import Window
        >>> window = Window(size=256, gap=64)
        >>> set_field(window, "gap", 32)
        >>> window.gap
        32
    """
    object.__setattr__(instance, name, value)


def check_int(name: str, value: object, low: int = 0) -> int:
    """Check that a value is an integer of at least ``low``.

    Example:
        >>> check_int("tiles", 12)
        12
    """
    if type(value) is not int or value < low:  # isinstance would accept True and False
        raise field_error(name, f"an integer of at least {low}", value)
    return value


def check_number(name: str, value: object, low: float = -math.inf, high: float = math.inf) -> float:
    """Check that a value is a finite number from ``low`` to ``high``, and convert it to float.

    Example:
        >>> check_number("threshold", 1, 0, 1)
        1.0
    """
    # A JSON integer can be too large for float. It is rejected here, because float() would raise OverflowError.
    is_number = type(value) is float or (type(value) is int and abs(value) <= sys.float_info.max)
    if not is_number or not math.isfinite(value) or not low <= value <= high:  # type: ignore[arg-type,operator]
        if low == -math.inf:
            allowed_range = ""
        elif high == math.inf:
            allowed_range = f" of at least {low:g}"
        else:
            allowed_range = f" from {low:g} to {high:g}"
        raise field_error(name, f"a finite number{allowed_range}", value)
    return float(value)  # type: ignore[arg-type]


def check_string(name: str, value: object, *, multiline: bool = False) -> str:
    """Check that a value is a non-blank string without control characters.

    Args:
        name: Name of the field, for the error.
        value: The value.
        multiline: Whether line feeds are allowed.

    Example:
        >>> check_string("config_name", "demo")
        'demo'
    """
    if not isinstance(value, str) or not value.strip():
        raise field_error(name, "a non-empty string", value)
    if _CONTROL_CHARACTER.search(value.replace("\n", "") if multiline else value):
        raise field_error(name, "a string without control characters", value)
    return value


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Check that a value is one of the choices.

    Example:
        >>> check_choice("box_type", "obb", ("obb", "hbb"))
        'obb'
    """
    if value not in choices:
        raise field_error(name, f"one of {', '.join(choices)}", value)
    return str(value)


def check_numbers(name: str, value: object, length: int, low: float = -math.inf) -> tuple[float, ...]:
    """Check that a value is a sequence of ``length`` finite numbers of at least ``low``, and convert it to a tuple.

    Example:
        >>> check_numbers("mean", [0, 0, 0], 3)
        (0.0, 0.0, 0.0)
    """
    if not isinstance(value, (list, tuple)) or len(value) != length:
        raise field_error(name, f"{length} numbers", value)
    return tuple(check_number(f"{name}[{index}]", item, low) for index, item in enumerate(value))


def check_strings(name: str, value: object) -> tuple[str, ...]:
    """Check that a value is a non-empty sequence of distinct strings, and convert it to a tuple.

    Example:
        >>> check_strings("classes", ["plane", "ship"])
        ('plane', 'ship')
    """
    if not isinstance(value, (list, tuple)) or not value:
        raise field_error(name, "a non-empty list of strings", value)
    strings = tuple(check_string(f"{name}[{index}]", item) for index, item in enumerate(value))
    if len(set(strings)) < len(strings):
        raise field_error(name, "a list of distinct strings", value)
    return strings


def check_mapping(name: str, value: object) -> dict[str, Any]:
    """Check that a value is a mapping whose keys are strings without control characters. Convert it to a dictionary.

    Example:
        >>> check_mapping("objects", {"plane": 3})
        {'plane': 3}
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise field_error(name, "an object", value)
    if any(_CONTROL_CHARACTER.search(key) for key in value):
        raise field_error(name, "an object whose keys have no control characters", value)
    return dict(value)


def build_dataclass(dataclass_type: type[T], name: str, value: object) -> T:
    """Build a dataclass from a JSON object.

    Args:
        dataclass_type: A dataclass whose ``__post_init__`` checks its values.
        name: Name of the object in errors.
        value: The object, with one key per field. Fields that have defaults can be missing.

    Raises:
        UserError: ``value`` is not an object, a field is missing or unknown, or a value is wrong.

    Example:
        >>> from rotated_atss.checkpoints.model_info import Window
        >>> build_dataclass(Window, "window", {"size": 256, "gap": 64})
        Window(size=256, gap=64)
        >>> build_dataclass(Window, "window", {"size": 256})
        Traceback (most recent call last):
        ...
        rotated_atss.errors.UserError: window has no field gap
    """
    values = check_mapping(name, value)
    known_fields = {field.name: field for field in fields(dataclass_type)}  # type: ignore[arg-type]
    for key in values:
        if key not in known_fields:
            raise UserError(f"{name} has an unknown field {printable(key, 80)}")
    for key, field in known_fields.items():
        if key not in values and field.default is MISSING and field.default_factory is MISSING:
            raise UserError(f"{name} has no field {key}")
    return dataclass_type(**values)


def parse_dataclass(
    dataclass_type: type[T], name: str, text: object, where: object, *, newest_format: int, hint: str
) -> T:
    """Build a dataclass from JSON text that has one field more than the dataclass: ``format``, the format version.

    Args:
        dataclass_type: A dataclass, as for :func:`build_dataclass`.
        name: Name of the JSON object in errors.
        text: The JSON text, or its parsed content.
        where: The file that contains the text, for errors.
        newest_format: Newest format version that this package reads.
        hint: What to do if the text is not valid. If the format is too new, the hint is to update this package instead.

    Raises:
        UserError: The text is not JSON, its format is too new, a field is missing or unknown, or a value is wrong.

    Example:
        >>> from rotated_atss.checkpoints.model_info import Window
        >>> parse_dataclass(Window, "w", '{"format": 1, "size": 9, "gap": 1}', None, newest_format=1, hint="")
        Window(size=9, gap=1)
    """
    try:
        values = check_mapping(name, json.loads(text) if isinstance(text, str) else text)
        version = check_int("format", values.pop("format", None), 1)
        if version <= newest_format:
            return build_dataclass(dataclass_type, name, values)
    except UserError as error:
        raise UserError(error.what, where=where, hint=hint) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} is not valid JSON", where=where, hint=hint) from error
    what = f"{name} has format {version}, but this rotated-atss reads formats up to {newest_format}"
    raise UserError(what, where=where, hint="update rotated-atss")
