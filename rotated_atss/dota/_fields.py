"""Split the lines of DOTA text files into fields, and parse numbers."""

import math
import re
from collections.abc import Sequence
from functools import lru_cache

from rotated_atss.errors import UserError, quote

MAX_FIELD_BYTES = 512
"""Maximum length of a field in bytes. NumPy stores every string of an array at the width of the longest string, so a
single long field would make the whole array large."""

MAX_NUMBER = 1e15
"""Largest accepted magnitude of a coordinate (pixels) or score. Areas of much larger boxes overflow in float32."""

# ASCII control characters except white space, which separates fields.
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


def split_fields(line: bytes, path: object, line_number: int) -> list[str]:
    r"""Split a line of DOTA text into its fields.

    Raises:
        UserError: The line is not UTF-8, contains a control character, or has a field longer than
            :data:`MAX_FIELD_BYTES`.

    Example:
        >>> split_fields(b"1 2\tship\r", "P0001.txt", 1)
        ['1', '2', 'ship']
    """
    fields = line.split()
    if len(line) > MAX_FIELD_BYTES:  # a shorter line has no field that is too long
        longest = max(fields, key=len, default=b"")
        if len(longest) > MAX_FIELD_BYTES:
            start = quote(longest[:40].decode(errors="replace"))
            what = f"a field has {len(longest)} bytes, {start} ..."
            raise UserError(what, where=f"{path}:{line_number}", hint="separate fields by spaces")
    if _CONTROL.search(line):
        what = "the line contains a control character"
        raise UserError(what, where=f"{path}:{line_number}", hint="check that the file is UTF-8 text")
    try:
        text = b" ".join(fields).decode()  # faster than decoding each field
    except UnicodeDecodeError:
        raise UserError("not UTF-8 text", where=f"{path}:{line_number}", hint="save the file in UTF-8") from None
    return text.split(" ") if fields else []


def parse_finite(field: str, path: object, line_number: int) -> float:
    """Parse a field as a finite number with a magnitude of at most :data:`MAX_NUMBER`.

    Raises:
        UserError: The field is not a number, not finite or too large. The message starts with ``path:line``.
    """
    where = f"{path}:{line_number}"
    try:
        value = parse_number(field)
    except ValueError:
        raise UserError(f"{quote(field)} is not a number", where=where) from None
    if not math.isfinite(value):
        raise UserError(f"{quote(field)} is not finite", where=where)
    if abs(value) > MAX_NUMBER:
        raise UserError(f"{quote(field)} is too large", where=where, hint=f"use numbers of at most {MAX_NUMBER:g}")
    return value


@lru_cache(maxsize=1024)  # class names occur in many lines
def is_number(field: str) -> bool:
    """Return whether ``float`` can parse a field. Numbers are not accepted as class names.

    Unlike :func:`parse_number`, this function regards strings with underscores as numbers, for example ``1_0``.

    Example:
        >>> is_number("737"), is_number("nan"), is_number("Boeing-737")
        (True, True, False)
    """
    try:
        float(field)
    except ValueError:
        return False
    return True


def parse_number(field: str) -> float:
    """Parse a number as ``float`` does, but reject underscores and non-ASCII digits, which ``float`` accepts.

    Raises:
        ValueError: The field is not a number.

    Example:
        >>> parse_number("1e3")
        1000.0
    """
    if not _is_plain(field):
        raise ValueError(field)
    return float(field)


def parse_numbers(fields: Sequence[str]) -> list[float]:
    """Parse several numbers as :func:`parse_number` does.

    Raises:
        ValueError: A field is not a number.

    Example:
        >>> parse_numbers(["1e3", "-2"])
        [1000.0, -2.0]
    """
    characters = "".join(fields)  # one test of all fields is faster than a test of each
    if not _is_plain(characters):
        raise ValueError(characters)
    return list(map(float, fields))


def _is_plain(characters: str) -> bool:
    """Return whether a string has neither underscores nor non-ASCII characters, which ``float`` accepts in numbers."""
    return "_" not in characters and characters.isascii()
