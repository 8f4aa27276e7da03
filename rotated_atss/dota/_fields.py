"""Fields of a line of DOTA text."""

import math

from rotated_atss.errors import UserError


def finite_field(field: str, path: object, number: int) -> float:
    try:
        value = float(field)
    except ValueError:
        raise UserError(f"'{field}' is no number", where=f"{path}:{number}") from None
    if not math.isfinite(value):
        raise UserError(f"'{field}' is not finite", where=f"{path}:{number}")
    return value
