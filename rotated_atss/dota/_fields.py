"""Parsing of single fields of DOTA text."""

import math

from rotated_atss.errors import UserError


def parse_finite(field: str, path: object, line_number: int) -> float:
    """Parse a field as a finite number. Raises UserError with ``path:line`` otherwise."""
    where = f"{path}:{line_number}"
    try:
        value = float(field)
    except ValueError:
        raise UserError(f"'{field}' is not a number", where=where) from None
    if not math.isfinite(value):
        raise UserError(f"'{field}' is not finite", where=where)
    return value
