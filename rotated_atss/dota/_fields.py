"""Fields of DOTA text: what separates them, how long they are, and how numbers are parsed."""

import math
import re

from rotated_atss.errors import UserError, quote

MAX_FIELD_BYTES = 512
"""Maximum length of a field. NumPy stores all entries of a column at the width of the longest, so one long field needs
much memory."""

MAX_NUMBER = 1e15
"""Largest magnitude of a coordinate in pixels or of a score. Products of larger numbers can overflow in float32."""

# Fields are separated by ASCII white space; other control characters belong to no field.
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


def split_fields(line: bytes, path: object, line_number: int) -> list[str]:
    r"""Split a line of DOTA text into its fields.

    Raises:
        UserError: The line is not UTF-8, holds a control character, or has a field that is too long.

    Example:
        >>> split_fields(b"1 2\tship\r", "P0001.txt", 1)
        ['1', '2', 'ship']
    """
    where = f"{path}:{line_number}"
    fields = line.split()
    if len(line) > MAX_FIELD_BYTES:  # a shorter line has no field that is too long
        longest = max(fields, key=len, default=b"")
        if len(longest) > MAX_FIELD_BYTES:
            start = quote(longest[:40].decode(errors="replace"))
            raise UserError(
                f"a field has {len(longest)} characters, {start} ...", where=where, hint="separate fields by spaces"
            )
    if _CONTROL.search(line):
        raise UserError("the line holds a control character", where=where, hint="check that it is a text file in UTF-8")
    try:
        return [field.decode() for field in fields]
    except UnicodeDecodeError:
        raise UserError("not UTF-8 text", where=where, hint="save the file in UTF-8") from None


def parse_finite(field: str, path: object, line_number: int) -> float:
    """Parse a field as a number of at most :data:`MAX_NUMBER`. Raises UserError with ``path:line`` otherwise."""
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


def is_number(field: str) -> bool:
    """Return whether ``float`` accepts a field, as it does ``nan``, ``inf`` and ``1_0``. Such a field is not a name.

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
    """Parse a decimal number as ``float`` does, without the underscores that Python accepts.

    Raises:
        ValueError: The field is not a number.

    Example:
        >>> parse_number("1e3")
        1000.0
    """
    if "_" in field or not field.isascii():
        raise ValueError(field)
    return float(field)
