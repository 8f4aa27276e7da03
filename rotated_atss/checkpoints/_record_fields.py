"""Checks of the values in JSON records: the records of models and graphs, and the entries of model registries."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from rotated_atss.errors import UserError, printable

Record = TypeVar("Record")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # control characters, which a terminal would interpret


def wrong_value(name: str, expected: str, value: object) -> UserError:
    """Create the error for an entry with another value than expected.

    Example:
        >>> str(wrong_value("window.size", "an integer of at least 0", -1))
        'window.size must be an integer of at least 0, got -1'
    """
    return UserError(f"{name} must be {expected}, got {printable(repr(value), 80)}")


def set_value(record: object, name: str, value: object) -> None:
    """Set a value of a frozen dataclass, from its ``__post_init__``.

    Example:
        >>> from rotated_atss.checkpoints.model_info import Window
        >>> window = Window(size=256, gap=64)
        >>> set_value(window, "gap", 32)
        >>> window.gap
        32
    """
    object.__setattr__(record, name, value)


def check_int(name: str, value: object, low: int = 0) -> int:
    """Return an integer of at least ``low``.

    Example:
        >>> check_int("tiles", 12)
        12
    """
    if type(value) is not int or value < low:  # isinstance would accept True and False
        raise wrong_value(name, f"an integer of at least {low}", value)
    return value


def check_number(name: str, value: object, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a finite number from ``low`` to ``high`` as a float.

    Example:
        >>> check_number("threshold", 1, 0, 1)
        1.0
    """
    is_number = type(value) is float or (type(value) is int and abs(value) <= sys.float_info.max)
    if not is_number or not math.isfinite(value) or not low <= value <= high:  # type: ignore[arg-type,operator]
        if low == -math.inf:
            bounds = ""
        elif high == math.inf:
            bounds = f" of at least {low:g}"
        else:
            bounds = f" from {low:g} to {high:g}"
        raise wrong_value(name, f"a finite number{bounds}", value)
    return float(value)  # type: ignore[arg-type]


def check_text(name: str, value: object, *, multiline: bool = False) -> str:
    """Return a text that is not empty and has no control characters, except line ends with ``multiline``.

    Example:
        >>> check_text("config_name", "demo")
        'demo'
    """
    if not isinstance(value, str) or not value.strip():
        raise wrong_value(name, "a text", value)
    if _CONTROL.search(value.replace("\n", "") if multiline else value):
        raise wrong_value(name, "a text", value)
    return value


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return one of the choices.

    Example:
        >>> check_choice("box_type", "obb", ("obb", "hbb"))
        'obb'
    """
    if value not in choices:
        raise wrong_value(name, f"one of {', '.join(choices)}", value)
    return str(value)


def check_numbers(name: str, value: object, length: int, low: float = -math.inf) -> tuple[float, ...]:
    """Return a sequence of ``length`` numbers as a tuple.

    Example:
        >>> check_numbers("mean", [0, 0, 0], 3)
        (0.0, 0.0, 0.0)
    """
    if not isinstance(value, (list, tuple)) or len(value) != length:
        raise wrong_value(name, f"{length} numbers", value)
    return tuple(check_number(f"{name}[{index}]", item, low) for index, item in enumerate(value))


def check_texts(name: str, value: object) -> tuple[str, ...]:
    """Return a sequence of different texts, at least one, as a tuple.

    Example:
        >>> check_texts("classes", ["plane", "ship"])
        ('plane', 'ship')
    """
    if not isinstance(value, (list, tuple)) or not value:
        raise wrong_value(name, "a list of texts", value)
    texts = tuple(check_text(f"{name}[{index}]", item) for index, item in enumerate(value))
    if len(set(texts)) < len(texts):
        raise wrong_value(name, "different texts", value)
    return texts


def check_mapping(name: str, value: object) -> dict[str, Any]:
    """Return a mapping with texts as keys as a dictionary.

    Example:
        >>> check_mapping("objects", {"plane": 3})
        {'plane': 3}
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise wrong_value(name, "an object", value)
    if any(map(_CONTROL.search, value)):
        raise wrong_value(name, "an object whose keys have no control characters", value)
    return dict(value)


def build_record(kind: type[Record], name: str, value: object) -> Record:
    """Build a dataclass from the object of a JSON record.

    Args:
        kind: A dataclass whose ``__post_init__`` checks its values.
        name: Name of the object in errors.
        value: The object, with an entry per field; fields with defaults can be missing.

    Raises:
        UserError: ``value`` is not an object, an entry is missing or unknown, or a value is wrong.

    Example:
        >>> from rotated_atss.checkpoints.model_info import Window
        >>> build_record(Window, "window", {"size": 256, "gap": 64})
        Window(size=256, gap=64)
        >>> build_record(Window, "window", {"size": 256})
        Traceback (most recent call last):
        ...
        rotated_atss.errors.UserError: window has no entry gap
    """
    entries = check_mapping(name, value)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for key in entries:
        if key not in known:
            raise UserError(f"{name} has an unknown entry {printable(key, 80)}")
    for key, field in known.items():
        if key not in entries and field.default is MISSING and field.default_factory is MISSING:
            raise UserError(f"{name} has no entry {key}")
    return kind(**entries)


def parse_record(
    kind: type[Record], name: str, text: object, where: object, *, newest_format: int, hint: str
) -> Record:
    """Build a dataclass from the JSON text of a record, whose entry ``format`` is its version.

    Args:
        kind: A dataclass, as for :func:`build_record`.
        name: Name of the record in errors.
        text: The text, or its parsed content.
        where: The file, for errors.
        newest_format: Highest version that this package reads.
        hint: What to do about a damaged record.

    Raises:
        UserError: The text is not JSON, is a record of a newer format, or an entry is missing, unknown or wrong.

    Example:
        >>> from rotated_atss.checkpoints.model_info import Window
        >>> parse_record(Window, "w", '{"format": 1, "size": 9, "gap": 1}', None, newest_format=1, hint="")
        Window(size=9, gap=1)
    """
    try:
        entries = check_mapping(name, json.loads(text) if isinstance(text, str) else text)
        version = check_int("format", entries.pop("format", None), 1)
        if version <= newest_format:
            return build_record(kind, name, entries)
    except UserError as error:
        raise UserError(error.what, where=where, hint=hint) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} is not valid JSON", where=where, hint=hint) from error
    what = f"{name} has format {version}, this version reads {newest_format}"
    raise UserError(what, where=where, hint="update rotated-atss")
